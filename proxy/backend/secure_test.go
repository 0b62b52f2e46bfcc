// TLS to endpoints: failures of the handshake, and what they cost.

package backend

import (
	"bufio"
	"context"
	"crypto/tls"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/wicketgate/wicketgate/internal/patient"
)

// secured acquires a backend whose certificates nobody would trust.
func secured(o Options, s ...*server) *Backend {
	c := Config{Key: "k", Loopback: true, TLS: &TLS{Config: &tls.Config{ServerName: "a.example", MinVersion: tls.VersionTLS12}, Policy: "the policy"}}
	for _, one := range s {
		c.Endpoints = append(c.Endpoints, one.addr)
	}
	return NewRegistry(o).Acquire(c)
}

// An endpoint that does not speak TLS, or breaks off, gets nothing of the request in plaintext; every endpoint is tried.
func TestHandshakeFailureTriesTheNextEndpoint(t *testing.T) {
	before := goleak.IgnoreCurrent()
	first := make(chan string, 4)
	script := func(_ *server, _ int, c net.Conn, in *bufio.Reader) {
		p := make([]byte, 3)
		_, _ = io.ReadFull(in, p)
		first <- string(p)
		_, _ = io.WriteString(c, "HTTP/1.1 400 Bad Request\r\n\r\n")
	}
	a, b := serve(t, script), serve(t, script)
	x := secured(Options{Dial: dialTCP}, a, b)
	var res Response
	err := x.RoundTrip(nil, get("/"), nil, Timeouts{}, &res)
	if result(err) != HandshakeFailed || !strings.Contains(err.Error(), "the policy: TLS handshake: ") {
		t.Errorf("%v, not a failed handshake that names the policy", err)
	}
	if res.Attempts != 2 {
		t.Errorf("%d endpoints were tried, not 2", res.Attempts)
	}
	x.Release()
	a.close()
	b.close()
	for range 2 {
		if p := <-first; !strings.HasPrefix(p, "\x16\x03") {
			t.Errorf("the endpoint got %q, not a handshake", p)
		}
	}
	patient.NoLeak(t, before)
}

// An endpoint that accepts connections and says nothing ends the handshake after its timeout, or earlier with the request's.
func TestHandshakeTimeout(t *testing.T) {
	silent := func(_ *server, _ int, _ net.Conn, in *bufio.Reader) { _, _ = io.Copy(io.Discard, in) }
	s := serve(t, silent)
	defer s.close()
	x := secured(Options{Dial: dialTCP, HandshakeTimeout: 30 * time.Millisecond}, s)
	defer x.Release()
	var res Response
	if err := x.RoundTrip(nil, get("/"), nil, Timeouts{}, &res); result(err) != HandshakeFailed {
		t.Errorf("%v, not a failed handshake", err)
	}
	y := secured(Options{Dial: dialTCP, HandshakeTimeout: time.Hour}, s)
	defer y.Release()
	if err := y.RoundTrip(nil, get("/"), nil, Timeouts{Request: time.Now().Add(30 * time.Millisecond)}, &res); result(err) != TimedOut {
		t.Errorf("%v, not a timeout", err)
	}
	ctx, leave := context.WithCancel(t.Context())
	time.AfterFunc(30*time.Millisecond, leave)
	if err := y.RoundTrip(&client{ctx: ctx}, get("/"), nil, Timeouts{}, &res); result(err) != ClientGone {
		t.Errorf("%v, not a client that left", err)
	}
}
