// The conditions of Gateways and listeners, once routes are attached and sockets are shared out.

package gateway

// concludeGateways turns the faults of Gateways and their listeners into conditions and problems.
func (b *builder) concludeGateways() {
	for _, gw := range b.graph.Gateways {
		var invalid, unresolved []string
		for _, l := range gw.Listeners {
			concludeListener(l)
			if l.faults.has(typeResolvedRefs) {
				unresolved = append(unresolved, l.Name)
			}
			if !l.valid() {
				invalid = append(invalid, l.Name+" ("+l.firstFault()+")")
			}
			gw.Usable = gw.Usable || l.Usable
			b.reportFaults(gw.Object, l.faults)
		}
		accepted := gatewayAccepted(gw.faults, invalid)
		if !gw.faults.has(typeAccepted) && len(invalid) == len(gw.Listeners) {
			accepted = gatewayListenersNotValid(invalid)
		}
		gw.Conditions = []Condition{accepted, gatewayResolvedRefs(gw.faults, unresolved)}
		b.reportFaults(gw.Object, gw.faults)
	}
}

// concludeListener gives a listener its conditions.
func concludeListener(l *Listener) {
	l.Conditions = []Condition{listenerAccepted(l.faults), listenerConflicted(l.faults), listenerResolvedRefs(l.faults)}
	if len(l.overlaps) > 0 {
		l.Conditions = append(l.Conditions, listenerOverlapping(l.overlaps))
	}
}

// firstFault is the reason for which a listener is not valid, in one word.
func (l *Listener) firstFault() string {
	for _, condition := range [...]string{typeConflicted, typeAccepted, typeResolvedRefs} {
		if reason, _ := l.faults.summary(condition); reason != "" {
			return reason
		}
	}
	return reasonInvalid
}
