// Certificates of clients: who is let in, and that a resumed session never lets in whom a full handshake would not.

package tls

import (
	"crypto"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"math/big"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wicketgate/wicketgate/gateway"
)

// authority issues certificates for clients.
type authority struct {
	key  crypto.Signer
	cert *x509.Certificate
}

func newAuthority(t testing.TB, name string) *authority {
	t.Helper()
	a := &authority{key: ecKey(t)}
	a.cert = a.sign(t, &x509.Certificate{
		Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}, a.key, nil)
	return a
}

func (a *authority) sign(t testing.TB, template *x509.Certificate, key crypto.Signer, parent *x509.Certificate) *x509.Certificate {
	t.Helper()
	template.SerialNumber = big.NewInt(time.Now().UnixNano())
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	if parent == nil {
		parent = template
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// client issues a certificate for these uses.
func (a *authority) client(t testing.TB, usage ...x509.ExtKeyUsage) *tls.Certificate {
	t.Helper()
	key := ecKey(t)
	leaf := a.sign(t, &x509.Certificate{Subject: pkix.Name{CommonName: "client"}, ExtKeyUsage: usage}, key, a.cert)
	return &tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: key, Leaf: leaf}
}

func (a *authority) demand(insecureFallback bool) *gateway.ClientValidation {
	return gateway.NewClientValidation([]*x509.Certificate{a.cert}, insecureFallback)
}

// presenting is a client's configuration that shows a certificate whatever it is asked for; asked tells whether it was.
func presenting(name string, cert *tls.Certificate, asked *bool) *tls.Config {
	return &tls.Config{
		ServerName: name, InsecureSkipVerify: true,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			*asked = true
			if cert == nil {
				return &tls.Certificate{}, nil
			}
			return cert, nil
		},
	}
}

// greet lets a client meet s at a socket, and returns what the server knows of it then; the client has read one byte.
func greet(t testing.TB, s *Server, at netip.AddrPort, config *tls.Config) (state tls.ConnectionState, err error) {
	t.Helper()
	near, far := pair(t)
	done := make(chan struct{})
	go func() {
		defer close(done)
		c := tls.Client(near, config)
		_, _ = io.ReadAll(c)
		_ = c.Close()
	}()
	var c net.Conn
	secure, err := s.Handshake(far, at)
	if err == nil {
		c, state = secure, secure.ConnectionState()
		_, _ = c.Write([]byte("x")) // a TLS 1.3 client sees the tickets before it
		_ = c.Close()
	}
	<-done
	return state, err
}

func TestClientCertificates(t *testing.T) {
	staff, others := newAuthority(t, "staff"), newAuthority(t, "others")
	cert := issue(t, ecKey(t), "x", "*.example.com")
	strict, lax, open := listener("strict.example.com", cert), listener("lax.example.com", cert), listener("open.example.com", cert)
	strict.Clients, lax.Clients = staff.demand(false), staff.demand(true)
	valid, foreign, wrongUse := staff.client(t, x509.ExtKeyUsageClientAuth), others.client(t, x509.ExtKeyUsageClientAuth),
		staff.client(t, x509.ExtKeyUsageServerAuth)
	for name, c := range map[string]struct {
		host  string
		cert  *tls.Certificate
		want  Outcome
		asked bool
	}{
		"a certificate of the authority is demanded": {"strict.example.com", valid, Succeeded, true},
		"one of another authority is refused":        {"strict.example.com", foreign, BadClient, true},
		"one for servers is refused":                 {"strict.example.com", wrongUse, BadClient, true},
		"none is refused":                            {"strict.example.com", nil, BadClient, true},
		"without a name the first listener decides":  {"", foreign, BadClient, true},
		"with fallback one is asked for":             {"lax.example.com", valid, Succeeded, true},
		"with fallback any will do":                  {"lax.example.com", foreign, Succeeded, true},
		"with fallback none will do":                 {"lax.example.com", nil, Succeeded, true},
		"without validation nobody is asked":         {"open.example.com", valid, Succeeded, false},
	} {
		t.Run(name, func(t *testing.T) {
			for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
				var asked bool
				config := presenting(c.host, c.cert, &asked)
				config.MaxVersion = version
				state, err := greet(t, serve(socket(strict, lax, open)), bind, config)
				outcome := Succeeded
				if failed, ok := errors.AsType[*HandshakeError](err); ok {
					outcome = failed.Outcome
				}
				if outcome != c.want || asked != c.asked {
					t.Errorf("%s: %s (%v), asked %t", tls.VersionName(version), outcome, err, asked)
				}
				if verified := strict.Clients.Admits(state.VerifiedChains); verified && c.host != "strict.example.com" || outcome == BadClient && verified {
					t.Errorf("%s: the chains %v pass for validated", tls.VersionName(version), state.VerifiedChains)
				}
			}
		})
	}
}

// Tickets are one process's, and clients may show them anywhere. From every kind of listener to every other, whether a session is resumed or
// not: who is let in is the same as after a full handshake, and nobody passes for validated by an authority that is not his.
func TestResumedSessionsDoNotBypassValidation(t *testing.T) {
	a, b := newAuthority(t, "a"), newAuthority(t, "b")
	cert := issue(t, ecKey(t), "x", "example.com")
	demands := map[string]*gateway.ClientValidation{
		"none": nil, "a": a.demand(false), "a or anybody": a.demand(true), "b": b.demand(false),
		"a and b": gateway.NewClientValidation([]*x509.Certificate{a.cert, b.cert}, false),
	}
	clients := map[string]*tls.Certificate{"nobody": nil, "of a": a.client(t), "of b": b.client(t)}
	always := []string{"none", "a or anybody"}
	valid := map[string][]string{"nobody": always, "of a": append(always, "a", "a and b"), "of b": append(always, "b", "a and b")}
	resumed := 0
	for from, first := range demands {
		for to, second := range demands {
			for who, client := range clients {
				for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
					// Once the demand of one socket changes by a reload, once there are two sockets.
					for _, other := range []netip.AddrPort{bind, netip.MustParseAddrPort("[::]:8443")} {
						name := strings.Join([]string{from, to, who, tls.VersionName(version), other.String()}, "/")
						var asked bool
						config := presenting("example.com", client, &asked)
						config.MaxVersion = version
						_, fullErr := greet(t, demanding(cert, second), bind, config)

						var current atomic.Pointer[Certificates]
						s := NewServer(Options{Current: current.Load})
						current.Store(demanding(cert, first).current())
						config.ClientSessionCache = tls.NewLRUClientSessionCache(4)
						_, _ = greet(t, s, bind, config) // the client is refused, or has a ticket now
						table := demanding(cert, second).current()
						table.sockets[place{bind: other}] = table.sockets[place{bind: bind}]
						current.Store(table)
						state, err := greet(t, s, other, config)
						if (err == nil) != (fullErr == nil) {
							t.Errorf("%s: %v after a session, %v without", name, err, fullErr)
						}
						for demand, d := range demands {
							if d.Admits(state.VerifiedChains) && !slices.Contains(valid[who], demand) {
								t.Errorf("%s: passes for validated by %q", name, demand)
							}
						}
						if state.DidResume {
							resumed++
						}
					}
				}
			}
		}
	}
	if resumed == 0 {
		t.Error("no session was resumed")
	}
}

// demanding is a server with one listener for every host.
func demanding(cert *gateway.Certificate, v *gateway.ClientValidation) *Server {
	l := listener("", cert)
	l.Clients = v
	return serve(socket(l))
}
