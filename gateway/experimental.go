// Kinds of the experimental channel that are read and not, or not wholly, put into force: XTelemetryPolicy and XMesh. Nobody has to guess that: each
// gets the status by which a controller refuses what it cannot do. XBackends are in xbackend.go, XBackendTrafficPolicies in traffic.go.
//
// What they ask for is left undone where that takes nothing away from anybody (no trace is written).

package gateway

import (
	"slices"
	"strconv"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
	xv1alpha1 "sigs.k8s.io/gateway-api/apisx/v1alpha1"

	"github.com/wicketgate/wicketgate/object"
)

// Experimental is an XBackend, XBackendTrafficPolicy or XTelemetryPolicy.
type Experimental struct {
	Object    *object.Object
	Ancestors []Ancestor // by precedence of the Gateways

	targets   []object.Key // the backends by whose users it meets Gateways; nil for an XTelemetryPolicy, which names them
	condition Condition    // at each of these
}

// Ancestor is what becomes of an object at one Gateway that it concerns.
type Ancestor struct {
	Gateway    *Gateway
	Conditions []Condition
}

// Mesh is an XMesh that names us as its controller.
type Mesh struct {
	Object     *object.Object
	Conditions []Condition
}

// buildExperimental reads the kinds of this file. Routes are attached before: what leads to a backend decides which Gateways it concerns.
func (b *builder) buildExperimental() {
	b.buildTelemetryPolicies()
	b.concludeTrafficPolicies()
	b.concludeExternals()
	b.buildMeshes()
}

// byAge gives the objects of an experimental kind by precedence.
func byAge[T any](b *builder, k string) []typedObject[T] {
	all := typed[T](b.set, kind(experimentGroup, k))
	slices.SortFunc(all, func(x, y typedObject[T]) int { return older(x.object, y.object) })
	return all
}

// buildTelemetryPolicies judges XTelemetryPolicies: of those that target one Gateway the first by precedence counts. Requests are not traced,
// which is all that can be asked for by a policy that is accepted.
func (b *builder) buildTelemetryPolicies() {
	taken := map[*Gateway]*object.Object{}
	for _, o := range byAge[*xv1alpha1.XTelemetryPolicy](b, "XTelemetryPolicy") {
		x := &Experimental{Object: o.object}
		b.graph.Experimental = append(b.graph.Experimental, x)
		var own faults
		if o.value.Spec.Tracing.Mode == xv1alpha1.TracingModeEnabled {
			own.add(typeAccepted, reasonInvalid, "spec.tracing.mode", "tracing is not served yet, and no spans are exported: set mode to Disabled, or remove the policy")
		}
		b.reportFaults(o.object, own)
		for i, ref := range o.value.Spec.TargetRefs {
			field := "spec.targetRefs[" + strconv.Itoa(i) + "]"
			gw := b.targetGateway(o.object, &ref, field)
			if gw == nil || slices.ContainsFunc(x.Ancestors, func(a Ancestor) bool { return a.Gateway == gw }) {
				continue
			}
			all := own
			if first := taken[gw]; first != nil {
				all = faults{}
				all.add(typeAccepted, string(gatewayv1.PolicyReasonConflicted), field, first.Key.String()+" takes precedence for "+gw.Object.Key.String())
				b.reportFaults(o.object, all)
			} else {
				taken[gw] = o.object
			}
			x.Ancestors = append(x.Ancestors, Ancestor{gw, []Condition{all.positive(typeAccepted, reasonAccepted, "The policy is accepted: requests are not traced")}})
		}
		b.byPrecedence(x)
	}
}

// targetGateway finds the Gateway that a policy of its namespace targets, or reports why there is none of ours.
func (b *builder) targetGateway(o *object.Object, ref *gatewayv1.LocalObjectReference, field string) *Gateway {
	target := keyOf(kind(string(ref.Group), string(ref.Kind)), o.Namespace, string(ref.Name))
	if target.GroupKind != gatewayKind("Gateway") {
		b.fail(o, field, target.String()+kindGroup(string(ref.Group))+" cannot be the target of the policy: refer to a Gateway")
		return nil
	}
	gw := b.gateways[name{target.Namespace, target.Name}]
	if gw == nil {
		b.reportMissingParent(o, field, target)
	}
	return gw
}

// byPrecedence orders the ancestors of an object as the graph orders Gateways.
func (b *builder) byPrecedence(x *Experimental) {
	slices.SortFunc(x.Ancestors, func(p, q Ancestor) int { return older(p.Gateway.Object, q.Gateway.Object) })
}

// conclude makes an object's entries at Gateways; accepted is the message if nothing is wrong.
func (b *builder) conclude(o *object.Object, all faults, targets []object.Key, accepted string) {
	b.reportFaults(o, all)
	x := &Experimental{Object: o, targets: targets, condition: all.positive(typeAccepted, reasonAccepted, accepted)}
	b.graph.Experimental = append(b.graph.Experimental, x)
	b.meet(x)
}

// meet makes an object's entry at each Gateway to which a route is attached that refers to one of its targets.
func (b *builder) meet(x *Experimental) {
	x.Ancestors = nil
	met := map[*Gateway]bool{}
	for _, target := range x.targets {
		for _, r := range b.users(target) {
			for _, parent := range r.Parents {
				if len(parent.Attachments) > 0 {
					met[parent.Gateway] = true
				}
			}
		}
	}
	for _, gw := range b.graph.Gateways {
		if met[gw] {
			x.Ancestors = append(x.Ancestors, Ancestor{gw, []Condition{x.condition}})
		}
	}
}

// buildMeshes refuses XMeshes that name us as their controller, and ignores the others.
func (b *builder) buildMeshes() {
	ours, ignored := ourControllers(b.graph), false
	ours[DefaultControllerName] = true
	for _, o := range byAge[*xv1alpha1.XMesh](b, "XMesh") {
		controller := o.value.Spec.ControllerName
		if !ours[controller] {
			if !ignored {
				b.report(object.Ignored, o.object, "spec.controllerName", "XMesh is not used: Wicketgate is no service mesh; this one is left to "+string(controller))
			}
			ignored = true
			continue
		}
		var refused faults
		refused.add(typeAccepted, reasonUnsupportedValue, "spec.controllerName", "Wicketgate is a gateway and no service mesh: remove the XMesh")
		b.reportFaults(o.object, refused)
		b.graph.Meshes = append(b.graph.Meshes, &Mesh{o.object, []Condition{refused.positive(typeAccepted, reasonAccepted, "")}})
	}
}
