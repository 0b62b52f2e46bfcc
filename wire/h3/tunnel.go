// WebSockets over HTTP/3 (RFC 9220): an extended CONNECT is shown to the handler as the upgrade of HTTP/1 that it stands for.

package h3

import (
	"errors"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"

	"github.com/wicketgate/wicketgate/message"
	"github.com/wicketgate/wicketgate/wire"
	"github.com/wicketgate/wicketgate/wire/h2"
)

// Never written to.
var (
	nameKey    = []byte("sec-websocket-key")
	nameAccept = "sec-websocket-accept"
)

var errHandshake = errors.New("the backend's Sec-WebSocket-Accept does not answer the request's key")

// handshake gives the request what only the handshake of HTTP/1 has.
func (x *exchange) handshake() {
	x.key = h2.NewWebSocketKey()
	x.head.Fields.Set(nameKey, x.key[:])
	x.head.Length = message.LengthNone
}

func (x *exchange) Tunnel(h *message.Head) (wire.Duplex, error) {
	if len(x.head.Upgrade) == 0 || h.Status != 101 {
		return nil, wire.ErrNoUpgrade
	}
	if x.answered {
		return nil, wire.ErrAnswered
	}
	x.answered = true
	if string(h.Fields.Get(nameAccept)) != h2.WebSocketAccept(x.key[:]) {
		reset(x.stream, InternalError)
		return nil, errHandshake
	}
	head := message.Head{Status: 200}
	for i := range h.Fields.Len() {
		if f := h.Fields.At(i); !message.Equal(f.Name, nameAccept) {
			head.Fields.Add(f.Name, f.Value)
		}
	}
	x.outMu.Lock()
	x.final = true
	x.outMu.Unlock()
	x.out = appendHead(x.out[:0], &head, message.LengthNone, nil)
	if err := x.flush(); err != nil {
		return nil, err
	}
	x.body.length = message.LengthUnknown
	_ = x.stream.SetWriteDeadline(time.Time{}) // a tunnel may stand still; fails never
	return &tunnel{x: x}, nil
}

// tunnel implements wire.Duplex. Reading and writing may be done by two goroutines.
type tunnel struct {
	x      *exchange
	rest   []byte
	out    []byte
	closed atomic.Bool // for writing
}

func (t *tunnel) Read(p []byte) (int, error) {
	if len(t.rest) == 0 {
		var err error
		if t.rest, err = t.x.body.Next(); err != nil {
			return 0, err
		}
	}
	n := copy(p, t.rest)
	t.rest = t.rest[n:]
	return n, nil
}

func (t *tunnel) Write(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	t.out = append(appendFrameHead(t.out[:0], frameData, len(p)), p...)
	if _, err := t.x.stream.Write(t.out); err != nil {
		return 0, err
	}
	t.x.written += int64(len(p))
	return len(p), nil
}

func (t *tunnel) CloseWrite() error {
	if t.closed.Swap(true) {
		return nil
	}
	return t.x.stream.Close()
}

// Close ends both directions; unless writing has ended already the client learns that this was no clean end.
func (t *tunnel) Close() error {
	t.x.body.Stop(message.Reset)
	if !t.closed.Swap(true) {
		t.x.stream.CancelWrite(quic.StreamErrorCode(RequestCancelled))
	}
	return nil
}
