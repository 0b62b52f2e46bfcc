// The status of BackendTLSPolicies: one entry for each Gateway that a policy has an effect on, and the entries of other controllers.

package gateway

import gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

// maxAncestors is how many entries a policy's status may have. Those of other controllers keep their places.
const maxAncestors = 16

// policy writes the status of a policy, also of one that nothing leads to: entries that are in force no longer disappear.
func (p *projection) policy(policy *Policy) {
	w := p.writer(policy.Object)
	foreign := p.foreignEntries(fileStatus(policy.Object), "ancestors")
	room := max(0, maxAncestors-len(foreign))
	ancestors := make([]any, 0, len(policy.Ancestors)+len(foreign))
	for _, gw := range policy.Ancestors[:min(len(policy.Ancestors), room)] {
		ancestors = append(ancestors, map[string]any{
			"ancestorRef": map[string]any{
				"group": gatewayv1.GroupName, "kind": "Gateway", "namespace": gw.Object.Namespace, "name": gw.Object.Name,
			},
			"controllerName": string(gw.Class.ControllerName),
			"conditions":     w.conditions("ancestor/"+gw.Object.Namespace+"/"+gw.Object.Name, policy.Conditions, nil),
		})
	}
	p.add(w, map[string]any{"ancestors": append(ancestors, foreign...)})
}
