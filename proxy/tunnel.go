// Upgrades: after 101 both sides exchange bytes that are none of the proxy's business.

package proxy

import (
	"io"
	"sync"

	"github.com/wicketgate/wicketgate/message"
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
	client, err := c.x.Tunnel(res)
	if err != nil {
		c.log(statusClientGone, "the client left before the upgrade", err)
		return statusClientGone
	}
	join(client, c.res.Duplex)
	return statusSwitching
}

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
