// Problems: what the author of a file is told, with the position of the field that causes it.

package gateway

import (
	"strings"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/wicketgate/wicketgate/object"
)

// fail reports that something which an object asks for is not in force.
func (b *builder) fail(o *object.Object, field, message string) {
	b.report(object.Error, o, field, message)
}

// warn reports what is in force, but probably not as meant.
func (b *builder) warn(o *object.Object, field, message string) {
	b.report(object.Warning, o, field, message)
}

func (b *builder) report(severity object.Severity, o *object.Object, field, message string) {
	b.graph.Problems = append(b.graph.Problems, problemAt(severity, o, field, message))
}

func problemAt(severity object.Severity, o *object.Object, field, message string) object.Problem {
	return object.Problem{Severity: severity, Position: o.At(field), Object: o.Key, Field: field, Message: message}
}

// reportFaults reports faults of an object, each message and field once even if it spoils two conditions.
func (b *builder) reportFaults(o *object.Object, all faults) {
	type place struct{ field, message string }
	seen := map[place]bool{}
	for _, f := range all {
		if at := (place{f.field, f.message}); !seen[at] {
			seen[at] = true
			b.fail(o, f.field, f.message)
		}
	}
}

// reportMissingParent tells of a reference to a Gateway or ListenerSet that is not served: the object that refers to it has no status of
// ours that could say so.
func (b *builder) reportMissingParent(o *object.Object, field string, target object.Key) {
	referrer := "the route"
	if !strings.HasSuffix(o.Kind, "Route") {
		referrer = "the " + o.Kind
	}
	switch {
	case b.set.Get(target) == nil:
		b.fail(o, field, target.String()+" is not defined, so nothing serves "+referrer+b.hint(target))
	case target.Kind == "ListenerSet":
		b.warn(o, field, target.String()+" belongs to no Gateway that is served, so nothing serves "+referrer)
	default:
		b.warn(o, field, target.String()+" belongs to another controller: "+referrer+" is left to it")
	}
}

// unattached warns of listeners that no route wants: often the parentRef or a label has a typing error.
func (g *Graph) unattached() (list []object.Problem) {
	for l := range g.Listeners() {
		if l.Usable && len(g.Attached[l].Routes) == 0 {
			list = append(list, problemAt(object.Warning, l.Object(), l.field(""), "no route is attached to listener "+l.Name+": "+l.idle()))
		}
	}
	return list
}

// idle says what becomes of a listener's traffic without a route.
func (l *Listener) idle() string {
	switch l.Protocol {
	case gatewayv1.UDPProtocolType:
		return "its packets are dropped"
	case gatewayv1.TCPProtocolType, gatewayv1.TLSProtocolType:
		return "its connections are closed"
	}
	return "its requests are answered with 404"
}
