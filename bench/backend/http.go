//go:build linux

// HTTP/1.1: fixed answers, bodies that are thrown away, and an upgrade that becomes an echo.

package main

import (
	"bytes"
	"crypto/sha1" // RFC 6455 demands it
	"encoding/base64"
	"fmt"
	"slices"
	"strconv"
	"time"
)

// answer makes a whole response with a body of the given length.
func answer(length int) []byte {
	head := fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n", length)
	return append([]byte(head), bytes.Repeat([]byte{'x'}, length)...)
}

// httpSession takes every CRLF CRLF for the end of a head and believes its Content-Length; requests in chunks are not understood.
type httpSession struct {
	small, large, huge []byte

	skip     int    // bytes of a request's body that are still to come
	response []byte // for the request whose body is coming
	upgraded bool
}

func newHTTP() func() session {
	small, large, huge := answer(128), answer(64<<10), answer(10<<20)
	return func() session { return &httpSession{small: small, large: large, huge: huge} }
}

// slowSession takes its time, so that whoever sends to it is always ahead.
type slowSession struct{ session }

func newSlow() func() session {
	quick := newHTTP()
	return func() session { return slowSession{quick()} }
}

func (s slowSession) receive(p []byte, w *writer) (int, error) {
	time.Sleep(500 * time.Microsecond)
	return s.session.receive(p, w)
}

var (
	endOfHead     = []byte("\r\n\r\n")
	wishLarge     = []byte("/64k")
	wishHuge      = []byte("/10m")
	contentLength = []byte("content-length:")
	webSocketKey  = []byte("sec-websocket-key:")
)

func (*httpSession) more(*writer) {}

func (s *httpSession) receive(p []byte, w *writer) (int, error) {
	done := 0
	for done < len(p) {
		rest := p[done:]
		if s.upgraded {
			w.send(append([]byte(nil), rest...))
			return len(p), nil
		}
		if s.skip > 0 {
			n := min(s.skip, len(rest))
			done, s.skip = done+n, s.skip-n
			if s.skip == 0 {
				w.send(s.response)
			}
			continue
		}
		end := bytes.Index(rest, endOfHead)
		if end < 0 {
			break
		}
		done += end + len(endOfHead)
		if err := s.head(rest[:end], w); err != nil {
			return 0, err
		}
	}
	return done, nil
}

// head answers a request, or remembers the answer until its body has come.
func (s *httpSession) head(head []byte, w *writer) error {
	s.response = s.small
	line, _, _ := bytes.Cut(head, []byte("\r"))
	if bytes.Contains(line, wishLarge) {
		s.response = s.large
	} else if bytes.Contains(line, wishHuge) {
		s.response = s.huge
	}
	if head[0] == 'G' { // GET: without a body, but perhaps with a wish for WebSocket
		if key, ok := value(head, webSocketKey); ok {
			s.upgraded = true
			w.send(accept(key))
			return nil
		}
		w.send(s.response)
		return nil
	}
	length, ok := value(head, contentLength)
	n, err := strconv.Atoi(string(length))
	if !ok || err != nil || n < 0 {
		return fmt.Errorf("a request that is not understood: %q", head)
	}
	if s.skip = n; n == 0 {
		w.send(s.response)
	}
	return nil
}

// value finds a field by its name in lower case with a colon.
func value(head, name []byte) ([]byte, bool) {
	for line := range bytes.Lines(head) {
		if len(line) > len(name) && bytes.EqualFold(line[:len(name)], name) {
			return bytes.TrimSpace(line[len(name):]), true
		}
	}
	return nil, false
}

// accept is the answer to a WebSocket handshake (RFC 6455 section 4.2.2).
func accept(key []byte) []byte {
	sum := sha1.Sum(append(slices.Clip(key), "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"...))
	return fmt.Appendf(nil, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n",
		base64.StdEncoding.EncodeToString(sum[:]))
}
