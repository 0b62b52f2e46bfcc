// The status of HTTPRoutes: one entry for each parentRef that names a Gateway of ours or a ListenerSet of one, then the entries of other controllers.

package gateway

import (
	"maps"
	"slices"
	"strconv"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/wicketgate/wicketgate/object"
)

// maxParents is how many entries a route's status may have.
const maxParents = 32

// route writes the status of an HTTPRoute, also of one without parents: entries that are in force no longer disappear.
func (p *projection) route(r *Route) {
	facts := factsOf(r)
	if p.previous != nil && maps.Equal(p.previous.controllers, p.controllers) {
		if before := p.previous.byKey[r.Object.Key]; before != nil && before.of.equal(facts) {
			p.set.byKey[r.Object.Key] = before
			return
		}
	}
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
	p.add(w, map[string]any{"parents": parents[:min(len(parents), maxParents)]})
	p.set.byKey[r.Object.Key].of = facts
}

// routeFacts is what the status of a route is made of, besides the controllers that are ours. It holds on to nothing of a graph.
type routeFacts struct {
	object  *object.Object // its file's status and its generation
	parents []parentFacts
}

// parentFacts is the part of one parentRef. The reference itself is the object's.
type parentFacts struct {
	controller gatewayv1.GatewayController
	index      int // in the spec
	place      string
	conditions []Condition
}

func factsOf(r *Route) routeFacts {
	f := routeFacts{object: r.Object, parents: make([]parentFacts, len(r.Parents))}
	for i, parent := range r.Parents {
		f.parents[i] = parentFacts{controller: parent.Gateway.Class.ControllerName, index: parent.Index, conditions: parent.Conditions}
		if parent.Index == byDefault {
			f.parents[i].place = parentPlace(&parent.Ref)
		}
	}
	return f
}

func (f routeFacts) equal(other routeFacts) bool {
	return f.object == other.object && slices.EqualFunc(f.parents, other.parents, func(a, b parentFacts) bool {
		return a.controller == b.controller && a.index == b.index && a.place == b.place && slices.Equal(a.conditions, b.conditions)
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
