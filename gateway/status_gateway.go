// The status of Gateways and their listeners: Programmed says what was really bound.

package gateway

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"syscall"
)

// gateway writes the status of a Gateway.
func (p *projection) gateway(gw *Gateway) {
	w := p.writer(gw.Object)
	file := fileStatus(gw.Object)
	listeners := make([]any, 0, len(gw.Listeners))
	for _, l := range gw.Listeners {
		listeners = append(listeners, p.listener(w, l, fileListener(file, l.Name)))
	}
	conditions := slices.Insert(slices.Clone(gw.Conditions), 1, p.gatewayProgrammed(gw))
	conditions = append(conditions, p.addressesAssigned(gw))
	tree := map[string]any{
		"conditions":           w.conditions("", conditions, foreignConditions(file)),
		"listeners":            listeners,
		"attachedListenerSets": gw.attachedListenerSets(),
	}
	if addresses := p.addresses(gw); len(addresses) > 0 {
		tree["addresses"] = addresses
	}
	p.add(w, tree)
}

// fileListener finds a listener's part of the status that the file has.
func fileListener(file map[string]any, named string) map[string]any {
	list, _ := file["listeners"].([]any)
	for _, entry := range list {
		if tree, ok := entry.(map[string]any); ok && tree["name"] == named {
			return tree
		}
	}
	return nil
}

// listener writes the status of one listener.
func (p *projection) listener(w *writer, l *Listener, file map[string]any) map[string]any {
	kinds := make([]any, 0, len(l.SupportedKinds))
	for _, k := range l.SupportedKinds {
		kinds = append(kinds, map[string]any{"group": string(*k.Group), "kind": string(k.Kind)})
	}
	conditions := slices.Insert(slices.Clone(l.Conditions), 1, p.listenerProgrammed(l))
	// The message about references is where a certificate's dates are told: they depend on the time, which the graph does not know.
	for i := range conditions {
		if conditions[i].Type == typeResolvedRefs {
			conditions[i].Message = p.withValidity(l, conditions[i].Message)
		}
	}
	return map[string]any{
		"name":           l.Name,
		"supportedKinds": kinds,
		"attachedRoutes": int64(p.graph.Attached[l].Accepted),
		"conditions":     w.conditions("listener/"+l.Name, conditions, foreignConditions(file)),
	}
}

// withValidity adds to a message which certificates are out of date.
func (p *projection) withValidity(l *Listener, message string) string {
	for _, c := range l.Certificates {
		if what := c.validity(p.now); what != "" {
			message += "; " + what
		}
	}
	return message
}

// failures gives what went wrong with a listener's sockets.
func (p *projection) failures(l *Listener) []error {
	var errs []error
	for _, s := range l.Sockets {
		if err := p.bound.Failed[s.Binding()]; err != nil {
			errs = append(errs, err)
		}
	}
	return errs
}

// listenerProgrammed says whether a listener can be reached on all of its sockets.
func (p *projection) listenerProgrammed(l *Listener) Condition {
	if !l.Usable {
		if l.Gateway.faults.has(typeAccepted) {
			return notProgrammed(reasonInvalid, "The Gateway is not accepted")
		}
		if _, message := l.Gateway.faults.summary(typeProgrammed); message != "" {
			return notProgrammed(reasonPending, message)
		}
		condition, cause := l.cause()
		reason := reasonInvalid
		if l.Set != nil && condition != typeResolvedRefs {
			reason = cause // a ListenerSet's listener repeats it
		}
		return notProgrammed(reason, "The listener carries no traffic: see condition "+condition+" ("+cause+")")
	}
	if errs := p.failures(l); len(errs) > 0 {
		if l.Set != nil {
			return notProgrammed(reasonPortUnavailable, joinErrors(errs))
		}
		return notProgrammed(reasonPending, joinErrors(errs))
	}
	if waiting := l.waiting(); waiting != "" {
		return notProgrammed(reasonPending, waiting+"; until then a self-signed certificate answers on "+joinBinds(l))
	}
	return programmed("The listener is ready on " + joinBinds(l))
}

// gatewayProgrammed sums up the Gateway's own listeners: every one that is valid must be bound. ListenerSets have a condition for theirs.
func (p *projection) gatewayProgrammed(gw *Gateway) Condition {
	if gw.faults.has(typeAccepted) {
		return notProgrammed(reasonInvalid, "The Gateway is not accepted")
	}
	if reason, message := gw.faults.summary(typeProgrammed); reason != "" {
		return notProgrammed(reason, message)
	}
	if !gw.Usable {
		return notProgrammed(reasonInvalid, "No listener carries traffic; see their conditions")
	}
	var errs []error
	for _, l := range gw.Listeners {
		errs = append(errs, p.failures(l)...)
	}
	switch {
	case len(errs) == 0:
		return programmed("The Gateway is ready")
	case len(gw.Addresses) > 0 && isAny(errs, syscall.EADDRNOTAVAIL):
		return notProgrammed(reasonAddressNotUsable, joinErrors(errs))
	}
	return notProgrammed(reasonPending, joinErrors(errs))
}

// addresses lists where a Gateway can be reached: addresses of which no socket could be bound are left out.
func (p *projection) addresses(gw *Gateway) []any {
	if !gw.Usable {
		return nil
	}
	report := gw.Addresses
	if len(report) == 0 {
		report = []netip.Addr{allInterfaces()}
	}
	var list []any
	for _, a := range report {
		if !p.reachable(gw, a) {
			continue
		}
		shown := []netip.Addr{a}
		if a.IsUnspecified() {
			shown = p.bound.Interfaces
			if len(shown) == 0 {
				shown = []netip.Addr{netip.IPv4Unspecified()}
			}
		}
		for _, s := range shown {
			list = append(list, map[string]any{"type": "IPAddress", "value": s.String(), "routability": string(gw.Routability[a])})
		}
	}
	return list[:min(len(list), maxAddresses)]
}

// addressesAssigned sums up what became of spec.addresses: entries that are not supported, and those that are not this machine's.
func (p *projection) addressesAssigned(gw *Gateway) Condition {
	var missing []string
	for _, f := range gw.faults {
		if f.condition == typeAddressesAssigned || f.reason == reasonUnsupportedAddress {
			missing = append(missing, f.message)
		}
	}
	assigned := 0
	for _, a := range gw.Addresses {
		switch tried := gw.listensAt(a); {
		case gw.faults.has(typeAccepted):
		case !tried || p.reachable(gw, a):
			assigned++
		default:
			missing = append(missing, "address "+a.String()+" cannot be listened on")
		}
	}
	return gatewayAddresses(assigned, missing)
}

// listensAt says whether the Gateway has sockets at one of its addresses: it has none where no listener is valid.
func (gw *Gateway) listensAt(a netip.Addr) bool {
	for l := range gw.all() {
		for _, s := range l.Sockets {
			if s.at() == a {
				return true
			}
		}
	}
	return false
}

// at is the address that a socket's connections arrive at.
func (s *Socket) at() netip.Addr {
	if s.Local.IsValid() {
		return s.Local
	}
	return s.Bind.Addr()
}

// maxAddresses is how many addresses a Gateway's status may have.
const maxAddresses = 16

// reachable says whether any socket of a Gateway on an address is bound.
func (p *projection) reachable(gw *Gateway, a netip.Addr) bool {
	for l := range gw.all() {
		for _, s := range l.Sockets {
			if s.at() == a && p.bound.Failed[s.Binding()] == nil {
				return true
			}
		}
	}
	return false
}

func isAny(errs []error, target error) bool {
	for _, err := range errs {
		if errors.Is(err, target) {
			return true
		}
	}
	return false
}

// joinErrors joins different errors' texts.
func joinErrors(errs []error) string {
	var messages []string
	for _, err := range errs {
		if text := err.Error(); !slices.Contains(messages, text) {
			messages = append(messages, text)
		}
	}
	return join(messages)
}

// joinBinds says where a listener is bound.
func joinBinds(l *Listener) string {
	var binds []string
	for _, s := range l.Sockets {
		if s.Local.IsValid() {
			binds = append(binds, netip.AddrPortFrom(s.Local, s.Bind.Port()).String())
		} else {
			binds = append(binds, bindString(s.Bind))
		}
	}
	return strings.Join(binds, ", ")
}
