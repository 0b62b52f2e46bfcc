// Both directions of a connection.
//
// Each direction has a goroutine that moves bytes from one side to the other, no faster than they are taken. When a side has said all it will
// (FIN, or TLS's close_notify), the other side is told the same way and the opposite direction goes on: half a connection may live as long
// as it likes. What is not an end but a failure is passed on as one: a side that was reset resets the other, so that nobody takes half of
// something for all of it.

package stream

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"sync/atomic"
	"time"
)

// lastWords is how long a side that takes no bytes any more may go on sending what it has left to say.
const lastWords = 5 * time.Second

// ending says how one direction ended.
type ending uint8

const (
	finished ending = iota // the source has said all
	cut                    // so it seems, but TLS did not announce it
	broken                 // the source failed
	refused                // the sink takes no more
	ended                  // from outside
)

// relay copies both ways and returns when both are over. back is what was read from the backend already.
func (c *conn) relay(client, to net.Conn, back []byte) (Outcome, error) {
	first := c.in.First
	c.in.First = nil
	type result struct {
		how ending
		err error
	}
	var down result
	done := make(chan struct{})
	go func() {
		defer close(done)
		down.how, down.err = c.direction(client, to, back, &c.down)
	}()
	var up result
	up.how, up.err = c.direction(to, client, first, &c.up)
	<-done
	switch {
	case c.ended():
		return Drained, errEnded
	case up.how == broken || down.how == refused:
		return ClientReset, errors.Join(up.err, down.err)
	case down.how == broken || up.how == refused:
		return BackendReset, errors.Join(down.err, up.err)
	}
	return OK, nil
}

// direction moves everything from one side to the other, beginning with what was read before, and passes its end on.
func (c *conn) direction(to, from net.Conn, first []byte, count *atomic.Int64) (ending, error) {
	how, err := c.move(to, from, first, count)
	switch how {
	case finished, cut:
		if c.ends.Add(1) == 2 && how == finished {
			return how, nil // both sides have said all: they are closed at once
		}
		if failed := closeWrite(to, how); failed != nil && !errors.Is(failed, net.ErrClosed) {
			return refused, failed
		}
	case broken:
		c.interrupt()
	case refused:
		// It may have said why before it closed: that is read out, for a while.
		time.AfterFunc(lastWords, c.interrupt)
	}
	return how, err
}

// move chooses how.
func (c *conn) move(to, from net.Conn, first []byte, count *atomic.Int64) (ending, error) {
	if len(first) > 0 {
		n, err := to.Write(first)
		count.Add(int64(n))
		if err != nil {
			return endOfWriting(err), err
		}
	}
	if !c.server.portable {
		if f := newRawFlow(c, to, from, count); f != nil {
			return f.run()
		}
	}
	return copyPortable(to, from, count)
}

// closeWrite tells a side that nothing more will come. Where that was not announced to us it is not announced by us.
func closeWrite(to net.Conn, how ending) error {
	if secured, ok := to.(interface{ NetConn() net.Conn }); ok && how == cut {
		to = secured.NetConn()
	}
	half, ok := to.(interface{ CloseWrite() error })
	if !ok {
		return nil
	}
	return half.CloseWrite()
}

// endOfReading sorts an error of reading.
func endOfReading(err error) ending {
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		return cut
	case errors.Is(err, io.EOF):
		return finished
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, net.ErrClosed):
		return ended
	}
	return broken
}

// endOfWriting sorts an error of writing.
func endOfWriting(err error) ending {
	if errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, net.ErrClosed) {
		return ended
	}
	return refused
}

// negotiated is the application's protocol of a TLS connection; empty if there is none.
func negotiated(c net.Conn) string {
	if secured, ok := c.(interface{ ConnectionState() tls.ConnectionState }); ok {
		return secured.ConnectionState().NegotiatedProtocol
	}
	return ""
}
