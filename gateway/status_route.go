// The status of routes: one entry for each parentRef that names a Gateway of ours or a ListenerSet of one, then the entries of other controllers.

package gateway

import (
	"maps"
	"slices"
	"strconv"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// maxParents is how many entries a route's status may have.
const maxParents = 32

// routes writes the statuses of all routes. That of one that is the very Route of the graph before is what it was.
func (p *projection) routes() {
	routes := p.graph.Routes
	p.set.routes, p.set.ofRoutes = routes, make([]*status, len(routes))
	var before StatusSet
	if p.previous != nil && maps.Equal(p.previous.controllers, p.controllers) {
		before = *p.previous
	}
	next := 0 // the place before of the route behind the last one: mostly that of the next
	for i, r := range routes {
		if next == len(before.routes) || before.routes[next] != r {
			next, _ = slices.BinarySearchFunc(before.routes, r, byPrecedence)
		}
		if next < len(before.routes) && (before.routes[next] == r || before.routes[next].sameStatus(r)) {
			p.set.ofRoutes[i] = before.ofRoutes[next]
			next++
			continue
		}
		p.set.ofRoutes[i] = p.route(r)
	}
}

// route writes the status of a route, also of one without parents: entries that are in force no longer disappear.
func (p *projection) route(r *Route) *status {
	w := p.writer(r.Object)
	parents := make([]any, 0, len(r.Parents))
	for _, parent := range r.Parents {
		ref := parentTree(&parent.Ref)
		parents = append(parents, map[string]any{
			"parentRef":      ref,
			"controllerName": string(parent.Gateway.Class.ControllerName),
			"conditions":     w.conditions(parentPlace(&parent.Ref), parent.Conditions, nil),
		})
	}
	parents = append(parents, p.foreignEntries(fileStatus(r.Object), "parents")...)
	return w.status(map[string]any{"parents": parents[:min(len(parents), maxParents)]})
}

// sameStatus says whether the statuses of two routes are the same, where the same controllers are ours.
func (r *Route) sameStatus(other *Route) bool {
	return r.Object == other.Object && slices.EqualFunc(r.Parents, other.Parents, func(a, b *Parent) bool {
		return a.Gateway.Class.ControllerName == b.Gateway.Class.ControllerName && a.Index == b.Index &&
			(a.Index != byDefault || parentPlace(&a.Ref) == parentPlace(&b.Ref)) && slices.Equal(a.Conditions, b.Conditions)
	})
}

// foreignEntries gives the entries of other controllers in a list of a file's status, untouched.
func (p *projection) foreignEntries(file map[string]any, list string) []any {
	entries, _ := file[list].([]any)
	var foreign []any
	for _, entry := range entries {
		if tree, ok := entry.(map[string]any); ok {
			if controller, ok := tree["controllerName"].(string); ok && !p.controllers[gatewayv1.GatewayController(controller)] {
				foreign = append(foreign, entry)
			}
		}
	}
	return foreign
}

// parentTree writes a parentRef as the spec has it, with group and kind.
func parentTree(ref *gatewayv1.ParentReference) map[string]any {
	tree := map[string]any{"group": string(*ref.Group), "kind": string(*ref.Kind), "name": string(ref.Name)}
	if ref.Namespace != nil {
		tree["namespace"] = string(*ref.Namespace)
	}
	if ref.SectionName != nil {
		tree["sectionName"] = string(*ref.SectionName)
	}
	if ref.Port != nil {
		tree["port"] = int64(*ref.Port)
	}
	return tree
}

// parentPlace tells the parentRefs of a route apart.
func parentPlace(ref *gatewayv1.ParentReference) string {
	return string(*ref.Kind) + "/" + string(deref(ref.Namespace, "")) + "/" + string(ref.Name) + "/" + string(deref(ref.SectionName, "")) + "/" +
		strconv.Itoa(int(deref(ref.Port, 0)))
}
