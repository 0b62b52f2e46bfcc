// Which of a listener's certificates a client gets.

package tls

import (
	"cmp"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"fmt"
	mathrand "math/rand/v2"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wicketgate/wicketgate/gateway"
)

// chooseFromAll is choose by looking at one certificate after the other.
func chooseFromAll(list []*tls.Certificate, hello *tls.ClientHelloInfo) *tls.Certificate {
	var usable, wild *tls.Certificate
	for _, cert := range list {
		if !supports(hello, cert) {
			continue
		}
		if hello.ServerName != "" && cert.Leaf.VerifyHostname(hello.ServerName) == nil {
			if hasName(cert, hello.ServerName) {
				return cert
			}
			wild = cmp.Or(wild, cert)
		}
		usable = cmp.Or(usable, cert)
	}
	return cmp.Or(wild, usable, list[0])
}

// hasName says whether a certificate has a name without the help of a wildcard.
func hasName(cert *tls.Certificate, name string) bool {
	return slices.ContainsFunc(cert.Leaf.DNSNames, func(own string) bool { return strings.EqualFold(own, name) }) ||
		slices.ContainsFunc(cert.Leaf.IPAddresses, func(own net.IP) bool { return own.String() == name })
}

func TestCertificatesAreFoundByNameAsIfEachWasLookedAt(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	ec := ecKey(t)
	names := []string{
		"a.test", "b.test", "A.test", "*.test", "*.a.test", "*.A.TEST", "x.a.test", "x*.test", "a.*.test", "host", "*", "a_b.test", "10.0.0.1", "*.0.0.1", "a.test.", "-.test",
	}
	asked := append([]string{"", "c.test", "y.a.test", "y.x.a.test", "X.a.Test", "test", ".test", ".", "*.b.test", "::1", "[::1]x", "\u212a.test", "k.test", "a..test"}, names[:14]...)
	var all []*gateway.Certificate
	for i := range 40 {
		hosts := []string{names[i%len(names)]}
		if i%3 == 0 {
			hosts = append(hosts, names[(i*7+3)%len(names)])
		}
		if i%2 == 0 {
			all = append(all, issue(t, ec, fmt.Sprint(i), hosts...))
		} else {
			all = append(all, issue(t, rsaKey, fmt.Sprint(i), hosts...))
		}
	}
	all[3].TLS.Leaf.IPAddresses = []net.IP{net.IPv4(10, 0, 0, 1), net.IPv6loopback}
	all[4].TLS.Leaf.IPAddresses = []net.IP{net.IPv4(10, 0, 0, 1).To4()}
	hellos := map[string]tls.ClientHelloInfo{
		"any":     {SupportedVersions: []uint16{tls.VersionTLS13}, SignatureSchemes: []tls.SignatureScheme{tls.ECDSAWithP256AndSHA256, tls.PSSWithSHA256}},
		"ECDSA":   {SupportedVersions: []uint16{tls.VersionTLS13}, SignatureSchemes: []tls.SignatureScheme{tls.ECDSAWithP256AndSHA256}},
		"RSA":     {SupportedVersions: []uint16{tls.VersionTLS13}, SignatureSchemes: []tls.SignatureScheme{tls.PSSWithSHA256}},
		"Ed25519": {SupportedVersions: []uint16{tls.VersionTLS13}, SignatureSchemes: []tls.SignatureScheme{tls.Ed25519}},
	}
	random := mathrand.New(mathrand.NewPCG(uint64(time.Now().UnixNano()), 0))
	for range 300 {
		random.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		cr := compile([]*gateway.Listener{listener("", all[:1+random.IntN(12)]...)}).any
		for client, hello := range hellos {
			for _, hello.ServerName = range asked {
				got, want := cr.choose(&hello), chooseFromAll(cr.list, &hello)
				if got == want {
					continue
				}
				for _, cert := range cr.list {
					t.Log(cert.Leaf.PublicKeyAlgorithm, cert.Leaf.DNSNames)
				}
				t.Fatalf("a client of %s that asks for %q got the certificate for %v, want the one for %v", client, hello.ServerName, got.Leaf.DNSNames, want.Leaf.DNSNames)
			}
		}
	}
}

// "The GatewayClass MUST use the longest matching SNI out of all available certificates for any TLS handshake."
func TestACertificateForTheNameComesBeforeAWildcard(t *testing.T) {
	key := ecKey(t)
	wide, narrow, other := issue(t, key, "wide", "*.a.test"), issue(t, key, "narrow", "shop.a.test"), issue(t, key, "other", "b.test")
	hello := &tls.ClientHelloInfo{
		SupportedVersions: []uint16{tls.VersionTLS13}, SignatureSchemes: []tls.SignatureScheme{tls.ECDSAWithP256AndSHA256}, ServerName: "Shop.a.test",
	}
	for _, order := range [][]*gateway.Certificate{{wide, narrow, other}, {other, narrow, wide}, {wide, other, narrow}} {
		if got := compile([]*gateway.Listener{listener("", order...)}).any.choose(hello); got != narrow.TLS {
			t.Errorf("of %v, %v and %v the client got %v", order[0].TLS.Leaf.DNSNames, order[1].TLS.Leaf.DNSNames, order[2].TLS.Leaf.DNSNames, got.Leaf.DNSNames)
		}
	}
}

// BenchmarkChoose is the last of as many certificates as a listener can have.
func BenchmarkChoose(b *testing.B) {
	key := ecKey(b)
	var list []*gateway.Certificate
	for i := range 64 {
		list = append(list, issue(b, key, "x", fmt.Sprintf("h%d.example.com", i)))
	}
	cr := compile([]*gateway.Listener{listener("", list...)}).any
	hello := &tls.ClientHelloInfo{
		SupportedVersions: []uint16{tls.VersionTLS13}, SignatureSchemes: []tls.SignatureScheme{tls.ECDSAWithP256AndSHA256}, ServerName: "h63.example.com",
	}
	b.ReportAllocs()
	for b.Loop() {
		if cr.choose(hello) != cr.list[63] {
			b.Fatal("another certificate")
		}
	}
}
