// The status of policies and of experimental kinds: one entry for each Gateway that an object has an effect on, and the entries of other controllers.

package gateway

import (
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/wicketgate/wicketgate/object"
)

// maxAncestors is how many entries a policy's status may have. Those of other controllers keep their places.
const maxAncestors = 16

// policy writes the status of a BackendTLSPolicy.
func (p *projection) policy(policy *Policy) {
	ancestors := make([]Ancestor, 0, len(policy.Ancestors))
	for _, gw := range policy.Ancestors {
		ancestors = append(ancestors, Ancestor{gw, policy.Conditions})
	}
	p.ancestors(p.writer(policy.Object), ancestors)
}

// ancestors writes a status by ancestors, also of an object that nothing leads to: entries that are in force no longer disappear.
func (p *projection) ancestors(w *writer, ours []Ancestor) {
	foreign := p.foreignEntries(fileStatus(w.object), "ancestors")
	room := max(0, maxAncestors-len(foreign))
	list := make([]any, 0, len(ours)+len(foreign))
	for _, a := range ours[:min(len(ours), room)] {
		gw := a.Gateway
		list = append(list, map[string]any{
			"ancestorRef": map[string]any{
				"group": gatewayv1.GroupName, "kind": "Gateway", "namespace": gw.Object.Namespace, "name": gw.Object.Name,
			},
			"controllerName": string(gw.Class.ControllerName),
			"conditions":     w.conditions("ancestor/"+gw.Object.Namespace+"/"+gw.Object.Name, a.Conditions, nil),
		})
	}
	p.add(w, map[string]any{"ancestors": append(list, foreign...)})
}

// plain writes a status that is conditions and nothing else: that of an XMesh or a Backend.
func (p *projection) plain(o *object.Object, conditions []Condition) {
	w := p.writer(o)
	p.add(w, map[string]any{"conditions": w.conditions("", conditions, foreignConditions(fileStatus(o)))})
}
