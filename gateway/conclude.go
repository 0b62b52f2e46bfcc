// The conditions of Gateways and listeners, once routes are attached and sockets are shared out.

package gateway

// concludeGateways turns the faults of Gateways and their own listeners into conditions and problems.
func (b *builder) concludeGateways() {
	for _, gw := range b.graph.Gateways {
		var invalid, unresolved []string
		for _, l := range gw.Listeners {
			concludeListener(l)
			if l.faults.has(typeResolvedRefs) {
				unresolved = append(unresolved, l.Name)
			}
			// References that are not resolved do not make a Gateway less accepted (GatewayConditionResolvedRefs says so).
			if reason, _ := l.faults.summary(typeAccepted); reason != "" {
				invalid = append(invalid, l.Name+" ("+reason+")")
			}
			b.reportFaults(gw.Object, l.faults)
		}
		for l := range gw.all() {
			gw.Usable = gw.Usable || l.Usable
		}
		gw.Conditions = []Condition{
			gatewayAccepted(gw, invalid),
			gatewayResolvedRefs(gw.faults, unresolved),
		}
		if gw.isDefault() {
			gw.Conditions = append(gw.Conditions, gatewayDefault(gw.Spec.Spec.DefaultScope))
		}
		if gw.insecureFrontend() {
			gw.Conditions = append(gw.Conditions, gatewayInsecureFrontend())
		}
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

// cause gives the condition, and its reason, for which a listener carries no traffic.
func (l *Listener) cause() (condition, reason string) {
	for _, condition = range [...]string{typeConflicted, typeAccepted, typeResolvedRefs} {
		if reason, _ = l.faults.summary(condition); reason != "" {
			return condition, reason
		}
	}
	return typeAccepted, reasonInvalid
}
