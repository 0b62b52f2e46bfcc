// TLS towards backends: what may wait on a kept connection, and what makes it unfit.

package wire_test

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"strings"
	"testing"

	"github.com/wicketgate/wicketgate/message"
	"github.com/wicketgate/wicketgate/wire"
)

// anyCertificate is one that nobody looks at.
func anyCertificate(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := x509.Certificate{SerialNumber: big.NewInt(1)}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// connectTLS returns a connection after its handshake, and the other end of it.
func connectTLS(t *testing.T, version uint16) (*wire.BackendConn, *script, *tls.Conn) {
	t.Helper()
	c, s := tcpPair(t)
	server := tls.Server(s, &tls.Config{Certificates: []tls.Certificate{anyCertificate(t)}, MinVersion: tls.VersionTLS12, MaxVersion: version})
	done := make(chan error, 1)
	go func() { done <- server.Handshake() }()
	secured, err := wire.SecureBackend(t.Context(), c, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12})
	if err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	return wire.NewBackendConn(secured, false), &script{t, server, bufio.NewReader(server)}, server
}

// The tickets that wait after a handshake of TLS 1.3 are no reason to give a connection up, and exchanges follow each other on it.
func TestSecuredBackendIsUsedAgain(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		c, s, _ := connectTLS(t, version)
		for range 3 {
			exchangeOnce(t, c, s)
		}
		c.Close()
	}
}

// No request is sent where the end, or bytes that nobody asked for, wait below TLS.
func TestSecuredBackendIsLookedAtFirst(t *testing.T) {
	cases := map[string]func(s *script, server *tls.Conn){
		"close_notify": func(_ *script, server *tls.Conn) { _ = server.CloseWrite() },
		"end":          func(_ *script, server *tls.Conn) { _ = server.NetConn().Close() },
		"bytes":        func(s *script, _ *tls.Conn) { s.say(ok) },
		"not TLS":      func(_ *script, server *tls.Conn) { _, _ = io.WriteString(server.NetConn(), ok) },
	}
	for name, misbehave := range cases {
		t.Run(name, func(t *testing.T) {
			c, s, server := connectTLS(t, tls.VersionTLS13)
			exchangeOnce(t, c, s)
			misbehave(s, server)
			c.AwaitArrival(t)
			var res message.Head
			err := c.Do(nil, request("POST", message.LengthNone), nil, never(), &res)
			if err == nil || err.Kind != wire.BackendStale {
				t.Fatalf("%+v, want a stale connection", err)
			}
		})
	}
}

// A body that only the end of the connection delimits is not complete if TLS did not say that this is the end (RFC 9112 section 9.8).
func TestSecuredBackendTruncatedBody(t *testing.T) {
	for _, honest := range []bool{true, false} {
		c, s, server := connectTLS(t, tls.VersionTLS13)
		wait := s.run(func() {
			s.head()
			s.say("HTTP/1.1 200 OK\r\n\r\nhello")
			if honest {
				_ = server.Close()
			} else {
				_ = server.NetConn().Close()
			}
		})
		var res message.Head
		if err := c.Do(nil, request("GET", message.LengthNone), nil, never(), &res); err != nil {
			t.Fatal(err)
		}
		body, err := readAll(c.Body())
		if body != "hello" || (err == nil) != honest {
			t.Errorf("close_notify %v: %q, %v", honest, body, err)
		}
		c.Finish()
		wait()
	}
}

// A handshake ends with its context, and the connection with it.
func TestSecureBackendEndsWithItsContext(t *testing.T) {
	c, s := tcpPair(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := wire.SecureBackend(ctx, c, &tls.Config{ServerName: "a.example", MinVersion: tls.VersionTLS12}); err == nil || !strings.Contains(err.Error(), "TLS handshake") {
		t.Errorf("%v", err)
	}
	if _, err := io.Copy(io.Discard, s); err != nil {
		t.Errorf("the connection was not closed: %v", err)
	}
}
