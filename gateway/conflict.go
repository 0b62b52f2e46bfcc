// Conflicts between the listeners of one Gateway, its ListenerSets' included.
//
// Listeners are distinct if a connection can be assigned to one of them: those of one port must be of one family of protocols, and of
// different hostnames. Of those that are not distinct the ones of the object that comes first keep what they have, and the others are
// Conflicted: the Gateway comes before its ListenerSets, and an older ListenerSet before a younger. Who has lost takes nothing from
// others. Within one object nobody comes first: all that are not distinct are Conflicted, and what they contend for is lost to those
// behind them as well, so that a repair never takes anything from anybody. Listeners of a protocol that is not served take nothing.
//
// Example: a Gateway has "a" (80, HTTP, x.example), "b" (80, HTTP, x.example), "c" (80, HTTP) and "d" (443, HTTPS): a and b are Conflicted
// with HostnameConflict, c and d serve. With "d" on port 80, too, all four are Conflicted with ProtocolConflict. "e" (80, HTTP, x.example)
// of a ListenerSet is Conflicted with HostnameConflict, and "f" (443, HTTP) of another with ProtocolConflict.

package gateway

import (
	"slices"
	"strconv"
	"strings"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// port is what listeners contend for: UDP has ports of its own.
type port struct {
	number int32
	udp    bool
}

func (l *Listener) conflictPort() port { return port{l.Port, l.Protocol == gatewayv1.UDPProtocolType} }

// claim is what the objects that came first have of a port.
type claim struct {
	families  []*Listener // the first listener of each family of protocols
	hostnames map[string]*Listener
}

// findConflicts marks every listener of a Gateway and its ListenerSets that is not distinct from one that comes first, or from one of
// the same object.
func findConflicts(gw *Gateway) {
	claims := map[port]*claim{}
	contend(gw.Listeners, claims)
	for _, s := range gw.ListenerSets {
		contend(s.Listeners, claims)
	}
}

// contend judges the listeners of one object, and adds what they have to the claims.
func contend(listeners []*Listener, claims map[port]*claim) {
	ports := map[port][]*Listener{}
	for _, l := range listeners {
		if at := l.conflictPort(); !l.beaten(claims[at]) && l.Attachable {
			ports[at] = append(ports[at], l)
		}
	}
	for at, rivals := range ports {
		c := claims[at]
		if c == nil {
			c = &claim{hostnames: map[string]*Listener{}}
			claims[at] = c
		}
		for _, l := range rivals {
			findConflict(l, rivals)
			c.add(l)
		}
	}
}

// add puts what a listener has into the claim.
func (c *claim) add(l *Listener) {
	if !slices.ContainsFunc(c.families, func(first *Listener) bool { return family(first.Protocol) == family(l.Protocol) }) {
		c.families = append(c.families, l)
	}
	if c.hostnames[l.Hostname] == nil {
		c.hostnames[l.Hostname] = l
	}
}

// beaten marks a listener that wants what an object before its own has, and says whether it does.
func (l *Listener) beaten(c *claim) bool {
	own := family(l.Protocol)
	if c == nil || own == "" {
		return false
	}
	number := "port " + strconv.Itoa(int(l.Port))
	for _, first := range c.families {
		if family(first.Protocol) != own {
			l.conflict(reasonProtocolConflict, "port", number+" is used with protocol "+string(first.Protocol)+" by "+first.nameFor(l)+
				", which comes first: use another port")
			return true
		}
	}
	if first := c.hostnames[l.Hostname]; first != nil && l.Attachable {
		if exclusive(l.Protocol) {
			l.conflict(reasonProtocolConflict, "port", number+" is already used by "+first.nameFor(l)+", which comes first, and nothing in "+
				string(l.Protocol)+" tells listeners apart: use another port")
			return true
		}
		l.conflict(reasonHostnameConflict, "hostname", number+" already serves "+hostnameText(l.Hostname)+" for "+first.nameFor(l)+
			", which comes first: use another hostname or port")
		return true
	}
	return false
}

// nameFor is how messages to the owner of another listener name this one. A ListenerSet of another namespace is not told apart: who else
// shares a Gateway is not for everybody to know.
func (l *Listener) nameFor(other *Listener) string {
	if l.Set != nil && l.Object().Namespace != other.Object().Namespace {
		return "a ListenerSet of another namespace"
	}
	return l.String()
}

// findConflict compares a listener with all of its object on its port.
func findConflict(l *Listener, samePort []*Listener) {
	var protocols, hostname []string
	for _, other := range samePort {
		if family(other.Protocol) != family(l.Protocol) {
			protocols = append(protocols, other.Name+" ("+string(other.Protocol)+")")
		} else if other != l && other.Hostname == l.Hostname {
			hostname = append(hostname, other.Name)
		}
	}
	// A port on which protocols differ is in conflict as a whole, also for those listeners that agree with each other.
	mixed := slices.ContainsFunc(samePort, func(other *Listener) bool { return family(other.Protocol) != family(samePort[0].Protocol) })
	switch number := strconv.Itoa(int(l.Port)); {
	case mixed:
		l.conflict(reasonProtocolConflict, "port", "port "+number+" is used with protocol "+string(l.Protocol)+" here and with another one by "+
			strings.Join(protocols, ", ")+": use different ports")
	case len(hostname) > 0 && exclusive(l.Protocol):
		l.conflict(reasonProtocolConflict, "port", "port "+number+" is used by "+strings.Join(hostname, ", ")+", too, and nothing in "+string(l.Protocol)+
			" tells listeners apart: use different ports")
	case len(hostname) > 0:
		l.conflict(reasonHostnameConflict, "hostname", "port "+number+" serves "+hostnameText(l.Hostname)+" for "+strings.Join(hostname, ", ")+
			", too: use different hostnames or ports")
	}
}

func hostnameText(hostname string) string {
	if hostname == "" {
		return "every hostname"
	}
	return "hostname " + hostname
}

// conflict marks the listener as Conflicted, and so not accepted. That is told before everything else that is wrong with it.
func (l *Listener) conflict(reason, field, message string) {
	field = l.field(field)
	l.faults = slices.Insert(l.faults, 0,
		fault{condition: typeConflicted, reason: reason, field: field, message: message},
		fault{condition: typeAccepted, reason: reason, field: field, message: message})
}
