// Conflicts between the listeners of one Gateway.
//
// Listeners are distinct if a request can be assigned to one of them: those of one port must have one protocol, and different
// hostnames. All that are not distinct are Conflicted; none of them wins. Listeners of a protocol that is not served are not accepted
// in the first place and conflict with nobody.
//
// Example: "a" (80, HTTP, x.example), "b" (80, HTTP, x.example), "c" (80, HTTP) and "d" (443, HTTPS): a and b are Conflicted
// with HostnameConflict, c and d serve. With "d" on port 80, too, all four are Conflicted with ProtocolConflict.

package gateway

import (
	"slices"
	"strconv"
	"strings"
)

// findConflicts marks every listener that is not distinct from another one of its Gateway.
func findConflicts(gw *Gateway) {
	ports := map[int32][]*Listener{}
	for _, l := range gw.Listeners {
		if l.Attachable {
			ports[l.Port] = append(ports[l.Port], l)
		}
	}
	for _, l := range gw.Listeners {
		if l.Attachable {
			findConflict(l, ports[l.Port])
		}
	}
}

// findConflict compares a listener with all of its port.
func findConflict(l *Listener, samePort []*Listener) {
	var protocols, hostname []string
	for _, other := range samePort {
		if other.Protocol != l.Protocol {
			protocols = append(protocols, other.Name+" ("+string(other.Protocol)+")")
		} else if other != l && other.Hostname == l.Hostname {
			hostname = append(hostname, other.Name)
		}
	}
	// A port on which protocols differ is in conflict as a whole, also for those listeners that agree with each other.
	mixed := slices.ContainsFunc(samePort, func(other *Listener) bool { return other.Protocol != samePort[0].Protocol })
	switch port := strconv.Itoa(int(l.Port)); {
	case mixed:
		l.conflict(reasonProtocolConflict, "port", "port "+port+" is used with protocol "+string(l.Protocol)+" here and with another one by "+
			strings.Join(protocols, ", ")+": use different ports")
	case len(hostname) > 0:
		what := "hostname " + l.Hostname
		if l.Hostname == "" {
			what = "every hostname"
		}
		l.conflict(reasonHostnameConflict, "hostname", "port "+port+" serves "+what+" for "+strings.Join(hostname, ", ")+
			", too: use different hostnames or ports")
	}
}

// conflict marks the listener as Conflicted, and so not accepted.
func (l *Listener) conflict(reason, field, message string) {
	l.faults.add(typeConflicted, reason, l.field(field), message)
	l.faults.add(typeAccepted, reason, l.field(field), message)
}
