//go:build linux

// The protocols with one request in flight on a connection, in which an answer is known by its length.

package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"net"
	"strconv"
)

// protocols has everything that the engine drives.
var protocols = map[string]*protocol{
	"get":         {open: func() session { return &httpSession{text: get("/")} }},
	"get64k":      {open: func() session { return &httpSession{text: get("/64k")} }},
	"upload":      {open: newUpload("/")},
	"bulk":        {open: newUpload("/10m")},
	"websocket":   {open: func() session { return &webSocket{} }},
	"ping":        {open: func() session { return &fixed{ask: 100, answer: 100} }},
	"large":       {open: func() session { return &fixed{ask: 100, answer: 64 << 10} }},
	"connect":     {open: func() session { return &fixed{ask: 100, answer: 100} }, once: true},
	"source":      {open: func() session { return &sink{first: make([]byte, 100)} }, endless: true},
	"passthrough": {open: newPassthrough(), endless: true},
	"route":       {open: func() session { return &httpSession{text: get("/r0")} }},
	"h2c":         {open: func() session { return newGET() }},
	"grpc":        {open: func() session { return newGRPC(false) }},
	"stream":      {open: func() session { return newGRPC(true) }},
}

// fixed asks with some bytes and is answered with some.
type fixed struct{ ask, answer, got int }

func (*fixed) hello() []byte { return nil }

func (f *fixed) request(_ int, out []byte) []byte { return append(out, make([]byte, f.ask)...) }

func (f *fixed) receive(p, out []byte, e *events) ([]byte, error) {
	for f.got += len(p); f.got >= f.answer; f.got -= f.answer {
		e.done = append(e.done, 0)
	}
	return out, nil
}

// sink asks once and takes what comes; every MiB counts.
type sink struct {
	first []byte
	got   int
}

func (*sink) hello() []byte { return nil }

func (s *sink) request(_ int, out []byte) []byte { return append(out, s.first...) }

func (s *sink) receive(p, out []byte, e *events) ([]byte, error) {
	for s.got += len(p); s.got >= 1<<20; s.got -= 1 << 20 {
		e.units++
	}
	return out, nil
}

// newPassthrough sends a ClientHello first. Who passes TLS through reads nothing else of it, so that what follows need not be TLS, and
// neither end of the measurement pays for cryptography.
func newPassthrough() func() session {
	client, server := net.Pipe()
	go func() {
		_ = tls.Client(client, &tls.Config{ServerName: "bench.example.com", MinVersion: tls.VersionTLS13}).HandshakeContext(context.Background())
	}()
	hello := make([]byte, 8192)
	n, err := server.Read(hello)
	_ = client.Close()
	if err != nil {
		n = 0
	}
	return func() session { return &sink{first: hello[:n]} }
}

func get(path string) []byte {
	return []byte("GET " + path + " HTTP/1.1\r\nHost: bench.example.com\r\n\r\n")
}

func newUpload(path string) func() session {
	text := append([]byte("POST "+path+" HTTP/1.1\r\nHost: bench.example.com\r\nContent-Length: 1048576\r\n\r\n"), make([]byte, 1<<20)...)
	return func() session { return &httpSession{text: text} }
}

// httpSession sends one request again and again.
type httpSession struct {
	text []byte
	in   []byte
	skip int // bytes of the answer's body that are to come
}

func (*httpSession) hello() []byte { return nil }

func (s *httpSession) request(_ int, out []byte) []byte { return append(out, s.text...) }

var endOfHead = []byte("\r\n\r\n")

func (s *httpSession) receive(p, out []byte, e *events) ([]byte, error) {
	if s.skip == 0 {
		s.in = append(s.in, p...)
		end := bytes.Index(s.in, endOfHead)
		if end < 0 {
			return out, nil
		}
		n, err := bodyLength(s.in[:end+2])
		if err != nil {
			return out, err
		}
		p, s.skip = s.in[end+len(endOfHead):], n
		s.in = s.in[:0]
	}
	if len(p) > s.skip {
		return out, fmt.Errorf("%d bytes more than were asked for", len(p)-s.skip)
	}
	if s.skip -= len(p); s.skip == 0 {
		e.done = append(e.done, 0)
	}
	return out, nil
}

var contentLength = []byte("content-length:")

// bodyLength reads a response's head.
func bodyLength(head []byte) (int, error) {
	if !bytes.HasPrefix(head, []byte("HTTP/1.1 200 ")) {
		line, _, _ := bytes.Cut(head, []byte("\r"))
		return 0, fmt.Errorf("the answer is %q", line)
	}
	for line := range bytes.Lines(head) {
		if len(line) > len(contentLength) && bytes.EqualFold(line[:len(contentLength)], contentLength) {
			n, err := strconv.Atoi(string(bytes.TrimSpace(line[len(contentLength):])))
			if err != nil || n <= 0 {
				return 0, fmt.Errorf("the answer's length is %q", line)
			}
			return n, nil
		}
	}
	return 0, fmt.Errorf("an answer without a length: %q", head)
}

// webSocket exchanges frames of 128 bytes after a handshake.
type webSocket struct {
	in    []byte
	ready bool
	got   int
}

// frameLength is a masked frame's: two bytes, two of length, four of mask, and the payload.
const frameLength = 2 + 2 + 4 + 128

func (*webSocket) hello() []byte {
	key := base64.StdEncoding.EncodeToString([]byte("wicketgate bench"))
	return []byte("GET / HTTP/1.1\r\nHost: bench.example.com\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + key + "\r\n\r\n")
}

func (*webSocket) request(_ int, out []byte) []byte {
	frame := [frameLength]byte{0x82, 0x80 | 126, 0, 128, 1, 2, 3, 4}
	return append(out, frame[:]...)
}

// receive counts bytes: the echo knows no frames, so that the answer is as long as the request.
func (s *webSocket) receive(p, out []byte, e *events) ([]byte, error) {
	if !s.ready {
		s.in = append(s.in, p...)
		if !bytes.HasSuffix(s.in, endOfHead) {
			return out, nil
		}
		if !bytes.HasPrefix(s.in, []byte("HTTP/1.1 101 ")) {
			return out, fmt.Errorf("no upgrade: %q", s.in)
		}
		s.ready, e.ready = true, true
		return out, nil
	}
	for s.got += len(p); s.got >= frameLength; s.got -= frameLength {
		e.done = append(e.done, 0)
	}
	return out, nil
}
