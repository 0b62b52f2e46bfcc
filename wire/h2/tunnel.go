// WebSockets over HTTP/2 (RFC 8441): an extended CONNECT is shown to the handler as the upgrade of HTTP/1 that it stands for, so that a backend which
// speaks HTTP/1 is asked for one. websocket.go has the handshake that HTTP/2 does not.

package h2

import (
	"errors"
	"io"

	"github.com/wicketgate/wicketgate/message"
	"github.com/wicketgate/wicketgate/wire"
)

const wsAcceptName = "sec-websocket-accept"

// wsKeyName is never written to.
var wsKeyName = []byte("sec-websocket-key")

var errHandshake = errors.New("the backend's Sec-WebSocket-Accept does not answer the request's key")

func (s *stream) Tunnel(h *message.Head) (wire.Duplex, error) {
	if len(s.request.Upgrade) == 0 || h.Status != 101 {
		return nil, wire.ErrNoUpgrade
	}
	if s.answered {
		return nil, wire.ErrAnswered
	}
	s.answered = true
	head := message.Head{Status: 200}
	for i := range h.Fields.Len() {
		if f := h.Fields.At(i); !message.Equal(f.Name, wsAcceptName) {
			head.Fields.Add(f.Name, f.Value)
		}
	}
	c := s.c
	c.mu.Lock()
	defer c.mu.Unlock()
	if string(h.Fields.Get(wsAcceptName)) != WebSocketAccept(s.key[:]) {
		s.reset(InternalError)
		return nil, errHandshake
	}
	if s.gone || c.failed {
		return nil, errBrokenOff
	}
	s.responded, s.tunnelled, s.hasBody = true, true, true
	s.appendHead(&head, message.LengthNone, nil, false)
	return &tunnel{s: s}, nil
}

// tunnel implements wire.Duplex. Reading and writing may be done by two goroutines.
type tunnel struct {
	s    *stream
	rest []byte
}

func (t *tunnel) Read(p []byte) (int, error) {
	if len(t.rest) == 0 {
		var err error
		if t.rest, err = t.s.body.Next(); err != nil {
			return 0, err
		}
	}
	n := copy(p, t.rest)
	t.rest = t.rest[n:]
	return n, nil
}

// WriteTo is how io.Copy reads: without a buffer of its own.
func (t *tunnel) WriteTo(w io.Writer) (moved int64, err error) {
	p := t.rest
	t.rest = nil
	for {
		if len(p) > 0 {
			n, err := w.Write(p)
			if moved += int64(n); err != nil {
				return moved, err
			}
		}
		if p, err = t.s.body.Next(); err != nil {
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return moved, err
		}
	}
}

func (t *tunnel) Write(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if err := t.s.write(p, false); err != nil {
		return 0, err
	}
	return len(p), nil
}

func (t *tunnel) CloseWrite() error { return t.s.end(nil) }

// Close ends both directions; unless both have ended already the client learns that this was no clean end.
func (t *tunnel) Close() error {
	c := t.s.c
	c.mu.Lock()
	defer c.mu.Unlock()
	if !t.s.localEnd || !t.s.remoteEnd {
		t.s.reset(Cancel)
	}
	return nil
}
