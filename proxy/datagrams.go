// Listeners of protocol UDP: compiled into what package datagram serves.
//
// A UDP socket is apart from those of connections also where it has their address: nothing of it is in Snapshot.sockets.

package proxy

import (
	"net/netip"
	"slices"
	"strconv"

	"github.com/wicketgate/wicketgate/gateway"
	"github.com/wicketgate/wicketgate/proxy/backend"
	"github.com/wicketgate/wicketgate/proxy/datagram"
)

// packetSocket is a gateway.Socket of UDP.
type packetSocket struct {
	source   *gateway.Socket
	listener *gateway.Listener
	rule     *gateway.Rule // nil: no route is attached
	route    *datagram.Route
}

// Datagrams implements datagram.Config.
func (s *Snapshot) Datagrams(bind netip.AddrPort) *datagram.Table { return s.tables[bind] }

// enterDatagrams holds the current snapshot for a batch of datagrams.
func (p *Proxy) enterDatagrams(shard uint32) datagram.Config {
	return held{p.enter(shard & (p.shards - 1)), p.shards - 1}
}

// held is a snapshot whose shards are found by any number.
type held struct {
	*Snapshot
	mask uint32
}

// Leave implements datagram.Config.
func (h held) Leave(shard uint32) { h.life.leave(shard & h.mask) }

// packetSockets compiles the UDP sockets.
func (c *compiler) packetSockets(list []*gateway.Socket, s *Snapshot) {
	s.tables = map[netip.AddrPort]*datagram.Table{}
	for _, source := range list {
		at := slices.IndexFunc(source.Listeners, func(l *gateway.Listener) bool { return l.Usable })
		if at < 0 {
			continue
		}
		l := source.Listeners[at]
		out := &packetSocket{source: source, listener: l}
		out.rule, out.route = c.packetRoute(l)
		s.packets = append(s.packets, out)
		t := s.tables[source.Bind]
		if t == nil {
			t = &datagram.Table{}
			s.tables[source.Bind] = t
		}
		place := datagram.Place{Local: source.Local, Listener: l.Object().Key.String() + " " + l.Name, Route: out.route}
		if source.Local.IsValid() { // asked before the one for all others
			t.Places = slices.Insert(t.Places, 0, place)
		} else {
			t.Places = append(t.Places, place)
		}
	}
}

// packetRoute compiles the one route of a listener that is served. A listener on several sockets has it once for each; their counts are shared.
func (c *compiler) packetRoute(l *gateway.Listener) (*gateway.Rule, *datagram.Route) {
	name := nameOf(l)
	routes := c.graph.Attached[l].Routes
	at := slices.IndexFunc(routes, func(a *gateway.Attachment) bool { return a.Behind == nil && len(a.Route.Rules) > 0 })
	if at < 0 {
		return nil, &datagram.Route{
			At: l.Object().At(listenerField(l)).String(), Unusable: "no route is attached to the listener", Refused: c.packetSeries(name, ""),
		}
	}
	source := routes[at].Route.Rules[0]
	o := source.Object
	name.route = o.Kind + "/" + o.Namespace + "/" + o.Name
	r := &datagram.Route{At: o.At("spec.rules[" + strconv.Itoa(source.Index) + "]").String(), Refused: c.packetSeries(name, "")}
	var weights []int32
	for _, b := range source.Backends {
		if b.Weight > 0 {
			r.Shares = append(r.Shares, c.packetShare(b, name))
			weights = append(weights, b.Weight)
		}
	}
	r.Pick, r.Unusable = c.shares(source, weights)
	return source, r
}

func (c *compiler) packetShare(b *gateway.Backend, name labels) datagram.Share {
	out := datagram.Share{Unusable: b.Unusable}
	if out.Unusable == "" && b.Target == nil {
		out.Unusable = "the backendRef leads nowhere"
	}
	if out.Unusable == "" && b.Target.TLS != nil {
		out.Unusable = "TLS is demanded towards the backend, which datagrams do not have"
	}
	if out.Unusable != "" {
		out.Series = c.packetSeries(name, "")
		return out
	}
	out.Name = b.Target.Key
	h := c.holding(b.Target, nil, backend.HTTP1) // for the endpoints' health; what is spoken is nobody's concern
	h.count.Add(1)
	c.held = append(c.held, h)
	out.Backend = h.upstream
	out.Series = c.packetSeries(name, b.Target.Key)
	return out
}

func (c *compiler) packetSeries(name labels, backend string) *datagram.Series {
	s := c.proxy.opt.Datagrams.Series(name.of(backend))
	c.datagrams = append(c.datagrams, s)
	return s
}
