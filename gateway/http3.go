// HTTP/3: which sockets it is offered on, and where UDP listeners stand in its way.

package gateway

import (
	"fmt"
	"net/netip"
	"slices"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// HTTP3 lists where HTTP/3 is to be served: on the UDP ports of all HTTPS listeners that carry traffic, unless a UDP listener has the
// port. TCP and UDP listeners on one port do not conflict (they are different protocols), so that it is HTTP/3 that gives way: clients go
// on over TCP. Nor is it served where connections begin with the PROXY protocol: packets have no place for that, and whoever sent them would come
// past the proxy from which everything is to come.
func (g *Graph) HTTP3() []netip.AddrPort {
	var list []netip.AddrPort
	for _, s := range g.Sockets {
		if offersHTTPS(s) && g.contends(s) == nil && !g.proxiedAt(s.Bind) {
			list = append(list, s.Bind)
		}
	}
	slices.SortFunc(list, netip.AddrPort.Compare)
	return slices.Compact(list)
}

// offersHTTPS says whether a socket has an HTTPS listener that carries traffic.
func offersHTTPS(s *Socket) bool {
	return slices.ContainsFunc(s.Listeners, func(l *Listener) bool { return l.Usable && l.Protocol == gatewayv1.HTTPSProtocolType })
}

// proxiedAt says whether connections to an address begin with the PROXY protocol, be it only those to one of the local addresses it stands for.
func (g *Graph) proxiedAt(bind netip.AddrPort) bool {
	return slices.ContainsFunc(g.Sockets, func(s *Socket) bool {
		return s.ProxyProtocol && s.Protocol != gatewayv1.UDPProtocolType && s.Bind == bind
	})
}

// contends finds the UDP listener that has the UDP port of a socket; nil if there is none.
func (g *Graph) contends(s *Socket) *Listener {
	for _, u := range g.Sockets {
		if u.Protocol != gatewayv1.UDPProtocolType || u.Bind.Port() != s.Bind.Port() {
			continue
		}
		if u.Bind.Addr() == s.Bind.Addr() || u.Bind.Addr().IsUnspecified() || s.Bind.Addr().IsUnspecified() {
			return u.Listeners[0]
		}
	}
	return nil
}

// reportHTTP3 warns of HTTPS listeners without HTTP/3.
func (b *builder) reportHTTP3() {
	if !b.opts.HTTP3 {
		return
	}
	for _, s := range b.graph.Sockets {
		if !offersHTTPS(s) {
			continue
		}
		why := ""
		if u := b.graph.contends(s); u != nil {
			why = fmt.Sprintf("listener %s of %s has UDP port %d", u.Name, u.Object().Key, s.Bind.Port())
		} else if b.graph.proxiedAt(s.Bind) {
			why = "connections of this port begin with the PROXY protocol, which UDP packets do not"
		}
		if why == "" {
			continue
		}
		for _, l := range s.Listeners {
			if l.Protocol == gatewayv1.HTTPSProtocolType {
				b.warn(l.Object(), l.field("port"), "HTTP/3 is not offered on listener "+l.Name+", because "+why+"; clients use HTTP/2 and HTTP/1.1")
			}
		}
	}
}
