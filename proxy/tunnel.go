// Upgrades: after 101 both sides exchange bytes that are none of the proxy's business.

package proxy

import (
	"bytes"
	"io"
	"sync"

	"github.com/wicketgate/wicketgate/message"
	"github.com/wicketgate/wicketgate/proxy/stream"
	"github.com/wicketgate/wicketgate/wire"
)

// upgrade passes the backend's 101 on and copies both ways until both are done. It is refused unless the backend switched to
// what the client asked for (RFC 9110 section 7.8).
func (c *call) upgrade() int {
	res := &c.res.Head
	if len(c.req.Upgrade) == 0 || !message.EqualFold(res.Upgrade, c.req.Upgrade) || c.res.Duplex == nil {
		return c.refuse(statusBadGateway, "the backend switched to a protocol that was not asked for", nil)
	}
	c.share.filters.response.apply(res)
	c.match.rule.filters.response.apply(res)
	if c.share.session != nil {
		c.remember(res)
	}
	if c.granted != nil {
		change(&res.Fields, c.granted)
	}
	// A tunnel may last for days. From here on it needs nothing of the snapshot.
	c.leave()
	c.unlink()
	client, err := c.x.Tunnel(res)
	res.Upgrade = nil // over HTTP/2 backends say nothing of that: it is the request's
	if err != nil {
		c.log(statusClientGone, "the client left before the upgrade", err)
		return statusClientGone
	}
	if !c.relay(client, c.res.Duplex) {
		join(client, c.res.Duplex)
	}
	return statusSwitching
}

// unlink lets go of what points to the memory that the request came in, since Tunnel gives that to others: all but the head, of which Tunnel makes a
// copy, and the path, which the access log will ask for.
func (c *call) unlink() {
	c.sent = bytes.Clone(c.sent)
	c.in.Path, c.in.Method, c.in.Query, c.allowed = nil, nil, nil, nil
}

// relay has the streams' server carry a tunnel between two plain sockets, which costs two system calls a message less than join, and reports
// whether it did: false if a side is no such socket.
func (c *call) relay(client, back wire.Duplex) bool {
	a, ok := client.(wire.Spliceable)
	b, also := back.(wire.Spliceable)
	if !ok || !also {
		return false
	}
	t := c.proxy.opt.Streams.Tunnel(a.NetConn(), b.NetConn())
	if t == nil {
		return false
	}
	c.x.Watch(interruption{t})
	defer c.x.Watch(nil)
	if c.x.Context().Err() != nil { // before it was watched over
		t.Stop()
	}
	t.Relay(a.Buffered(), b.Buffered())
	return true
}

// interruption ends a tunnel whose client's connection is broken off from outside. (Within a tunnel nobody watches for the client's leaving: the
// tunnel sees that itself.)
type interruption struct{ *stream.Tunnel }

// Cancel implements wire.Canceller.
func (i interruption) Cancel(message.Reason) { i.Stop() }

// join copies between two streams, each way until its end, which is passed on as a half-close. An error in either direction ends both.
// There is no limit of time: what is idle is not dead. join closes both and returns when nothing runs any more.
func join(a, b wire.Duplex) {
	var once sync.Once
	abort := func() {
		once.Do(func() {
			a.Close()
			b.Close()
		})
	}
	defer abort()
	copyEnd := func(to, from wire.Duplex) {
		// The streams know how to copy without holding a buffer while they wait (io.WriterTo). The first error ends everything.
		if _, err := io.Copy(to, from); err != nil || to.CloseWrite() != nil {
			abort()
		}
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		copyEnd(b, a)
	}()
	copyEnd(a, b)
	<-done
}
