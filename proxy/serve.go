// The way of a request.

package proxy

import (
	"net/http"
	"time"

	"github.com/wicketgate/wicketgate/message"
	"github.com/wicketgate/wicketgate/proxy/backend"
	"github.com/wicketgate/wicketgate/router"
	"github.com/wicketgate/wicketgate/wire"
)

// call is one request while it is served. Calls are reused, so that a request allocates nothing; one belongs to the goroutine of
// Serve.
type call struct {
	proxy *Proxy
	x     wire.Exchange
	req   *message.Head
	peer  *wire.Peer
	conn  *connection
	life  *lifetime

	listener *listener // nil: none for this host
	match    *match    // nil: none for this request
	share    *share    // nil: none chosen
	sent     []byte    // the path that the client sent, normalised

	in  router.Input
	res backend.Response
	own message.Head
	txt text
	// Memory for values made for this request; they are valid until it ends.
	path, path2, forwarded, location []byte
}

// statusClientGone is what metrics and logs call a request whose client left before it had an answer.
const statusClientGone = 499

// Serve implements wire.Handler.
func (p *Proxy) Serve(x wire.Exchange) {
	c := p.calls.Get().(*call)
	c.x, c.req, c.peer = x, x.Request(), x.Peer()
	c.conn = p.connection(c.peer)
	shard := c.conn.shard
	s := p.enter(shard)
	c.life = s.life
	status := c.resolve(s)
	counts := c.series()
	counts.start(shard)
	if status == 0 {
		status = c.serve()
	}
	counts.done(shard, status, time.Since(x.Arrived()))
	c.end(shard)
}

// end leaves the snapshot and forgets everything that the request had.
func (c *call) end(shard uint32) {
	if c.life != nil {
		c.life.leave(shard)
	}
	p := c.proxy
	header := c.in
	header.Host, header.Path, header.Method, header.Query, header.Header = nil, nil, nil, nil, nil
	c.own.Reset()
	*c = call{
		proxy: p, in: header, res: c.res, own: c.own,
		path: c.path[:0], path2: c.path2[:0], forwarded: c.forwarded[:0], location: c.location[:0],
	}
	p.calls.Put(c)
}

// series is where the request counts.
func (c *call) series() *series {
	switch {
	case c.match != nil:
		return c.match.series
	case c.listener != nil:
		return c.listener.unmatched
	}
	return c.life.unbound
}

// resolve finds listener and rule. If there are none it answers and returns the status; else 0.
func (c *call) resolve(s *Snapshot) int {
	if err := message.NormalizeTarget(c.req, !c.proxy.opt.KeepSlashes); err != nil {
		return c.refuse(http.StatusBadRequest, "the request target is malformed", err)
	}
	if status := c.listen(s); status != 0 {
		return status
	}
	if !c.forward(c.listener) {
		return c.refuse(http.StatusBadRequest, "a header name has an underscore", nil)
	}
	c.sent = c.req.Path
	c.in.Host, c.in.Path, c.in.Method, c.in.Query = c.conn.host, c.req.Path, c.req.Method, c.req.Query
	c.in.Header = &c.req.Fields
	m, ok := c.listener.table.Lookup(&c.in, nil)
	if !ok {
		return c.refuse(http.StatusNotFound, reasonUnmatched, nil)
	}
	c.match = m
	return 0
}

// serve does what the rule says and returns the status that the client got.
func (c *call) serve() int {
	r := c.match.rule
	if r.unusable != "" {
		return c.refuse(http.StatusInternalServerError, r.unusable, nil)
	}
	f := &r.filters
	if f.redirect != nil {
		return c.redirect(f)
	}
	c.share = r.backends[r.balance.pick()]
	if c.share.unusable != "" {
		return c.refuse(http.StatusInternalServerError, c.share.unusable, nil)
	}
	c.path = f.rewrite(c.req, c.sent, c.match.prefix, c.path)
	c.path2 = c.share.filters.rewrite(c.req, c.sent, c.match.prefix, c.path2)
	return c.exchange()
}

// redirect answers with the rule's RequestRedirect.
func (c *call) redirect(f *filters) int {
	t := target{
		scheme: c.scheme(), host: c.conn.host, listenerPort: c.listener.source.Port,
		path: c.sent, query: c.req.Query, hasQuery: c.req.HasQuery, prefixLen: c.match.prefix,
	}
	if len(t.host) == 0 { // HTTP/1.0 without Host: the address that the client used
		t.host = hostOf(c.peer.Local.Addr())
	}
	c.location = f.redirect.appendLocation(c.location[:0], &t)
	c.own.Reset()
	c.own.Status, c.own.Length = f.redirect.status, 0
	c.own.Fields.Add(nameLocation, c.location)
	f.response.apply(&c.own)
	return c.respond(&c.own, nil)
}

// scheme is that of the connection.
func (c *call) scheme() string {
	if c.peer.TLS != nil {
		return "https"
	}
	return "http"
}
