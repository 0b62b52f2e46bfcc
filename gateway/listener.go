// Listeners of a Gateway: protocol, route kinds, namespaces, and what of their fields is not served.

package gateway

import (
	"iter"
	"slices"
	"strconv"
	"strings"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/wicketgate/wicketgate/object"
)

// newGateway makes a Gateway with its own listeners validated.
func (b *builder) newGateway(o *object.Object, spec *gatewayv1.Gateway, class *Class) *Gateway {
	gw := &Gateway{Object: o, Spec: spec, Class: class}
	if !class.Accepted {
		gw.faults.add(typeAccepted, reasonInvalidParameters, "spec.gatewayClassName", "GatewayClass "+class.Name+" is not accepted")
	}
	if infra := spec.Spec.Infrastructure; infra != nil && infra.ParametersRef != nil {
		ref := infra.ParametersRef
		gw.faults.add(typeAccepted, reasonInvalidParameters, "spec.infrastructure.parametersRef",
			string(ref.Kind)+" "+ref.Name+" of group "+string(ref.Group)+" is not a kind of parameters that is supported: remove parametersRef")
	}
	b.checkBackendTLS(gw)
	for i := range spec.Spec.Listeners {
		gw.Listeners = append(gw.Listeners, b.newListener(gw, nil, &spec.Spec.Listeners[i], i))
	}
	return gw
}

// newListener makes the listener at an index of a Gateway's spec or, if set is not nil, of a ListenerSet's, and runs its protocol's validators.
func (b *builder) newListener(gw *Gateway, set *ListenerSet, spec *gatewayv1.Listener, index int) *Listener {
	l := &Listener{
		Gateway: gw, Set: set, Spec: spec, Index: index,
		Name: string(spec.Name), Port: spec.Port, Protocol: spec.Protocol,
	}
	p, served := b.protocolOf(spec)
	if !served {
		l.faults.add(typeAccepted, string(gatewayv1.ListenerReasonUnsupportedProtocol), l.field("protocol"), b.unsupportedProtocol(spec.Protocol))
		return l
	}
	l.Attachable, l.Passthrough, l.ProxyProtocol = true, passesThrough(spec), proxied(l)
	l.Hostname = strings.ToLower(string(deref(spec.Hostname, "")))
	for _, validate := range p.validate {
		validate(b, l)
	}
	return l
}

// settleListeners finds the conflicts between the listeners of each Gateway, and decides which may carry traffic.
func (b *builder) settleListeners() {
	for _, gw := range b.graph.Gateways {
		findConflicts(gw)
		b.warnProxied(gw.Object, gw.Listeners)
		for _, s := range gw.ListenerSets {
			b.warnProxied(s.Object, s.Listeners)
		}
		inForce := !gw.faults.has(typeAccepted) && !gw.faults.has(typeProgrammed)
		for l := range gw.all() {
			l.Usable = inForce && l.valid()
		}
	}
}

// Listeners yields every listener of every Gateway, by precedence.
func (g *Graph) Listeners() iter.Seq[*Listener] {
	return func(yield func(*Listener) bool) {
		for _, gw := range g.Gateways {
			for l := range gw.all() {
				if !yield(l) {
					return
				}
			}
		}
	}
}

// all yields every listener of the Gateway by precedence: its own, then those of its ListenerSets.
func (gw *Gateway) all() iter.Seq[*Listener] {
	return func(yield func(*Listener) bool) {
		for _, l := range gw.Listeners {
			if !yield(l) {
				return
			}
		}
		for _, s := range gw.ListenerSets {
			for _, l := range s.Listeners {
				if !yield(l) {
					return
				}
			}
		}
	}
}

// Object is the object whose spec has the listener: its Gateway or its ListenerSet.
func (l *Listener) Object() *object.Object {
	if l.Set != nil {
		return l.Set.Object
	}
	return l.Gateway.Object
}

// valid says whether the listener's own specification lets it carry traffic.
func (l *Listener) valid() bool {
	return l.Attachable && !l.faults.has(typeAccepted) && !l.faults.has(typeConflicted) &&
		len(l.SupportedKinds) > 0 && (!l.terminates() || len(l.Certificates) > 0 || l.managed)
}

// terminates says whether the listener ends TLS with certificates of its own.
func (l *Listener) terminates() bool {
	return l.Protocol == gatewayv1.HTTPSProtocolType || l.Protocol == gatewayv1.TLSProtocolType && !l.Passthrough
}

// protocolText is how messages name the listener's protocol.
func (l *Listener) protocolText() string {
	if l.Passthrough {
		return "TLS with mode Passthrough"
	}
	return string(l.Protocol)
}

// field is the path of one of the listener's fields in its Object.
func (l *Listener) field(path string) string {
	field := "spec.listeners[" + strconv.Itoa(l.Index) + "]"
	if path == "" {
		return field
	}
	return field + "." + path
}

// String is how messages name a listener: "listener http of Gateway default/public".
func (l *Listener) String() string {
	return "listener " + l.Name + " of " + l.Object().Key.String()
}

// checkRouteKinds computes SupportedKinds: the protocol's kinds, narrowed by allowedRoutes.kinds.
func (b *builder) checkRouteKinds(l *Listener) {
	p, _ := b.protocolOf(l.Spec)
	var wanted []gatewayv1.RouteGroupKind
	if l.Spec.AllowedRoutes != nil {
		wanted = l.Spec.AllowedRoutes.Kinds
	}
	if len(wanted) == 0 {
		for _, k := range p.kinds {
			l.SupportedKinds = append(l.SupportedKinds, routeKind(k))
		}
		return
	}
	for i, k := range wanted {
		field := l.field("allowedRoutes.kinds[" + strconv.Itoa(i) + "]")
		switch group := deref(k.Group, gatewayGroup); {
		case group != gatewayGroup || !slices.Contains(p.kinds, k.Kind):
			l.faults.add(typeResolvedRefs, reasonInvalidRouteKinds, field, string(k.Kind)+kindGroup(string(group))+
				" cannot attach to a listener of protocol "+l.protocolText()+b.unservedHint(string(group), string(k.Kind)))
		case !slices.ContainsFunc(l.SupportedKinds, func(have gatewayv1.RouteGroupKind) bool { return have.Kind == k.Kind }):
			l.SupportedKinds = append(l.SupportedKinds, routeKind(k.Kind))
		}
	}
}

// routeKind is a kind of route as statuses list it.
func routeKind(k gatewayv1.Kind) gatewayv1.RouteGroupKind {
	group := gatewayv1.Group(gatewayGroup)
	return gatewayv1.RouteGroupKind{Group: &group, Kind: k}
}

// kindGroup qualifies a kind in a message where the group is not the Gateway API's.
func kindGroup(group string) string {
	if group == gatewayGroup || group == "" {
		return ""
	}
	return " of group " + group
}

// unservedHint tells a kind that will be served one day from a typing error.
func (b *builder) unservedHint(group, k string) string {
	if group == gatewayGroup && k == "GRPCRoute" && !b.serves(k) {
		return " (" + k + " is not served yet)"
	}
	return ""
}

// supports says whether routes of a kind may attach.
func (l *Listener) supports(k gatewayv1.Kind) bool {
	return slices.ContainsFunc(l.SupportedKinds, func(have gatewayv1.RouteGroupKind) bool { return have.Kind == k })
}

// checkNamespaces reads allowedRoutes.namespaces; a selector that cannot be read admits nobody.
func (b *builder) checkNamespaces(l *Listener) {
	var spec *gatewayv1.RouteNamespaces
	if l.Spec.AllowedRoutes != nil {
		spec = l.Spec.AllowedRoutes.Namespaces
	}
	filter, err := newNamespaceFilter(spec, l.Object().Namespace, b.labels)
	if err != nil {
		l.faults.add(typeAccepted, reasonUnsupportedValue, l.field("allowedRoutes.namespaces"), "allowedRoutes.namespaces: "+err.Error())
	}
	b.filters[l] = filter
}

// checkPlain refuses fields of a listener whose protocol has neither names nor TLS. The schema does, too.
func (b *builder) checkPlain(l *Listener) {
	if l.Hostname != "" {
		l.faults.add(typeAccepted, reasonUnsupportedValue, l.field("hostname"), "protocol "+string(l.Protocol)+" knows no hostnames: remove it")
	}
	if l.Spec.TLS != nil {
		l.faults.add(typeAccepted, reasonUnsupportedValue, l.field("tls"), "protocol "+string(l.Protocol)+" does not end TLS: remove tls, or use protocol TLS")
	}
}

// checkListenerFilters refuses filters that run before routing: they are authentication, or extensions nobody defines.
func (b *builder) checkListenerFilters(l *Listener) {
	if l.Spec.Filters != nil && len(l.Spec.Filters.Requests) > 0 {
		l.faults.add(typeAccepted, reasonUnsupportedValue, l.field("filters"),
			"filters of listeners are not served yet, and requests are not let past them: remove them")
	}
}
