// GatewayClasses: which are served, and by what name their Gateways call us.

package gateway

import (
	"slices"
	"strings"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// apiVersion is the Gateway API release whose types and schemas are built in.
const apiVersion = "v1.7.0"

// buildClasses makes a Class of every GatewayClass. Without Options.ControllerName every controllerName is served: the directory
// names the gateway that it was written for, and this is now the one that reads it.
func (b *builder) buildClasses() {
	var controllers []string
	for _, o := range typed[*gatewayv1.GatewayClass](b.set, gatewayKind("GatewayClass")) {
		controller := o.value.Spec.ControllerName
		class := &Class{
			Object: o.object, Name: o.object.Name, ControllerName: controller, Accepted: true,
			Served: b.opts.ControllerName == "" || b.opts.ControllerName == string(controller),
		}
		b.classes[class.Name] = class
		b.graph.Classes = append(b.graph.Classes, class)
		if !class.Served {
			continue
		}
		if !slices.Contains(controllers, string(controller)) {
			controllers = append(controllers, string(controller))
		}
		b.concludeClass(class, o.value)
	}
	if len(controllers) > 1 {
		slices.Sort(controllers)
		b.warn(b.graph.Classes[0].Object, "spec.controllerName", "GatewayClasses of several controllers are served ("+
			strings.Join(controllers, ", ")+"): use --controller-name to serve one of them only")
	}
}

// concludeClass gives a served class its conditions.
func (b *builder) concludeClass(class *Class, spec *gatewayv1.GatewayClass) {
	accepted := classAccepted("The GatewayClass is accepted")
	if ref := spec.Spec.ParametersRef; ref != nil {
		what := string(ref.Kind) + " " + ref.Name
		if b.opts.Strict {
			class.Accepted = false
			accepted = classInvalidParameters(what + " of group " + string(ref.Group) + " is not a kind of parameters that is supported: remove parametersRef")
			b.fail(class.Object, "spec.parametersRef", accepted.Message)
		} else {
			accepted = classAccepted("The GatewayClass is accepted; its parametersRef (" + what + ") is another gateway's and is not used")
			b.warn(class.Object, "spec.parametersRef", what+" is another gateway's configuration and is not used")
		}
	}
	class.Conditions = []Condition{accepted, classSupportedVersion()}
}

// class finds the class that a Gateway names; a GatewayClass is optional.
func (b *builder) class(named string) *Class {
	if class := b.classes[named]; class != nil {
		return class
	}
	controller := DefaultControllerName
	if b.opts.ControllerName != "" {
		controller = gatewayv1.GatewayController(b.opts.ControllerName)
	}
	class := &Class{Name: named, ControllerName: controller, Served: true, Accepted: true}
	if b.opts.ControllerName != "" && b.set.IsRefused(keyOf(gatewayKind("GatewayClass"), "", named)) {
		class.Accepted = false // nobody knows whose it is
	}
	b.classes[named] = class
	b.graph.Classes = append(b.graph.Classes, class)
	slices.SortFunc(b.graph.Classes, func(x, y *Class) int { return strings.Compare(x.Name, y.Name) })
	return class
}
