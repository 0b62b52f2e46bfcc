// Package keypair reads certificates with their keys for all who are given some by people, and says what to do about the usual mistakes: a chain in the
// wrong order, a key with a passphrase.
//
// The error of tls.X509KeyPair for tls.crt = (intermediate, server's) is "private key does not match public key", as for a key of another
// certificate altogether; here it is "the key is that of certificate 2 of the chain: put that one first, ...".
package keypair

import (
	"crypto/tls"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
)

// longest is how many certificates of a chain are compared with a key that does not fit the first: more is no chain, but a collection.
const longest = 10

// Parse is tls.X509KeyPair with errors for those who wrote the files. They show nothing of the key.
func Parse(chain, key []byte) (tls.Certificate, error) {
	pair, err := tls.X509KeyPair(chain, key)
	if err == nil {
		return pair, nil
	}
	if hasPassphrase(key) {
		return pair, errors.New("the key has a passphrase, and nobody is there to type it: write the key without one (openssl pkey -in KEY -out NEWKEY)")
	}
	if n := place(chain, key); n > 1 {
		return pair, fmt.Errorf("the key is that of certificate %d of the chain: put that one first, then the one that signed it, and so on", n)
	}
	return pair, errors.New(strings.TrimPrefix(err.Error(), "tls: "))
}

// hasPassphrase reports whether a private key is encrypted, as PKCS #8 has it or in the older way of RFC 1421.
func hasPassphrase(key []byte) bool {
	for block, rest := pem.Decode(key); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == "ENCRYPTED PRIVATE KEY" || strings.HasSuffix(block.Type, "PRIVATE KEY") && strings.Contains(block.Headers["Proc-Type"], "ENCRYPTED") {
			return true
		}
	}
	return false
}

// place is which certificate of a chain the key belongs to, counted from 1; 0: none.
func place(chain, key []byte) int {
	n := 0
	for block, rest := pem.Decode(chain); block != nil && n < longest; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		n++
		one := pem.EncodeToMemory(&pem.Block{Type: block.Type, Bytes: block.Bytes})
		if _, err := tls.X509KeyPair(one, key); err == nil {
			return n
		}
	}
	return 0
}
