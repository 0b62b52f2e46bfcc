// Sockets: which listeners share an address and port, and which have to give way.
//
// Gateways are placed by precedence, each with its ListenerSets behind it, each listener on all of its Gateway's addresses or on none. A listener joins a socket if it is
// of the same family of protocols, of the same port of the Gateway API (a port map may bring two together), if no other has its
// hostname, and if it does not take a hostname out of the wildcard of an earlier Gateway in another namespace (a ListenerSet's listener
// counts for the ListenerSet's namespace), which would be a way to steal traffic, and if the socket's HTTPS listeners demand the same of clients'
// certificates. Whoever comes later and does not fit gets PortUnavailable; the earlier one is untouched.
//
// Example: Gateway a (namespace infra) has *:443 for "*.example.com". Gateway b (infra) may add "shop.example.com" and c (infra)
// "example.org", but Gateway d (namespace shop) may only add "example.net", and nobody "*.example.com".

package gateway

import (
	"cmp"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// place is a socket that is being filled.
type place struct {
	*Socket
	port      int32
	hostnames map[string]*Listener
	validated *Listener // the first HTTPS listener: the others must demand the same of clients
}

// validatesOtherwise says whether the HTTPS listeners that are there demand something else of clients' certificates than this one does. A
// connection can serve every listener of its socket, so that one made for the laxer would lead into the stricter.
func (p *place) validatesOtherwise(l *Listener) bool {
	return p.validated != nil && l.Protocol == gatewayv1.HTTPSProtocolType && !l.Clients.equal(p.validated.Clients)
}

func bindingOf(bind netip.AddrPort, protocol gatewayv1.ProtocolType) Binding {
	return Binding{bind, protocol == gatewayv1.UDPProtocolType}
}

// buildSockets places every usable listener.
func (b *builder) buildSockets() {
	places := map[Binding]*place{}
	for _, gw := range b.graph.Gateways {
		addresses := gw.Addresses
		if len(addresses) == 0 {
			addresses = []netip.Addr{allInterfaces()}
		}
		for l := range gw.all() {
			if l.Usable {
				b.placeListener(l, addresses, places)
			}
		}
	}
	for _, p := range places {
		b.graph.Sockets = append(b.graph.Sockets, p.Socket)
		// A port that one Gateway has on all interfaces cannot be bound on a single one as well: connections are told apart by the
		// address at which they arrive.
		wildcard := netip.AddrPortFrom(allInterfaces(), p.Bind.Port())
		if shared := places[bindingOf(wildcard, p.Protocol)]; shared != nil && shared != p {
			p.Local, p.Bind = p.Bind.Addr(), wildcard
		}
	}
	slices.SortFunc(b.graph.Sockets, func(x, y *Socket) int {
		return cmp.Or(x.Bind.Compare(y.Bind), x.Local.Compare(y.Local), cmp.Compare(x.Protocol, y.Protocol))
	})
	b.findOverlaps()
}

// placeListener puts a listener on its sockets, or makes it unusable.
func (b *builder) placeListener(l *Listener, addresses []netip.Addr, places map[Binding]*place) {
	protocol := family(l.Protocol)
	port := uint16(l.Port)
	if mapped, ok := b.opts.PortMap[l.Port]; ok {
		port = mapped
	}
	for _, a := range addresses {
		if shared := places[bindingOf(netip.AddrPortFrom(a, port), protocol)]; shared != nil {
			if clash := cmp.Or(b.clash(l, shared), proxiedOtherwise(l, shared.Socket)); clash != "" {
				l.Usable = false
				l.faults.add(typeAccepted, reasonPortUnavailable, l.field("port"), clash)
				return
			}
		}
	}
	for _, a := range addresses {
		bind := netip.AddrPortFrom(a, port)
		at := bindingOf(bind, protocol)
		shared := places[at]
		if shared == nil {
			shared = &place{Socket: &Socket{Bind: bind, Protocol: protocol, ProxyProtocol: l.ProxyProtocol}, port: l.Port, hostnames: map[string]*Listener{}}
			places[at] = shared
		}
		shared.hostnames[l.Hostname] = l
		if shared.validated == nil && l.Protocol == gatewayv1.HTTPSProtocolType {
			shared.validated = l
		}
		shared.Listeners = append(shared.Listeners, l)
		l.Sockets = append(l.Sockets, shared.Socket)
	}
}

// clash says why a listener cannot join a socket, or "".
func (b *builder) clash(l *Listener, shared *place) string {
	port := "port " + strconv.Itoa(int(l.Port))
	first := shared.Listeners[0]
	switch other := shared.hostnames[l.Hostname]; {
	case shared.Protocol != family(l.Protocol):
		return port + " is already used with protocol " + string(first.Protocol) + " by " + first.nameFor(l) + ": use another port or address"
	case shared.port != l.Port:
		return port + " is mapped to port " + strconv.Itoa(int(shared.Bind.Port())) + ", which port " + strconv.Itoa(int(shared.port)) +
			" of " + first.nameFor(l) + " already uses: change --port-map"
	case shared.validatesOtherwise(l):
		return port + " demands something else of clients' certificates for " + shared.validated.nameFor(l) +
			": use the same spec.tls.frontend, or another port or address"
	case other != nil && exclusive(l.Protocol):
		return port + " is already used by " + other.nameFor(l) + ": use another port or address"
	case other != nil && l.Hostname == "":
		return port + " already serves every hostname for " + other.nameFor(l) + ": use a hostname, or another port or address"
	case other != nil:
		return port + " already serves hostname " + l.Hostname + " for " + other.nameFor(l) + ": use another hostname, port or address"
	}
	return b.theft(l, shared)
}

// theft says why a listener may not take its hostname out of the wildcard of another namespace's, or "".
func (b *builder) theft(l *Listener, shared *place) string {
	if b.opts.MergeAcrossNamespaces || l.Hostname == "" {
		return ""
	}
	for wildcard := range wildcardsOver(l.Hostname) {
		owner := shared.hostnames[wildcard]
		if owner == nil {
			continue
		}
		// Only the most specific wildcard counts: it is who gets the hostname's requests so far.
		// Which ListenerSets may take hostnames out of its wildcards is a Gateway's own choice.
		if owner.Gateway == l.Gateway || owner.Object().Namespace == l.Object().Namespace {
			return ""
		}
		named := owner.nameFor(l)
		if owner.Set == nil {
			named += ", which is in another namespace"
		}
		return "hostname " + l.Hostname + " on port " + strconv.Itoa(int(l.Port)) + " belongs to " + named +
			": use another hostname, port or address, or start with --merge-gateways=all"
	}
	return ""
}

// findOverlaps collects, for each TLS listener, the others of its sockets whose hostnames overlap with its own. Between two listeners of
// protocol TLS that is nobody's concern: only HTTP clients use a connection for several hosts.
func (b *builder) findOverlaps() {
	overlaps := map[*Listener][]string{}
	for _, s := range b.graph.Sockets {
		if s.Protocol != gatewayv1.TLSProtocolType {
			continue
		}
		owners := make(map[string]*Listener, len(s.Listeners))
		for _, l := range s.Listeners {
			owners[l.Hostname] = l
		}
		for _, l := range s.Listeners {
			for wildcard := range wildcardsOver(l.Hostname) {
				if other := owners[wildcard]; other != nil && (other.Protocol == gatewayv1.HTTPSProtocolType || l.Protocol == gatewayv1.HTTPSProtocolType) {
					overlaps[l] = append(overlaps[l], other.nameFor(l))
					overlaps[other] = append(overlaps[other], l.nameFor(other))
				}
			}
		}
	}
	for l, others := range overlaps {
		slices.Sort(others)
		l.overlaps = slices.Compact(others)
	}
}

// bindString is an address and port as messages write it: "all interfaces, port 80" or "127.0.0.1:80".
func bindString(bind netip.AddrPort) string {
	if bind.Addr().IsUnspecified() {
		return "all interfaces, port " + strconv.Itoa(int(bind.Port()))
	}
	return strings.TrimSpace(bind.String())
}
