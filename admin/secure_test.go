// The administrative interface over TLS: who is let in, and files that change.

package admin

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// identity writes a certificate of an authority's (its own, if ca is nil) and the key, and returns the files' names and the certificate's maker.
func identity(t *testing.T, dir, name string, ca *tls.Certificate) (cert, key string, made *tls.Certificate) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: ca == nil, BasicConstraintsValid: true,
	}
	parent, signer := template, any(private)
	if ca != nil {
		parent, signer = ca.Leaf, ca.PrivateKey
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &private.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(dir, name+".pem"), filepath.Join(dir, name+"-key.pem")
	for file, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: encoded}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	return cert, key, &pair
}

func TestTLSWithClientCertificates(t *testing.T) {
	dir := t.TempDir()
	authority, _, ca := identity(t, dir, "ca", nil)
	others, _, stranger := identity(t, dir, "others", nil)
	cert, key, _ := identity(t, dir, "server", ca)
	clientCert, clientKey, _ := identity(t, dir, "client", ca)
	strangerCert, strangerKey, _ := identity(t, dir, "stranger", stranger)
	s, err := Listen(t.Context(), "127.0.0.1:0", Options{Source: newSource(t, manifests), TLS: TLS{Cert: cert, Key: key, ClientCA: authority}})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Serve() }()
	defer func() {
		s.Close()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	// ask gives the status of the answer, or 0 if there was no conversation.
	ask := func(path string, c ClientTLS) int {
		config, err := c.Config()
		if err != nil {
			t.Fatal(err)
		}
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: config, DisableKeepAlives: true}}
		res, err := client.Get("https://" + s.Address().String() + path)
		if err != nil {
			return 0
		}
		res.Body.Close()
		return res.StatusCode
	}
	known, unknown := ClientTLS{authority, clientCert, clientKey}, ClientTLS{authority, strangerCert, strangerKey}
	for _, c := range []struct {
		name, path string
		with       ClientTLS
		want       int
	}{
		{"with a certificate", "/version", known, http.StatusOK},
		{"without one", "/version", ClientTLS{CA: authority}, http.StatusForbidden},
		{"without one, for a load balancer", "/healthz", ClientTLS{CA: authority}, http.StatusOK},
		{"with one of somebody else", "/version", unknown, http.StatusForbidden}, // Go's client does not even show it
		{"of a server that is not trusted", "/version", ClientTLS{CA: others, Cert: clientCert, Key: clientKey}, 0},
	} {
		if got := ask(c.path, c.with); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
	if res, err := http.Get("http://" + s.Address().String() + "/version"); err == nil {
		if res.Body.Close(); res.StatusCode == http.StatusOK {
			t.Error("it answers without TLS")
		}
	}
	// Files are read again: first a half-written one, which changes nothing, and then other authorities.
	write := func(file string, content []byte) {
		if err := os.WriteFile(file, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(authority+".kept", nil)
	before, err := os.ReadFile(authority)
	if err != nil {
		t.Fatal(err)
	}
	write(authority+".kept", before)
	known.CA, unknown.CA = authority+".kept", authority+".kept"
	write(authority, before[:20])
	if got := ask("/version", known); got != http.StatusOK {
		t.Errorf("while a file is written: %d", got)
	}
	after, err := os.ReadFile(others)
	if err != nil {
		t.Fatal(err)
	}
	write(authority, after)
	if got := ask("/version", unknown); got != http.StatusOK {
		t.Errorf("with a certificate of the new authority: %d", got)
	}
	if got := ask("/version", known); got == http.StatusOK {
		t.Errorf("with a certificate of the old authority: %d, want it refused", got)
	}
}

func TestWhatTLSNeeds(t *testing.T) {
	dir := t.TempDir()
	cert, key, _ := identity(t, dir, "server", nil)
	for name, c := range map[string]struct {
		address string
		tls     TLS
		want    string
	}{
		"a certificate without a key":           {"127.0.0.1:0", TLS{Cert: cert}, "--admin-tls-key"},
		"authorities without a certificate":     {"127.0.0.1:0", TLS{ClientCA: cert}, "--admin-tls-cert"},
		"a key that is not the certificate's":   {"127.0.0.1:0", TLS{Cert: cert, Key: cert}, "--admin-tls-key"},
		"a file of authorities without any":     {"127.0.0.1:0", TLS{Cert: cert, Key: key, ClientCA: key}, "--admin-tls-client-ca"},
		"a missing file":                        {"127.0.0.1:0", TLS{Cert: cert, Key: key, ClientCA: dir + "/none"}, "--admin-tls-client-ca"},
		"reachable by others, who need nothing": {"0.0.0.0:0", TLS{Cert: cert, Key: key}, "--admin-tls-client-ca"},
	} {
		if s, err := Listen(t.Context(), c.address, Options{TLS: c.tls}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v %v", name, s, err)
		}
	}
	s, err := Listen(t.Context(), "0.0.0.0:0", Options{TLS: TLS{Cert: cert, Key: key, ClientCA: cert}})
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	_ = s.listener.Close()
	if _, err := (ClientTLS{CA: key}).Config(); err == nil {
		t.Error("a client trusts a file without a certificate")
	}
}
