// The way of a request.

package proxy

import (
	"net/netip"
	"time"

	"github.com/wicketgate/wicketgate/accesslog"
	"github.com/wicketgate/wicketgate/message"
	"github.com/wicketgate/wicketgate/proxy/backend"
	"github.com/wicketgate/wicketgate/proxy/extauth"
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
	held  bool // the snapshot's lifetime counts this request

	status int
	why    string // of an answer of our own, for the access log
	counts *series
	entry  *accesslog.Entry // kept between requests; nil until one was logged

	listener *listener // nil: none for this host
	match    *match    // nil: none for this request
	share    *share    // nil: none chosen
	sent     []byte    // the path that the client sent, normalised
	cors     *cors     // nil: no CORS filter
	allowed  []byte    // by cors: the value of Access-Control-Allow-Origin, nil if the origin is not allowed

	// grpc: errors are told by grpc-status, because the request is gRPC and for a GRPCRoute, or for nobody where there are some.
	grpc  bool
	reply reply
	// called: the call got a grpc-status, code, or ended without one.
	called bool
	code   grpcCode

	in      router.Input
	res     backend.Response
	stored  *stored          // the request's body, if an authorization service had to see it
	vouched []string         // names of fields that such a service has the say of, in lower case
	granted []extauth.Change // fields that such a service gives the response; nil: none
	token   token            // of the session, where the share has any
	replay  *backend.Replay  // nil unless the rule has retries and the request a body
	own     message.Head
	txt     message.Text
	content screened
	tee     tee
	// Memory for values made for this request; they are valid until it ends.
	path, path2, forwarded, location, listed []byte
}

// Serve implements wire.Handler.
func (p *Proxy) Serve(x wire.Exchange) {
	c := p.calls.Get().(*call)
	c.x, c.req, c.peer = x, x.Request(), x.Peer()
	c.conn = p.connection(c.peer)
	s := p.enter(c.conn.shard)
	c.life, c.held = s.life, true
	c.status = statusInternalError // of a panic, for which the wire answers
	defer c.end()
	status := c.resolve(s)
	c.counts = c.series()
	c.counts.start(c.conn.shard)
	if status == 0 {
		status = c.serve()
	}
	c.status = status
}

// ServesPromptly implements wire.Prompt.
func (p *Proxy) ServesPromptly() {}

// end counts the request, leaves the snapshot and forgets everything that the request had.
func (c *call) end() {
	p, shard := c.proxy, c.conn.shard
	if c.counts != nil {
		c.counts.done(shard, c.status, time.Since(c.x.Arrived()))
	}
	if p.opt.AccessLog != nil {
		c.record(p.opt.AccessLog)
	}
	if c.replay != nil {
		c.endReplay()
	}
	if len(c.tee.mirrors) > 0 {
		c.endMirrors()
	}
	c.leave()
	c.x, c.req, c.peer, c.conn, c.life, c.counts = nil, nil, nil, nil, nil, nil
	c.listener, c.match, c.share, c.sent, c.txt = nil, nil, nil, nil, nil
	c.cors, c.allowed, c.why = nil, nil, ""
	c.content = screened{}
	c.in.Host, c.in.Path, c.in.Method, c.in.Query, c.in.Header = nil, nil, nil, nil, nil
	c.in.GRPC, c.grpc, c.called = false, false, false
	c.res.Endpoint, c.res.Socket, c.res.Attempts, c.res.Prefer, c.res.ID = netip.AddrPort{}, "", 0, 0, 0
	c.token, c.stored, c.vouched, c.granted = token{}, nil, nil, nil
	p.calls.Put(c)
}

// leave says that the request needs nothing of its snapshot any more.
func (c *call) leave() {
	if c.held {
		c.held = false
		c.life.leave(c.conn.shard)
	}
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
	if string(c.req.Method) == "CONNECT" {
		return c.refuse(statusNotImplemented, "CONNECT asks for a forward proxy", nil)
	}
	if err := message.NormalizeTarget(c.req, !c.proxy.opt.KeepSlashes); err != nil {
		return c.refuse(statusBadRequest, "the request target is malformed", err)
	}
	if status := c.challenge(); status != 0 {
		return status
	}
	if status := c.listen(s); status != 0 {
		return status
	}
	if c.listener.grpc {
		c.in.GRPC = isGRPC(c.req)
		c.grpc = c.in.GRPC
	}
	if !c.forward(c.listener) {
		return c.refuse(statusBadRequest, reasonUnderscore, nil)
	}
	if c.sent = c.req.Path; len(c.sent) == 1 && c.sent[0] == '*' {
		c.sent = root // OPTIONS * is about the whole server: filters that make a path of it begin there
	}
	c.in.Host, c.in.Path, c.in.Method, c.in.Query = c.conn.host, c.req.Path, c.req.Method, c.req.Query
	c.in.Header = &c.req.Fields
	m, ok := c.listener.table.Lookup(&c.in, nil)
	if !ok {
		return c.refuse(statusNotFound, reasonUnmatched, nil)
	}
	c.match = m
	if c.grpc && !m.grpc {
		c.grpc = false
		if !c.screenNames() { // which were let pass in case that the rule is a GRPCRoute's
			return c.refuse(statusBadRequest, reasonUnderscore, nil)
		}
	}
	return 0
}

// serve does what the rule says and returns the status that the client got.
func (c *call) serve() int {
	r := c.match.rule
	if r.unusable != "" {
		return c.refuse(statusInternalError, r.unusable, nil)
	}
	f := r.filters
	if f.cors != nil && c.crossOrigin(f.cors) {
		return c.preflight()
	}
	if status := c.pass(f); status != 0 {
		return status
	}
	if f.redirect != nil {
		return c.redirect(f)
	}
	c.share = &r.first
	if r.balance != nil {
		c.share = r.share(r.balance.pick())
	}
	if c.share.unusable != "" {
		return c.refuse(statusInternalError, c.share.unusable, nil)
	}
	if own := c.share.filters.cors; own != nil && c.cors == nil && c.crossOrigin(own) {
		return c.preflight()
	}
	if status := c.pass(c.share.filters); status != 0 {
		return status
	}
	authority, path := c.req.Authority, c.req.Path
	c.path = f.rewrite(c.req, c.sent, int(c.match.prefix), c.path)
	if len(f.mirrors) > 0 {
		c.mirror(f.mirrors, authority, path)
	}
	f = c.share.filters
	c.path2 = f.rewrite(c.req, c.sent, int(c.match.prefix), c.path2)
	if len(f.mirrors) > 0 {
		c.mirror(f.mirrors, authority, path)
	}
	return c.exchange()
}

// redirect answers with the rule's RequestRedirect.
func (c *call) redirect(f *filters) int {
	t := target{
		scheme: c.scheme(), host: c.conn.host, listenerPort: c.listener.source.Port,
		path: c.sent, query: c.req.Query, hasQuery: c.req.HasQuery, prefixLen: int(c.match.prefix),
	}
	if len(t.host) == 0 { // HTTP/1.0 without Host: the address that the client used
		t.host = hostOf(c.peer.Local.Addr())
	}
	c.location = f.redirect.appendLocation(c.location[:0], &t)
	c.own.Reset()
	c.own.Status, c.own.Length = f.redirect.status, 0
	c.own.Fields.Add(nameLocation, c.location)
	f.response.apply(&c.own)
	c.permit(&c.own)
	return c.respond(&c.own, nil)
}

// scheme is that of the connection.
func (c *call) scheme() string {
	if c.peer.TLS != nil {
		return "https"
	}
	return "http"
}
