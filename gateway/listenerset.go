// ListenerSets (GEP-1713): objects that add listeners to a Gateway, perhaps from other namespaces than its own.
//
// A Gateway admits nobody's ListenerSets unless its allowedListeners says so. The listeners of one that is admitted are the Gateway's in
// every way that concerns traffic (addresses, sockets, conflicts), but belong to the ListenerSet in every way that concerns ownership:
// routes attach by a parentRef to the ListenerSet and never by one to the Gateway, allowedRoutes means the ListenerSet's namespace, and
// references to Secrets need grants to the ListenerSet. What is wrong with a ListenerSet never changes what the Gateway or another
// ListenerSet serves.

package gateway

import (
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/wicketgate/wicketgate/object"
)

// buildListenerSets makes the ListenerSets of all Gateways of ours, by precedence.
func (b *builder) buildListenerSets() {
	all := typed[*gatewayv1.ListenerSet](b.set, gatewayKind("ListenerSet"))
	slices.SortFunc(all, func(x, y typedObject[*gatewayv1.ListenerSet]) int { return older(x.object, y.object) })
	filters := map[*Gateway]*namespaceFilter{}
	for _, o := range all {
		gw := b.parentGateway(o.object, &o.value.Spec.ParentRef)
		if gw == nil {
			continue
		}
		s := &ListenerSet{Object: o.object, Spec: o.value, Gateway: gw}
		b.graph.ListenerSets = append(b.graph.ListenerSets, s)
		b.sets[name{o.object.Namespace, o.object.Name}] = s
		filter := filters[gw]
		if filter == nil {
			filter = b.allowedListeners(gw)
			filters[gw] = filter
		}
		if !filter.admits(o.object.Namespace) {
			s.faults.add(typeAccepted, reasonNotAllowed, "spec.parentRef", notAllowedListeners(gw, filter, o.object.Namespace))
			continue
		}
		gw.ListenerSets = append(gw.ListenerSets, s)
		for i := range o.value.Spec.Listeners {
			// The two types have the same fields: what is defined for a listener is defined for either.
			entry := (*gatewayv1.Listener)(&o.value.Spec.Listeners[i])
			s.Listeners = append(s.Listeners, b.newListener(gw, s, entry, i))
		}
	}
}

// parentGateway finds the Gateway of ours that a ListenerSet names, or reports why there is none: the ListenerSet has no status of ours
// then that could say so.
func (b *builder) parentGateway(o *object.Object, ref *gatewayv1.ParentGatewayReference) *Gateway {
	const field = "spec.parentRef"
	group, k := string(deref(ref.Group, gatewayGroup)), string(deref(ref.Kind, "Gateway"))
	target := keyOf(kind(group, k), string(deref(ref.Namespace, gatewayv1.Namespace(o.Namespace))), string(ref.Name))
	if target.GroupKind != gatewayKind("Gateway") {
		b.fail(o, field, target.String()+kindGroup(group)+" cannot be the parent of a ListenerSet: refer to a Gateway")
		return nil
	}
	gw := b.gateways[name{target.Namespace, target.Name}]
	if gw == nil {
		b.reportMissingParent(o, field, target)
	}
	return gw
}

// allowedListeners reads a Gateway's spec.allowedListeners; without it, or with one that cannot be read, no ListenerSet is admitted.
func (b *builder) allowedListeners(gw *Gateway) *namespaceFilter {
	none := gatewayv1.NamespacesFromNone
	spec := gatewayv1.RouteNamespaces{From: &none}
	if allowed := gw.Spec.Spec.AllowedListeners; allowed != nil && allowed.Namespaces != nil {
		spec.Selector = allowed.Namespaces.Selector
		if allowed.Namespaces.From != nil {
			spec.From = allowed.Namespaces.From
		}
	}
	filter, err := newNamespaceFilter(&spec, gw.Object.Namespace, b.labels)
	if err != nil {
		b.fail(gw.Object, "spec.allowedListeners.namespaces", "no ListenerSet is admitted: "+err.Error())
		return &namespaceFilter{from: none}
	}
	return filter
}

// notAllowedListeners says why a Gateway does not admit the ListenerSets of a namespace, and what would change that.
func notAllowedListeners(gw *Gateway, filter *namespaceFilter, namespace string) string {
	const remedy = ": set its spec.allowedListeners.namespaces.from to "
	text := gw.Object.Key.String() + " allows "
	switch filter.from {
	case gatewayv1.NamespacesFromSame:
		return text + "ListenerSets of its own namespace only" + remedy + "All, or to Selector with a selector"
	case gatewayv1.NamespacesFromSelector:
		return text + "only ListenerSets of namespaces that its selector (" + filter.selector.String() + ") matches, and the labels of namespace " +
			namespace + " do not match"
	}
	return text + "no ListenerSets" + remedy + "Same or All, or to Selector with a selector"
}

// concludeListenerSets turns the faults of ListenerSets and their listeners into conditions and problems.
func (b *builder) concludeListenerSets() {
	for _, s := range b.graph.ListenerSets {
		var invalid []string
		for _, l := range s.Listeners {
			concludeListener(l)
			if !l.valid() {
				_, reason := l.cause()
				invalid = append(invalid, l.Name+" ("+reason+")")
			}
			b.reportFaults(s.Object, l.faults)
		}
		accepted := listenerSetAccepted(s, invalid)
		s.Accepted = accepted.Status == metav1.ConditionTrue
		s.Conditions = []Condition{accepted}
		b.reportFaults(s.Object, s.faults)
	}
}

// attachedListenerSets counts a Gateway's ListenerSets that are accepted.
func (gw *Gateway) attachedListenerSets() (n int64) {
	for _, s := range gw.ListenerSets {
		if s.Accepted {
			n++
		}
	}
	return n
}
