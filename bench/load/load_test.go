//go:build linux

// Every generator against the benchmark's own backend, and against peers that misbehave.

package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/netip"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/wicketgate/wicketgate/internal/ports"
)

// build makes the backend's binary.
func build(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "backend")
	if text, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, "../backend").CombinedOutput(); err != nil {
		t.Fatalf("build the backend: %v: %s", err, text)
	}
	return program
}

// backend starts bench/backend and returns where it serves.
func backend(t *testing.T, program, protocol string) netip.AddrPort {
	t.Helper()
	port, err := ports.Free()
	if err != nil {
		t.Fatal(err)
	}
	addr := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(port))
	c := exec.CommandContext(t.Context(), program, protocol, addr.String())
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Process.Kill(); _ = c.Wait() })
	return addr
}

// window is long enough for a backend to come up and to answer: what could not be asked in it is asked again.
const window = 200 * time.Millisecond

// runUntil runs the generator until it has a result without errors: the backend takes a moment to come up.
func runUntil(t *testing.T, s settings) Result {
	t.Helper()
	s.window = window
	var out strings.Builder
	var r Result
	for {
		out.Reset()
		err := run(s, strings.NewReader(""), &out)
		if err == nil {
			if err := json.Unmarshal([]byte(out.String()), &r); err != nil {
				t.Fatal(err)
			}
			if r.Errors == 0 {
				return r
			}
		}
		if t.Context().Err() != nil {
			t.Fatal(err, r.LastError)
		}
	}
}

// until measures again what a busy machine may have spoiled: run says what is wrong.
func until(t *testing.T, run func() error) {
	t.Helper()
	for end := time.Now().Add(time.Minute); ; {
		err := run()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
	}
}

func TestEveryProtocolIsAnswered(t *testing.T) {
	program := build(t)
	for protocol, served := range map[string]string{
		"get": "http", "get64k": "http", "route": "http", "upload": "http", "websocket": "http", "ping": "echo", "connect": "echo", "large": "large",
		"source": "source", "passthrough": "source", "grpc": "grpc", "stream": "stream", "udp": "udp",
	} {
		t.Run(protocol, func(t *testing.T) {
			streams := 1
			if served == "grpc" || served == "stream" || served == "udp" {
				streams = 3
			}
			r := runUntil(t, settings{protocol: protocol, to: backend(t, program, served), conns: 2, streams: streams})
			if r.Requests == 0 || r.PerSecond == 0 {
				t.Errorf("got %+v", r)
			}
		})
	}
}

func TestOpenLoadKeepsItsRate(t *testing.T) {
	to := backend(t, build(t), "http")
	until(t, func() error {
		r := runUntil(t, settings{protocol: "get", to: to, conns: 4, streams: 1, rate: 500})
		if most := int(500*window.Seconds()) + 1; r.Requests > most {
			return fmt.Errorf("%d requests in %v, at most %d were due", r.Requests, window, most)
		}
		return nil
	})
}

// A server that answers each request after a delay keeps the later ones waiting; their latency counts from when they were due.
func TestOpenLoadCountsTheWait(t *testing.T) {
	const delay = 20 * time.Millisecond
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	answer := func(c net.Conn) {
		defer c.Close()
		buffer := make([]byte, 100)
		for {
			if _, err := io.ReadFull(c, buffer); err != nil {
				return
			}
			time.Sleep(delay)
			if _, err := c.Write(buffer); err != nil {
				return
			}
		}
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go answer(c)
		}
	}()
	until(t, func() error {
		r, err := drive(settings{to: netip.MustParseAddrPort(l.Addr().String()), conns: 1, streams: 1, rate: 1000, window: 10 * delay}, protocols["ping"])
		if err != nil || r.P99 < 3*delay {
			return fmt.Errorf("got %+v, %w: of 1000 requests a second 50 can be answered, and the others wait", r, err)
		}
		return nil
	})
}

func TestErrorsAreCounted(t *testing.T) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = fmt.Fprint(c, "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 2\r\n\r\nno")
			_ = c.Close()
		}
	}()
	_, err = drive(settings{to: netip.MustParseAddrPort(l.Addr().String()), conns: 1, streams: 1, window: window}, protocols["get"])
	if err == nil {
		t.Error("answers with 503 passed for answers")
	}
}

func TestLostDatagramsAreCounted(t *testing.T) {
	c, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	go func() {
		buffer := make([]byte, 1500)
		seen := map[string]bool{}
		for {
			n, from, err := c.ReadFrom(buffer)
			if err != nil {
				return
			}
			if seen[from.String()] { // each flow's first is lost
				_, _ = c.WriteTo(buffer[:n], from)
			}
			seen[from.String()] = true
		}
	}()
	until(t, func() error {
		r, err := datagrams(settings{to: netip.MustParseAddrPort(c.LocalAddr().String()), conns: 1, streams: 2, window: 2 * patience})
		if err != nil || r.Lost != 1 || r.Requests == 0 {
			return fmt.Errorf("got %+v, %w; want one lost", r, err)
		}
		return nil
	})
}

// tlsServer answers one request on each connection with 128 bytes.
func tlsServer(t *testing.T) netip.AddrPort {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	l, err := tls.Listen("tcp4", "127.0.0.1:0", &tls.Config{
		MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				buffer := make([]byte, 1024)
				if _, err := c.Read(buffer); err != nil {
					return
				}
				_, _ = fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: 128\r\n\r\n%128d", 1)
				_, _ = c.Read(buffer) // until the client closes
			}()
		}
	}()
	return netip.MustParseAddrPort(l.Addr().String())
}

func TestHandshakes(t *testing.T) {
	addr := tlsServer(t)
	for _, resume := range []bool{false, true} {
		until(t, func() error {
			r, err := handshakes(settings{to: addr, conns: 1, window: window, resume: resume, names: 1})
			if err != nil || r.Requests == 0 || r.Errors > 0 {
				return fmt.Errorf("resume %v: %+v, %w", resume, r, err)
			}
			return nil
		})
	}
}

func TestHold(t *testing.T) {
	plain := backend(t, build(t), "http")
	runUntil(t, settings{protocol: "get", to: plain, conns: 1, streams: 1})
	for over, addr := range map[string]netip.AddrPort{"plain": plain, "websocket": plain, "tls": tlsServer(t)} {
		var out strings.Builder
		if err := hold(settings{to: addr, conns: 3, over: over}, strings.NewReader(""), &out); err != nil || out.String() != "3\n" {
			t.Errorf("%s: %q, %v", over, out.String(), err)
		}
	}
	if err := hold(settings{to: plain, conns: 1, over: "tls"}, strings.NewReader(""), io.Discard); err == nil {
		t.Error("a server without TLS passed for one")
	}
}
