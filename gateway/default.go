// Default Gateways (GEP-3793): a Gateway with spec.defaultScope is a parent of every route that asks for default Gateways by
// spec.useDefaultGateways, as if the route's parentRefs named it. All default Gateways of a scope are parents, not only one of them.

package gateway

import (
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// byDefault is the Parent.Index of a default Gateway.
const byDefault = -1

// useDefaults is the field by which a route asks for default Gateways.
const useDefaults = "spec.useDefaultGateways"

// isDefault says whether the Gateway takes the routes that ask for default Gateways.
func (gw *Gateway) isDefault() bool {
	return gw.Spec.Spec.DefaultScope == gatewayv1.GatewayDefaultScopeAll
}

// defaultParents are the parentRefs that a route's spec.useDefaultGateways stands for: those of all default Gateways that its parentRefs do not
// name as a whole. They are by precedence of the Gateways.
func (b *builder) defaultParents(r *Route) []gatewayv1.ParentReference {
	if r.Common.UseDefaultGateways != gatewayv1.GatewayDefaultScopeAll {
		return nil
	}
	var refs []gatewayv1.ParentReference
	found := false
	for _, gw := range b.graph.Gateways {
		if !gw.isDefault() {
			continue
		}
		found = true
		if r.names(gw) {
			continue
		}
		namespace := gatewayv1.Namespace(gw.Object.Namespace)
		refs = append(refs, gatewayv1.ParentReference{Namespace: &namespace, Name: gatewayv1.ObjectName(gw.Object.Name)})
	}
	if !found {
		b.warn(r.Object, useDefaults, "no Gateway is a default one: set spec.defaultScope of a Gateway to All, or name one in spec.parentRefs")
	}
	return refs
}

// names says whether a parentRef of the route names the Gateway as a whole.
func (r *Route) names(gw *Gateway) bool {
	for _, p := range r.Parents {
		if p.Gateway == gw && p.Set == nil && p.Ref.SectionName == nil && p.Ref.Port == nil {
			return true
		}
	}
	return false
}

// warnNoDefault tells of a route that asks for default Gateways when there are some and none accepts it. That some of several do not is as
// it should be: they are for other routes.
func (b *builder) warnNoDefault(r *Route, defaults []*Parent) {
	if len(defaults) == 0 {
		return
	}
	for _, p := range r.Parents {
		if p.Accepted {
			return
		}
	}
	b.warn(r.Object, useDefaults, "no default Gateway accepts the route: see the conditions of its parents")
}
