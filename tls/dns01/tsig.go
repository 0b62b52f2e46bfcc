// Transaction signatures (TSIG, RFC 8945), with every algorithm that cert-manager has. The DNS library has done away with HMAC-MD5, which is the
// default of cert-manager's field all the same, and still in use with keys that were made long ago.

package dns01

import (
	"crypto/hmac"
	"crypto/md5"  //nolint:gosec // an HMAC does not depend on what MD5 lacks
	"crypto/sha1" //nolint:gosec // nor on what SHA-1 lacks
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	gohash "hash"

	"github.com/miekg/dns"
)

// TSIG is a key that is shared with the server.
type TSIG struct {
	Name      string
	Algorithm string // HMACMD5 (also ""), HMACSHA1, HMACSHA256 or HMACSHA512
	Secret    string // base64
}

var _ dns.TsigProvider = (*TSIG)(nil)

// algorithm is the name of the algorithm in DNS.
func (k *TSIG) algorithm() string {
	switch k.Algorithm {
	case "HMACSHA1":
		return dns.HmacSHA1
	case "HMACSHA256":
		return dns.HmacSHA256
	case "HMACSHA512":
		return dns.HmacSHA512
	}
	return dns.HmacMD5
}

// Generate implements dns.TsigProvider.
func (k *TSIG) Generate(message []byte, t *dns.TSIG) ([]byte, error) {
	secret, err := base64.StdEncoding.DecodeString(k.Secret)
	if err != nil {
		return nil, fmt.Errorf("the TSIG secret is not base64: %w", err)
	}
	hashes := map[string]func() gohash.Hash{dns.HmacMD5: md5.New, dns.HmacSHA1: sha1.New, dns.HmacSHA256: sha256.New, dns.HmacSHA512: sha512.New}
	newHash := hashes[dns.CanonicalName(t.Algorithm)]
	if newHash == nil {
		return nil, dns.ErrKeyAlg
	}
	h := hmac.New(newHash, secret)
	h.Write(message) // never fails
	return h.Sum(nil), nil
}

// Verify implements dns.TsigProvider.
func (k *TSIG) Verify(message []byte, t *dns.TSIG) error {
	want, err := k.Generate(message, t)
	if err != nil {
		return err
	}
	got, err := hex.DecodeString(t.MAC)
	if err != nil || !hmac.Equal(got, want) {
		return dns.ErrSig
	}
	return nil
}
