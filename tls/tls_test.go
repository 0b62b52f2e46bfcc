// Handshakes over loopback: which certificate a client gets by the name that it asks for, and how failures end.

package tls

import (
	"bufio"
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/wicketgate/wicketgate/gateway"
	"github.com/wicketgate/wicketgate/internal/patient"
)

func TestMain(m *testing.M) { patient.Main(m) }

// issue makes a self-signed certificate; its serial-like common name identifies it in tests.
func issue(t testing.TB, key crypto.Signer, name string, hosts ...string) *gateway.Certificate {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: hosts,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &gateway.Certificate{TLS: &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}}
}

func ecKey(t testing.TB) crypto.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func listener(hostname string, certs ...*gateway.Certificate) *gateway.Listener {
	return &gateway.Listener{Hostname: hostname, Certificates: certs}
}

var bind = netip.MustParseAddrPort("[::]:443")

// handshake lets a client with this configuration meet s, and returns both sides' errors and the client's view.
func handshake(t testing.TB, s *Server, client *tls.Config) (state tls.ConnectionState, clientErr, serverErr error) {
	t.Helper()
	near, far := pair(t)
	done := make(chan error, 1)
	go func() {
		c, err := s.Handshake(far, bind)
		if err == nil {
			// A write makes a TLS 1.3 client see the session tickets that came before.
			_, _ = c.Write([]byte("x"))
			_ = c.Close()
		}
		done <- err
	}()
	c := tls.Client(near, client)
	clientErr = c.Handshake()
	if clientErr == nil {
		_, _ = io.ReadAll(c)
	}
	_ = near.Close()
	return c.ConnectionState(), clientErr, <-done
}

// pair returns the two ends of a TCP connection over loopback.
func pair(t testing.TB) (near, far net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	near, err = net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if far, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { near.Close(); far.Close() })
	return near, far
}

func serve(sockets ...*gateway.Socket) *Server {
	table := Compile(sockets)
	return NewServer(Options{Current: func() *Certificates { return table }})
}

func socket(listeners ...*gateway.Listener) *gateway.Socket {
	return &gateway.Socket{Bind: bind, Protocol: gatewayv1.TLSProtocolType, Listeners: listeners}
}

func TestCertificateByServerName(t *testing.T) {
	key := ecKey(t)
	shop, wild, deep, anyCert := issue(t, key, "shop", "shop.example.com"), issue(t, key, "wild", "*.example.com"),
		issue(t, key, "deep", "*.eu.example.com"), issue(t, key, "any", "example.org")
	all := socket(listener("*.example.com", wild), listener("shop.example.com", shop), listener("*.eu.example.com", deep), listener("", anyCert))
	named := socket(listener("broken.example.com"), listener("*.example.com", wild), listener("shop.example.com", shop))
	for name, c := range map[string]struct {
		socket     *gateway.Socket
		serverName string
		want       string // common name; empty: refused
	}{
		"an exact hostname":                                               {all, "shop.example.com", "shop"},
		"names compare without case":                                      {all, "SHOP.example.COM", "shop"},
		"a wildcard":                                                      {all, "a.example.com", "wild"},
		"a wildcard listener takes several labels":                        {all, "a.b.example.com", "wild"},
		"the longest wildcard wins":                                       {all, "a.eu.example.com", "deep"},
		"a wildcard does not take its own parent":                         {all, "example.com", "any"},
		"any other name goes to the listener without a hostname":          {all, "other.test", "any"},
		"no name goes to the listener without a hostname":                 {all, "", "any"},
		"without such a listener other names are refused":                 {named, "other.test", ""},
		"without such a listener no name gets the first":                  {named, "", "wild"},
		"a listener without a certificate refuses, and falls to no other": {named, "broken.example.com", ""},
	} {
		t.Run(name, func(t *testing.T) {
			state, clientErr, serverErr := handshake(t, serve(c.socket), &tls.Config{ServerName: c.serverName, InsecureSkipVerify: true})
			if c.want == "" {
				failed, ok := errors.AsType[*HandshakeError](serverErr)
				if !ok || failed.Outcome != NoCertificate || failed.ServerName != c.serverName {
					t.Errorf("server: %v", serverErr)
				}
				if clientErr == nil || !strings.Contains(clientErr.Error(), "unrecognized name") {
					t.Errorf("client: %v, want the alert unrecognized_name", clientErr)
				}
				return
			}
			if clientErr != nil || serverErr != nil {
				t.Fatal(clientErr, serverErr)
			}
			if got := state.PeerCertificates[0].Subject.CommonName; got != c.want {
				t.Errorf("certificate %q, want %q", got, c.want)
			}
		})
	}
}

func TestSeveralCertificatesOfOneListener(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	ec := ecKey(t)
	s := serve(socket(listener("", issue(t, ec, "a", "a.test"), issue(t, rsaKey, "b-rsa", "b.test"), issue(t, ec, "b-ec", "b.test"))))
	rsaOnly := []uint16{tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256}
	for name, c := range map[string]struct {
		client *tls.Config
		want   string
	}{
		"the one with the name":                 {&tls.Config{ServerName: "b.test"}, "b-rsa"},
		"the first where none has the name":     {&tls.Config{ServerName: "c.test"}, "a"},
		"what the client can verify goes first": {&tls.Config{ServerName: "a.test", MaxVersion: tls.VersionTLS12, CipherSuites: rsaOnly}, "b-rsa"},
	} {
		t.Run(name, func(t *testing.T) {
			c.client.InsecureSkipVerify = true
			state, clientErr, serverErr := handshake(t, s, c.client)
			if clientErr != nil || serverErr != nil {
				t.Fatal(clientErr, serverErr)
			}
			if got := state.PeerCertificates[0].Subject.CommonName; got != c.want {
				t.Errorf("certificate %q, want %q", got, c.want)
			}
		})
	}
}

func TestProtocolVersions(t *testing.T) {
	s := serve(socket(listener("", issue(t, ecKey(t), "x", "x.test"))))
	client := func(latest uint16, alpn ...string) *tls.Config {
		return &tls.Config{ServerName: "x.test", InsecureSkipVerify: true, MinVersion: tls.VersionTLS10, MaxVersion: latest, NextProtos: alpn}
	}
	if _, err, _ := handshake(t, s, client(tls.VersionTLS11)); err == nil {
		t.Error("TLS 1.1 was accepted")
	}
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		state, err, _ := handshake(t, s, client(version, "h2", "http/1.1"))
		if err != nil || state.Version != version || state.NegotiatedProtocol != HTTP2 {
			t.Errorf("%s: negotiated %s %q, %v", tls.VersionName(version), tls.VersionName(state.Version), state.NegotiatedProtocol, err)
		}
	}
	if state, err, _ := handshake(t, s, client(0)); err != nil || state.NegotiatedProtocol != "" {
		t.Errorf("a client without ALPN: %q, %v", state.NegotiatedProtocol, err)
	}
	if state, err, _ := handshake(t, s, client(0, "http/1.1")); err != nil || state.NegotiatedProtocol != "http/1.1" {
		t.Errorf("a client of HTTP/1.1: %q, %v", state.NegotiatedProtocol, err)
	}
	if _, err, _ := handshake(t, s, client(0, "h3")); err == nil {
		t.Error("a client that speaks nothing that is served was accepted")
	}
}

// A session that began before a reload is resumed after it: tickets are the process's.
func TestSessionsAreResumedAcrossReloads(t *testing.T) {
	key := ecKey(t)
	var current atomic.Pointer[Certificates]
	swap := func() { current.Store(Compile([]*gateway.Socket{socket(listener("", issue(t, key, "x", "x.test")))})) }
	s := NewServer(Options{Current: current.Load})
	swap()
	client := &tls.Config{ServerName: "x.test", InsecureSkipVerify: true, ClientSessionCache: tls.NewLRUClientSessionCache(1)}
	for i, want := range []bool{false, true} {
		state, err, _ := handshake(t, s, client)
		if err != nil || state.DidResume != want {
			t.Errorf("handshake %d: resumed %t, %v", i, state.DidResume, err)
		}
		swap()
	}
}

func TestTheCurrentTableDecides(t *testing.T) {
	key := ecKey(t)
	var current atomic.Pointer[Certificates]
	s := NewServer(Options{Current: current.Load})
	client := &tls.Config{ServerName: "x.test", InsecureSkipVerify: true}
	near, _ := pair(t)
	if s.Terminates(near, bind) {
		t.Error("TLS before anything is served")
	}
	if _, err, _ := handshake(t, s, client); err == nil {
		t.Error("a handshake succeeded before anything was served")
	}
	for _, name := range []string{"one", "two"} {
		current.Store(Compile([]*gateway.Socket{socket(listener("", issue(t, key, name)))}))
		state, err, _ := handshake(t, s, client)
		if err != nil || state.PeerCertificates[0].Subject.CommonName != name {
			t.Errorf("%s: %v", name, err)
		}
	}
	if !s.Terminates(near, bind) {
		t.Error("no TLS on a TLS socket")
	}
	current.Store(Compile([]*gateway.Socket{{Bind: bind}}))
	if s.Terminates(near, bind) {
		t.Error("TLS on a plain socket")
	}
}

// Where a wildcard socket is shared, the address at which a connection arrived decides.
func TestLocalAddressOfASharedSocket(t *testing.T) {
	key := ecKey(t)
	wild := socket(listener("", issue(t, key, "everywhere")))
	local := socket(listener("", issue(t, key, "loopback")))
	local.Local = netip.MustParseAddr("127.0.0.1")
	elsewhere := socket(listener("", issue(t, key, "elsewhere")))
	elsewhere.Local = netip.MustParseAddr("192.0.2.1")
	for want, sockets := range map[string][]*gateway.Socket{"loopback": {wild, local, elsewhere}, "everywhere": {wild, elsewhere}} {
		state, err, _ := handshake(t, serve(sockets...), &tls.Config{InsecureSkipVerify: true})
		if err != nil || state.PeerCertificates[0].Subject.CommonName != want {
			t.Errorf("want %s: %v", want, err)
		}
	}
}

func TestFailuresAreToldApart(t *testing.T) {
	table := Compile([]*gateway.Socket{socket(listener("", issue(t, ecKey(t), "x", "x.test")))})
	for name, c := range map[string]struct {
		client func(c net.Conn)
		want   Outcome
	}{
		"a silent client":      {func(net.Conn) {}, TimedOut},
		"a client that leaves": {func(c net.Conn) { c.Close() }, ClientLeft},
		"plain HTTP":           {func(c net.Conn) { _, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n") }, NotTLS},
		"garbage":              {func(c net.Conn) { _, _ = c.Write(bytes.Repeat([]byte{0x80}, 64)) }, NotTLS},
		"a client that trusts nothing": {func(c net.Conn) {
			_ = tls.Client(c, &tls.Config{ServerName: "x.test", RootCAs: x509.NewCertPool()}).Handshake()
		}, Failed},
	} {
		t.Run(name, func(t *testing.T) {
			var counted []Outcome
			var logged bytes.Buffer
			timeout := time.Minute
			if c.want == TimedOut {
				timeout = 300 * time.Millisecond
			}
			s := NewServer(Options{
				Current: func() *Certificates { return table }, Timeout: timeout,
				Log:  slog.New(slog.NewTextHandler(&logged, &slog.HandlerOptions{Level: slog.LevelDebug})),
				Done: func(o Outcome) { counted = append(counted, o) },
			})
			near, far := pair(t)
			go c.client(near)
			_, err := s.Handshake(far, bind)
			failed, ok := errors.AsType[*HandshakeError](err)
			if !ok || failed.Outcome != c.want || len(counted) != 1 || counted[0] != c.want {
				t.Errorf("error %v, counted %v, want %s", err, counted, c.want)
			}
			if !strings.Contains(logged.String(), "level=DEBUG") || !strings.Contains(logged.String(), "outcome="+string(c.want)) {
				t.Errorf("log: %s", logged.String())
			}
			if _, err := far.Write([]byte("x")); err == nil {
				t.Error("the connection was left open")
			}
		})
	}
}

func TestPlainHTTPIsToldThatThePortSpeaksTLS(t *testing.T) {
	s := serve(socket(listener("", issue(t, ecKey(t), "x"))))
	near, far := pair(t)
	go func() { _, _ = s.Handshake(far, bind) }()
	_, _ = io.WriteString(near, "GET / HTTP/1.1\r\n\r\n")
	res, err := http.ReadResponse(bufio.NewReader(near), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusBadRequest || !strings.Contains(string(body), "https://") {
		t.Errorf("%s %q %v", res.Status, body, err)
	}
}

func BenchmarkHandshake(b *testing.B) {
	s := serve(socket(listener("*.example.com", issue(b, ecKey(b), "x", "*.example.com"))))
	client := &tls.Config{ServerName: "a.example.com", InsecureSkipVerify: true}
	b.ReportAllocs()
	for b.Loop() {
		if _, err, _ := handshake(b, s, client); err != nil {
			b.Fatal(err)
		}
	}
}
