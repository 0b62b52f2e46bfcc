// Routes of all kinds: their parents, and the listeners that they attach to. What is in them is in rule.go.

package gateway

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/wicketgate/wicketgate/object"
)

// buildRoutes makes every route, by precedence, so that each listener's Attachments come out in precedence order. Kinds never compete with
// one another; between routes of two kinds with the same date and name the kind decides, so that the order is complete.
func (b *builder) buildRoutes() {
	for _, k := range routeKinds() {
		for _, o := range b.set.Kind(gatewayKind(k)) {
			if r := newRoute(o); r != nil {
				b.graph.Routes = append(b.graph.Routes, r)
			}
		}
	}
	slices.SortFunc(b.graph.Routes, byPrecedence)
	for _, r := range b.graph.Routes {
		b.buildRoute(r)
	}
}

// byPrecedence orders routes of all kinds.
func byPrecedence(x, y *Route) int {
	return cmp.Or(older(x.Object, y.Object), strings.Compare(x.Object.Kind, y.Object.Kind))
}

// routeKinds are the kinds of routes that there are.
func routeKinds() []string {
	return []string{"GRPCRoute", "HTTPRoute", "TCPRoute", "TLSRoute", "UDPRoute"}
}

// Kind is the kind of the route: "HTTPRoute", "GRPCRoute", "TLSRoute", "TCPRoute" or "UDPRoute".
func (r *Route) Kind() gatewayv1.Kind { return gatewayv1.Kind(r.Object.Kind) }

// newRoute reads what routes of all kinds have.
func newRoute(o *object.Object) *Route {
	switch v := o.Value.(type) {
	case *gatewayv1.HTTPRoute:
		return &Route{Object: o, Common: &v.Spec.CommonRouteSpec, Hostnames: v.Spec.Hostnames}
	case *gatewayv1.GRPCRoute:
		return &Route{Object: o, Common: &v.Spec.CommonRouteSpec, Hostnames: v.Spec.Hostnames}
	case *gatewayv1.TLSRoute:
		return &Route{Object: o, Common: &v.Spec.CommonRouteSpec, Hostnames: v.Spec.Hostnames}
	case *gatewayv1.TCPRoute:
		return &Route{Object: o, Common: &v.Spec.CommonRouteSpec}
	case *gatewayv1.UDPRoute:
		return &Route{Object: o, Common: &v.Spec.CommonRouteSpec}
	}
	return nil
}

// buildRoute makes the parts of a route: its rules once, and the fate of each parentRef.
func (b *builder) buildRoute(r *Route) {
	b.rules(r)
	b.parents(r, r.made)
}

// parents judges the parentRefs, those that a default Gateway stands for as well.
func (b *builder) parents(r *Route, rules *ruleSet) {
	for i, ref := range r.Common.ParentRefs {
		b.attach(r, ref, i, rules)
	}
	named := len(r.Parents)
	for _, ref := range b.defaultParents(r) {
		b.attach(r, ref, byDefault, rules)
	}
	b.warnNoDefault(r, r.Parents[named:])
	if len(r.Common.ParentRefs) == 0 && r.Common.UseDefaultGateways != gatewayv1.GatewayDefaultScopeAll {
		b.warn(r.Object, "spec.parentRefs", "the route names no Gateway, so nothing serves it: add spec.parentRefs")
	}
}

// attach judges a parentRef, at an index of the spec or byDefault. One that names no Gateway of ours gets no Parent: its status is not ours to write.
func (b *builder) attach(r *Route, ref gatewayv1.ParentReference, index int, rules *ruleSet) {
	if ref.Group == nil {
		ref.Group = b.parentGroup
	}
	if ref.Kind == nil {
		ref.Kind = b.parentKind
	}
	group, k := *ref.Group, *ref.Kind
	target := keyOf(kind(string(group), string(k)), string(deref(ref.Namespace, gatewayv1.Namespace(r.Object.Namespace))), string(ref.Name))
	field := func() string { return "spec.parentRefs[" + strconv.Itoa(index) + "]" }
	p := &Parent{Ref: ref, Index: index}
	switch named := (name{target.Namespace, target.Name}); target.GroupKind {
	case gatewayKind("Gateway"):
		p.Gateway = b.gateways[named]
	case gatewayKind("ListenerSet"):
		if p.Set = b.sets[named]; p.Set != nil {
			p.Gateway = p.Set.Gateway
		}
	default:
		hint := b.unservedHint(string(group), string(k))
		if target.GroupKind == coreKind("Service") {
			hint = " (routes of a service mesh are not served)"
		}
		b.fail(r.Object, field(), target.String()+kindGroup(string(group))+" cannot be a parent: refer to a Gateway or a ListenerSet"+hint)
		return
	}
	if p.Gateway == nil {
		b.reportMissingParent(r.Object, field(), target)
		return
	}
	r.Parents = append(r.Parents, p)
	if reason, message := b.attachListeners(r, p); reason != "" {
		if index != byDefault {
			b.fail(r.Object, field(), message)
		}
		p.Conditions = []Condition{routeNotAccepted(reason, message), routeResolvedRefs(rules.refs, rules.message)}
		return
	}
	b.concludeParent(p, rules)
}

// concludeParent gives an attached route its conditions and counts it where it is accepted.
func (b *builder) concludeParent(p *Parent, rules *ruleSet) {
	resolved := routeResolvedRefs(rules.refs, rules.message)
	reason, message := rules.dropped.summary(typeAccepted)
	if reason != "" && rules.served == 0 {
		p.Conditions = []Condition{routeNotAccepted(reason, message), resolved}
		return
	}
	p.Accepted = true
	b.count(p)
	b.warnBehind(p)
	p.Conditions = []Condition{routeAccepted(acceptedMessage(p)), resolved}
	if reason != "" {
		p.Conditions = append(p.Conditions, routePartiallyInvalid(message))
	}
}

// count counts an accepted route at its listeners. Two parentRefs to one listener are one route on it.
func (b *builder) count(p *Parent) {
	for _, a := range p.Attachments {
		if counted := slices.ContainsFunc(a.Route.Parents, func(other *Parent) bool { return other != p && other.Accepted && other.on(a.Listener) }); !counted {
			at := b.graph.Attached[a.Listener]
			at.Accepted++
			b.graph.Attached[a.Listener] = at
		}
	}
}

// on says whether the parentRef attached the route to a listener.
func (p *Parent) on(l *Listener) bool {
	return slices.ContainsFunc(p.Attachments, func(a *Attachment) bool { return a.Listener == l })
}

// acceptedMessage names the listeners that the route is attached to but that carry no traffic, where the route itself is not to blame, and
// those that another route has to itself.
func acceptedMessage(p *Parent) string {
	var idle []string
	text := "The route is accepted"
	for _, a := range p.Attachments {
		if !a.Listener.Usable {
			idle = append(idle, a.Listener.Name)
		}
	}
	if len(idle) > 0 {
		text += ", but not all of its listeners carry traffic; see the conditions of the " + string(*p.Ref.Kind) + "'s listeners: " + strings.Join(idle, ", ")
	}
	if behind := p.behind(); len(behind) > 0 {
		text += ", but it gets no traffic from " + join(behind)
	}
	return text
}

// behind says which listeners serve other routes instead, and which.
func (p *Parent) behind() (list []string) {
	for _, a := range p.Attachments {
		if a.Behind == nil {
			continue
		}
		first := a.Behind.Object.Key.String()
		if a.Behind.Object.Namespace != a.Route.Object.Namespace { // who else is there is not for everybody to know
			first = "a " + a.Behind.Object.Kind + " of another namespace"
		}
		list = append(list, "listener "+a.Listener.Name+", which serves "+first+": it comes first")
	}
	return list
}

// warnBehind tells of listeners from which the route gets nothing.
func (b *builder) warnBehind(p *Parent) {
	behind := p.behind()
	if len(behind) == 0 {
		return
	}
	route, field := p.Attachments[0].Route.Object, useDefaults
	if p.Index != byDefault {
		field = "spec.parentRefs[" + strconv.Itoa(p.Index) + "]"
	}
	b.warn(route, field, "the route gets no traffic from "+join(behind)+"; a listener serves one "+route.Kind+" only")
}

// attachListeners attaches a route to all listeners that a parentRef selects and that admit it. The reason is empty if there is one; otherwise
// it is that of the step at which the last of the listeners fell out.
func (b *builder) attachListeners(r *Route, p *Parent) (reason, message string) {
	if p.Set != nil && p.Set.faults.has(typeAccepted) {
		_, why := p.Set.faults.summary(typeAccepted)
		return string(gatewayv1.RouteReasonNoMatchingParent), p.Set.Object.Key.String() + " has no Gateway: " + why
	}
	selected := selectListeners(p)
	if len(selected) == 0 {
		return string(gatewayv1.RouteReasonNoMatchingParent), noMatchingParent(p)
	}
	var admitting []*Listener
	for _, l := range selected {
		if l.supports(r.Kind()) && b.filters[l].admits(r.Object.Namespace) {
			admitting = append(admitting, l)
		}
	}
	if len(admitting) == 0 {
		return string(gatewayv1.RouteReasonNotAllowedByListeners), b.notAllowed(r, selected)
	}
	for _, l := range admitting {
		if hostnames := intersect(r.Hostnames, l.Hostname); len(hostnames) > 0 {
			b.attachTo(r, p, l, hostnames)
		}
	}
	if len(p.Attachments) == 0 {
		return string(gatewayv1.RouteReasonNoMatchingListenerHostname), noMatchingHostname(r, admitting)
	}
	return "", ""
}

// sharesNothing says whether a route has listeners to itself, so that what becomes of it depends on others of its kind.
func (r *Route) sharesNothing() bool {
	return r.Object.Kind == "TCPRoute" || r.Object.Kind == "UDPRoute"
}

// attachTo joins route and listener; a listener that an earlier parentRef already joined shares the Attachment.
func (b *builder) attachTo(r *Route, p *Parent, l *Listener, hostnames []Hostname) {
	at := b.graph.Attached[l]
	if n := len(at.Routes); n > 0 && at.Routes[n-1].Route == r {
		p.Attachments = append(p.Attachments, at.Routes[n-1])
		return
	}
	a := &Attachment{Route: r, Listener: l, Hostnames: hostnames}
	if k := r.Object.Kind; r.sharesNothing() {
		if first := slices.IndexFunc(at.Routes, func(other *Attachment) bool { return other.Route.Object.Kind == k }); first >= 0 {
			a.Behind = at.Routes[first].Route
		}
	}
	p.Attachments = append(p.Attachments, a)
	at.Routes = append(at.Routes, a)
	b.graph.Attached[l] = at
}

// object is what the parentRef names.
func (p *Parent) object() *object.Object {
	if p.Set != nil {
		return p.Set.Object
	}
	return p.Gateway.Object
}

// listeners are those of what the parentRef names: a Gateway's ListenerSets are parents of their own.
func (p *Parent) listeners() []*Listener {
	if p.Set != nil {
		return p.Set.Listeners
	}
	return p.Gateway.Listeners
}

// selectListeners gives the listeners that sectionName and port leave.
func selectListeners(p *Parent) []*Listener {
	section := string(deref(p.Ref.SectionName, ""))
	port := deref(p.Ref.Port, 0)
	var selected []*Listener
	for _, l := range p.listeners() {
		if (section == "" || l.Name == section) && (port == 0 || l.Port == port) {
			selected = append(selected, l)
		}
	}
	return selected
}

func noMatchingParent(p *Parent) string {
	var have []string
	for _, l := range p.listeners() {
		have = append(have, l.Name+" (port "+strconv.Itoa(int(l.Port))+")")
	}
	var want []string
	if s := deref(p.Ref.SectionName, ""); s != "" {
		want = append(want, "named "+string(s))
	}
	if port := deref(p.Ref.Port, 0); port != 0 {
		want = append(want, "on port "+strconv.Itoa(int(port)))
	}
	return p.object().Key.String() + " has no listener " + strings.Join(want, " ") + "; it has " + enumerate(have)
}

// notAllowed says of each selected listener why it does not admit the route.
func (b *builder) notAllowed(r *Route, selected []*Listener) string {
	var why []string
	for _, l := range selected {
		switch {
		case !l.Attachable:
			why = append(why, "listener "+l.Name+": "+b.unsupportedProtocol(l.Protocol))
		case !l.supports(r.Kind()):
			why = append(why, b.notSupported(r, l))
		default:
			why = append(why, "listener "+l.Name+" does not admit the route: "+b.filters[l].refusal(r.Object.Namespace, r.Object.Meta.Labels))
		}
	}
	return join(why)
}

// notSupported says why a listener does not take routes of a kind.
func (b *builder) notSupported(r *Route, l *Listener) string {
	k := r.Object.Kind
	if p, _ := b.protocolOf(l.Spec); !slices.Contains(p.kinds, r.Kind()) {
		return "listener " + l.Name + " is of protocol " + l.protocolText() + ", which carries no " + k + "s" + b.unservedHint(gatewayGroup, k)
	}
	return "listener " + l.Name + " does not allow " + k + "s: see its allowedRoutes.kinds"
}

func noMatchingHostname(r *Route, admitting []*Listener) string {
	var want, have []string
	for _, h := range r.Hostnames {
		want = append(want, string(h))
	}
	for _, l := range admitting {
		have = append(have, l.Name+" ("+l.Hostname+")")
	}
	return "no hostname of the route (" + strings.Join(want, ", ") + ") matches that of a listener: " + enumerate(have)
}
