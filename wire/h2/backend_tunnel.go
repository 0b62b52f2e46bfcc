// A WebSocket to a backend over a stream: extended CONNECT (RFC 8441), as two byte streams.

package h2

import (
	"crypto/sha1" //nolint:gosec // RFC 6455 section 4.2.2 uses it, and not as a protection
	"encoding/base64"
	"time"

	"github.com/wicketgate/wicketgate/message"
)

// backendTunnel implements wire.Duplex. Reading and writing may be done by two goroutines.
type backendTunnel BackendStream

func (t *backendTunnel) stream() *BackendStream { return (*BackendStream)(t) }

func (t *backendTunnel) Read(p []byte) (int, error) {
	b := &t.stream().body
	if len(b.rest) == 0 {
		next, err := b.Next()
		if err != nil {
			return 0, err
		}
		b.rest = next
	}
	n := copy(p, b.rest)
	b.rest = b.rest[n:]
	return n, nil
}

func (t *backendTunnel) Write(p []byte) (int, error) {
	if len(p) > 0 && !t.stream().send(p, false) {
		return 0, errCancelled
	}
	return len(p), nil
}

func (t *backendTunnel) CloseWrite() error {
	s := t.stream()
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	if s.over() || s.sent {
		return nil
	}
	s.sent = true
	s.c.put(func(dst []byte) []byte { return AppendData(dst, s.id, nil, true) })
	return nil
}

// Close breaks both directions off, unless they have ended.
func (t *backendTunnel) Close() error {
	t.stream().Cancel(message.Reset)
	return nil
}

// unbound makes of the response to CONNECT what HTTP/1 calls switching protocols, and lifts the exchange's time limit and the watch over its
// client: a tunnel may be idle, and its halves end one by one.
func (s *BackendStream) unbound(req, res *message.Head) {
	if s.x != nil {
		s.x.Watch(nil)
		s.x = nil
	}
	s.c.mu.Lock()
	s.until = time.Time{}
	s.c.mu.Unlock()
	if s.timer != nil {
		s.timer.Stop()
	}
	res.Status, res.Upgrade, res.Length = 101, req.Upgrade, message.LengthNone
	if key := req.Fields.Get(webSocketKey); key != nil && !res.Fields.Has(webSocketAccept) {
		res.Fields.Add([]byte("Sec-WebSocket-Accept"), accept(key))
	}
}

const (
	webSocketKey    = "sec-websocket-key"
	webSocketAccept = "sec-websocket-accept"
)

// accept answers the key of a client of HTTP/1 (RFC 6455 section 4.2.2): HTTP/2 has no use for it.
func accept(key []byte) []byte {
	sum := sha1.Sum(append(append([]byte(nil), key...), "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"...)) //nolint:gosec // see above
	return base64.StdEncoding.AppendEncode(nil, sum[:])
}

// withoutKey copies fields without that key.
func withoutKey(fields *message.Fields) (out message.Fields) {
	for i := range fields.Len() {
		if f := fields.At(i); !message.Equal(f.Name, webSocketKey) {
			out.Add(f.Name, f.Value)
		}
	}
	return out
}
