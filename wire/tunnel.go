// Connections after an upgrade: two byte streams, each of which ends on its own.

package wire

import (
	"errors"
	"io"
	"net"

	"github.com/wicketgate/wicketgate/message"
)

// Spliceable is a Duplex that can show what is under it, so that bytes can be moved within the kernel: what is buffered first, then
// what the connection gives. Who takes the connection reads from it alone.
type Spliceable interface {
	Duplex
	// Buffered returns the bytes that were read and not yet consumed, and consumes them.
	Buffered() []byte
	NetConn() net.Conn
}

func (x *exchange) Tunnel(h *message.Head) (Duplex, error) {
	if len(x.head.Upgrade) == 0 || h.Status != 101 {
		return nil, ErrNoUpgrade
	}
	if _, err := x.start(); err != nil {
		return nil, err
	}
	c := x.c
	c.transport.stop()
	head := *h
	if len(head.Upgrade) == 0 {
		head.Upgrade = x.head.Upgrade
	}
	x.out = AppendResponseHead(x.out[:0], &head, Framing{KeepAlive: true}, 1)
	if err := c.transport.send(x.out, nil, nil); err != nil {
		x.abort()
		return nil, err
	}
	c.begin(phaseTunnel, c.s.clock.Load())
	t := &tunnel{nc: c.nc, transport: c.transport, buffered: append([]byte(nil), x.buf[x.end:x.n]...)}
	if p, ok := c.transport.(*portable); ok {
		t.buffered = append(t.buffered, p.takePeeked()...)
	}
	x.n = x.end
	x.shed()
	return t, nil
}

// tunnel implements Spliceable. Reading and writing may be done by two goroutines.
type tunnel struct {
	nc        net.Conn
	transport transport
	buffered  []byte
}

func (t *tunnel) Read(p []byte) (int, error) {
	if len(t.buffered) > 0 {
		n := copy(p, t.buffered)
		t.buffered = t.buffered[n:]
		return n, nil
	}
	return t.nc.Read(p)
}

func (t *tunnel) Write(p []byte) (int, error) { return t.nc.Write(p) }

// WriteTo is how io.Copy reads. Nothing but a small buffer at most is held while the client is silent: a pipe to splice through would cost two
// descriptors for each direction of every tunnel, and messages are small.
func (t *tunnel) WriteTo(w io.Writer) (int64, error) {
	return relayAll(w, t.Buffered(), t.transport.relay)
}

// relayAll writes to w what is in hand, and then what relay moves, up to the end.
func relayAll(w io.Writer, inHand []byte, relay func(io.Writer) (int, error)) (moved int64, err error) {
	n := 0
	if len(inHand) > 0 {
		n, err = w.Write(inHand)
	}
	for moved = int64(n); err == nil; moved += int64(n) {
		n, err = relay(w)
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return moved, err
}

func (t *tunnel) CloseWrite() error {
	if c, ok := t.nc.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite()
	}
	return t.nc.Close()
}

func (t *tunnel) Close() error { return t.nc.Close() }

func (t *tunnel) Buffered() []byte {
	b := t.buffered
	t.buffered = nil
	return b
}

func (t *tunnel) NetConn() net.Conn { return t.nc }
