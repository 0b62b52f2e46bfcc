// What is said of certificates and keys that cannot be used.

package keypair

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"
)

// made is a certificate and its key, in PEM.
func made(t *testing.T, name string) (certificate, key []byte) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, k.Public(), crypto.Signer(k))
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})
}

func TestParse(t *testing.T) {
	server, key := made(t, "server")
	authority, other := made(t, "authority")
	encrypted := pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: []byte("secret")})
	older := pem.EncodeToMemory(&pem.Block{
		Type: "RSA PRIVATE KEY", Bytes: []byte("secret"), Headers: map[string]string{"Proc-Type": "4,ENCRYPTED", "DEK-Info": "AES-128-CBC,00"},
	})
	chain := bytes.Join([][]byte{server, authority}, nil)
	backwards := bytes.Join([][]byte{authority, server}, nil)
	for name, c := range map[string]struct {
		chain, key []byte
		want       string // the error, in part; "": none
	}{
		"a chain":                      {chain, key, ""},
		"a chain in the wrong order":   {backwards, key, "the key is that of certificate 2 of the chain: put that one first"},
		"a key of another certificate": {chain[:len(server)], other, "private key does not match public key"},
		"a key with a passphrase":      {server, encrypted, "the key has a passphrase"},
		"an older one":                 {server, older, "the key has a passphrase"},
		"a collection":                 {append(bytes.Repeat(authority, longest), server...), key, "private key does not match public key"},
		"taken for each other":         {key, server, "PEM inputs may have been switched"},
		"no PEM":                       {[]byte("hello"), key, "failed to find any PEM data in certificate input"},
		"nothing":                      {nil, nil, "failed to find any PEM data in certificate input"},
	} {
		pair, err := Parse(c.chain, c.key)
		switch {
		case c.want == "" && (err != nil || pair.Leaf == nil):
			t.Errorf("%s: %v", name, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) || strings.HasPrefix(err.Error(), "tls: ")):
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}
