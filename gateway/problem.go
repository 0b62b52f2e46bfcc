// Problems: what the author of a file is told, with the position of the field that causes it.

package gateway

import (
	"strings"

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
	b.graph.Problems = append(b.graph.Problems, object.Problem{
		Severity: severity, Position: o.At(field), Object: o.Key, Field: field, Message: message,
	})
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

// unservedKinds are the kinds of Gateway API that are admitted but not served yet, each with what that means.
func unservedKinds() map[object.GroupKind]string {
	const routes = "they carry no traffic"
	return map[object.GroupKind]string{
		gatewayKind("GRPCRoute"): routes,
		gatewayKind("TLSRoute"):  routes,
		gatewayKind("TCPRoute"):  routes,
		gatewayKind("UDPRoute"):  routes,
	}
}

// reportKinds says once a kind that it is not served yet, at its first object.
func (b *builder) reportKinds() {
	for k, effect := range unservedKinds() {
		all := b.set.Kind(k)
		if len(all) == 0 {
			continue
		}
		var names []string
		for _, o := range all {
			names = append(names, strings.TrimPrefix(o.Key.String(), k.Kind+" "))
		}
		b.fail(all[0], "kind", k.Kind+" is not served yet: "+effect+" ("+enumerate(names)+")")
	}
}

// reportUnattached warns of listeners that no route wants: often the parentRef or a label has a typing error.
func (b *builder) reportUnattached() {
	for _, gw := range b.graph.Gateways {
		for l := range gw.all() {
			if l.Usable && len(l.Attachments) == 0 {
				b.warn(l.Object(), l.field(""), "no route is attached to listener "+l.Name+": its requests are answered with 404")
			}
		}
	}
}
