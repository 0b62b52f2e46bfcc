// Listeners of protocols TCP and TLS: compiled into what package stream serves, and found again for each connection.
//
// A connection captures a snapshot as a request does, but only until it is connected to a backend: it may live for weeks, and must not keep alive
// for that long all that the configuration of its first moment holds.

package proxy

import (
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/wicketgate/wicketgate/gateway"
	"github.com/wicketgate/wicketgate/proxy/backend"
	"github.com/wicketgate/wicketgate/proxy/stream"
)

// streams is what a listener of protocol TCP or TLS does with its connections.
type streams struct {
	name        string // tells the listener from others, and from itself with another protocol or mode
	passthrough bool
	hosts       hostIndex // of served; a TCP listener has but one, for any
	served      []servedStream
	unmatched   *stream.Route // for server names that no route has
}

// servedStream is a route of a listener under one of its hostnames.
type servedStream struct {
	hostname string
	source   *gateway.Rule
	route    *stream.Route
}

// Opening is what the first bytes on a connection are, and so who reads them.
type Opening uint8

// The openings.
const (
	Plain      Opening = iota // a request
	Handshake                 // a handshake, whatever server name it asks for
	ServerName                // a handshake that the server name decides about: ServeStream, and Handshake if it declines
	Stream                    // not known, and perhaps none before the backend has spoken: ServeStream
)

// Opening says how connections open that the socket bound to bind accepts at a local address, and whether a header of the PROXY protocol comes
// before that.
func (p *Proxy) Opening(bind netip.AddrPort, local netip.Addr) (o Opening, proxied bool) {
	s := p.Current()
	at := s.socket(bind, local)
	if at == noSocket {
		return Plain, false
	}
	return s.sockets[at].opening, s.sockets[at].source.ProxyProtocol
}

func openingOf(s *gateway.Socket) Opening {
	switch s.Protocol {
	case gatewayv1.TCPProtocolType:
		return Stream
	case gatewayv1.TLSProtocolType:
		if slices.ContainsFunc(s.Listeners, func(l *gateway.Listener) bool { return l.Protocol == gatewayv1.TLSProtocolType }) {
			return ServerName
		}
		return Handshake
	}
	return Plain
}

// HasHTTPS says whether the socket bound to bind has an HTTPS listener at a local address.
func (p *Proxy) HasHTTPS(bind netip.AddrPort, local netip.Addr) bool {
	s := p.Current()
	at := s.socket(bind, local)
	return at != noSocket && s.sockets[at].hasHTTPS()
}

func (s *socket) hasHTTPS() bool {
	return slices.ContainsFunc(s.listeners, func(l *listener) bool { return l.source.Protocol == gatewayv1.HTTPSProtocolType })
}

// ServeStream carries a connection that the socket bound to bind accepted, to its end, and closes it. Where the handshake's server name leads to
// an HTTPS listener, or to none while there is one that could say so in a handshake, it does nothing and returns false. in needs Client, and on a
// TLS socket First, Offered and Handshake, which is left out where TLS is passed through.
func (p *Proxy) ServeStream(in stream.Connection, bind netip.AddrPort, serverName string) bool {
	shard := p.nextShard.Add(1) & (p.shards - 1)
	s := p.enter(shard)
	release := func() { s.life.leave(shard) }
	l := s.streamListener(bind, localAddr(in.Client), serverName)
	if l == nil {
		release()
		return false
	}
	if l == nobody {
		release()
		_ = in.Client.Close()
		return true
	}
	if l.streams.passthrough {
		in.Handshake = nil
	} else {
		in.First = nil // the handshake's
	}
	route := l.streams.unmatched
	if at := l.streams.hosts.find([]byte(serverName)); at != noListener {
		route = l.streams.served[at].route
	}
	in.ServerName, in.TLS = serverName, l.source.Protocol == gatewayv1.TLSProtocolType
	in.Listener, in.Release = l.streams.key(bind, l.local), release
	p.opt.Streams.Serve(in, route)
	return true
}

// nobody stands for the absence of a listener on a socket where nobody could say so in a handshake.
var nobody = &streamPlace{}

// streamPlace is a stream's listener on one socket.
type streamPlace struct {
	*listener
	local netip.Addr
}

// streamListener finds the listener of a connection; nil: it is not a stream's.
func (s *Snapshot) streamListener(bind netip.AddrPort, local netip.Addr, serverName string) *streamPlace {
	at := s.socket(bind, local)
	if at == noSocket {
		return nobody
	}
	socket := s.sockets[at]
	found := socket.hosts.find([]byte(serverName))
	switch {
	case found == noListener && socket.hasHTTPS():
		return nil
	case found == noListener:
		return nobody
	case socket.listeners[found].streams == nil:
		return nil
	}
	return &streamPlace{socket.listeners[found], socket.source.Local}
}

func localAddr(c net.Conn) netip.Addr {
	if tcp, ok := c.LocalAddr().(*net.TCPAddr); ok {
		return tcp.AddrPort().Addr().Unmap().WithZone("")
	}
	return netip.Addr{}
}

// streamName is what a listener's connections know it by. One that changes its protocol or mode is another one.
func streamName(l *gateway.Listener) string {
	name := l.Object().Key.String() + " " + l.Name + " " + string(l.Protocol)
	if l.ProxyProtocol {
		name += " proxied"
	}
	if l.Passthrough {
		name += " " + string(gatewayv1.TLSModePassthrough)
	}
	return name
}

// key is the listener on one socket, as its connections know it.
func (s *streams) key(bind netip.AddrPort, local netip.Addr) stream.Listener {
	return stream.Listener{Bind: bind, Local: local, Name: s.name}
}

// streamKeys lists the listeners of streams.
func (s *Snapshot) streamKeys() (list []stream.Listener) {
	for _, at := range s.sockets {
		for _, l := range at.listeners {
			if l.streams != nil {
				list = append(list, l.streams.key(at.source.Bind, at.source.Local))
			}
		}
	}
	return list
}

// streamsOf compiles the routes of a listener. Of routes with the same hostname on the listener the one that names it more precisely is
// served, then the one that comes first by precedence.
func (c *compiler) streamsOf(source *gateway.Listener, name labels) *streams {
	out := &streams{name: streamName(source), passthrough: source.Passthrough, hosts: newHostIndex()}
	out.unmatched = &stream.Route{
		At: source.Object().At(listenerField(source)).String(), Unusable: "no route of the listener has this server name",
		Refused: c.streamSeries(name, ""),
	}
	routes := c.graph.Attached[source].Routes
	if source.Protocol == gatewayv1.TCPProtocolType || len(routes) == 0 {
		out.unmatched.Unusable = "no route is attached to the listener"
	}
	type candidate struct {
		servedStream
		declared string
	}
	var all []candidate
	for _, a := range routes {
		if a.Behind != nil || len(a.Route.Rules) == 0 {
			continue
		}
		r := c.streamRoute(a.Route.Rules[0], source, name)
		for _, h := range a.Hostnames {
			all = append(all, candidate{servedStream{h.Effective, a.Route.Rules[0], r}, h.Declared})
		}
	}
	slices.SortStableFunc(all, func(a, b candidate) int { return precision(b.declared) - precision(a.declared) })
	for _, x := range all {
		if out.hosts.add(x.hostname, int32(len(out.served))) {
			out.served = append(out.served, x.servedStream)
		}
	}
	return out
}

func listenerField(l *gateway.Listener) string {
	return "spec.listeners[" + strconv.Itoa(l.Index) + "]"
}

// precision orders hostnames: those without a wildcard first, then by length.
func precision(hostname string) int {
	if hostname == "" || strings.HasPrefix(hostname, "*") {
		return len(hostname)
	}
	return maxHostname + len(hostname)
}

// maxHostname is more than any hostname has bytes.
const maxHostname = 1 << 10

// streamRoute compiles the rule of a TCPRoute or TLSRoute for one listener.
func (c *compiler) streamRoute(source *gateway.Rule, l *gateway.Listener, name labels) *stream.Route {
	o := source.Object
	name.route = o.Kind + "/" + o.Namespace + "/" + o.Name // as requests are counted that are not of HTTPRoutes
	r := &stream.Route{At: o.At("spec.rules[" + strconv.Itoa(source.Index) + "]").String(), Refused: c.streamSeries(name, "")}
	var weights []int32
	for _, b := range source.Backends {
		if b.Weight > 0 {
			r.Shares = append(r.Shares, c.streamShare(source, b, l, name))
			weights = append(weights, b.Weight)
		}
	}
	r.Pick, r.Unusable = c.shares(source, weights)
	return r
}

// shares says how a rule that is not of requests chooses among its backendRefs, of which weights are those that are not 0, or why it does not work.
func (c *compiler) shares(source *gateway.Rule, weights []int32) (pick func() int, unusable string) {
	switch {
	case len(weights) > 1:
		return c.balancer(ruleKey{source.Object.Key, source.Index}, weights).pick, source.Unusable
	case len(weights) == 0 && source.Unusable == "":
		return nil, "the rule has no backendRefs, or all of them have weight 0"
	}
	return nil, source.Unusable
}

func (c *compiler) streamShare(source *gateway.Rule, b *gateway.Backend, l *gateway.Listener, name labels) stream.Share {
	out := stream.Share{Unusable: b.Unusable}
	if out.Unusable == "" && b.Target == nil {
		out.Unusable = "the backendRef leads nowhere"
	}
	target, id := b.Target, identity(source, l.Gateway)
	if target != nil && target.TLS != nil && l.Passthrough {
		plain := *target // what is passed through is TLS already
		plain.TLS = nil
		target = &plain
	}
	if out.Unusable != "" || target == nil {
		id = nil
	} else if id = presented(target, id); id != nil {
		out.Unusable = id.Unusable
	}
	if out.Unusable != "" {
		out.Series = c.streamSeries(name, "")
		return out
	}
	out.Name, out.Secure, out.Protocol = target.Key, target.TLS != nil, applicationOf(target)
	h := c.holding(target, id, backend.HTTP1) // for the endpoints' health; what is spoken is nobody's concern
	h.count.Add(1)
	c.held = append(c.held, h)
	out.Backend = h.upstream
	out.Series = c.streamSeries(name, target.Key)
	return out
}

// applicationOf is the protocol's name in TLS (RFC 7301) that a Service port's appProtocol stands for.
func applicationOf(t *gateway.Target) string {
	switch t.AppProtocol {
	case "kubernetes.io/h2c", "grpc":
		return "h2"
	case "http", "kubernetes.io/ws":
		return "http/1.1"
	}
	return ""
}

func (c *compiler) streamSeries(name labels, backend string) *stream.Series {
	s := c.proxy.opt.Streams.Series(name.of(backend))
	c.streams = append(c.streams, s)
	return s
}
