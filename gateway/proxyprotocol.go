// The PROXY protocol, which the Gateway API does not speak of: annotations say who uses it.

package gateway

import (
	"slices"
	"strings"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/wicketgate/wicketgate/object"
)

// ProxyProtocolAnnotation on a Gateway or ListenerSet names the listeners of it, with commas between them, or all ("*"), whose connections begin
// with a header of the PROXY protocol.
const ProxyProtocolAnnotation = "wicketgate.dev/proxy-protocol"

// proxied says whether connections of a listener begin with a header of the PROXY protocol.
func proxied(l *Listener) bool {
	value, asked := l.Object().Meta.Annotations[ProxyProtocolAnnotation]
	return asked && l.Protocol != gatewayv1.UDPProtocolType && slices.ContainsFunc(annotatedNames(value), func(name string) bool {
		return name == "*" || name == l.Name
	})
}

func annotatedNames(value string) []string {
	names := strings.Split(value, ",")
	for i := range names {
		names[i] = strings.TrimSpace(names[i])
	}
	return names
}

// warnProxied tells of names in the annotation that no listener of the object has.
func (b *builder) warnProxied(o *object.Object, listeners []*Listener) {
	value, asked := o.Meta.Annotations[ProxyProtocolAnnotation]
	if !asked {
		return
	}
	for _, name := range annotatedNames(value) {
		if name != "*" && !slices.ContainsFunc(listeners, func(l *Listener) bool { return l.Name == name }) {
			b.warn(o, "metadata.annotations", "annotation "+ProxyProtocolAnnotation+": there is no listener "+name+": name listeners, or write *")
		}
	}
}

// proxiedOtherwise says why a listener cannot join a socket some of whose listeners take the PROXY protocol, or "": the header comes before
// anything by which listeners could be told apart.
func proxiedOtherwise(l *Listener, shared *Socket) string {
	if l.ProxyProtocol == shared.ProxyProtocol {
		return ""
	}
	first := shared.Listeners[0]
	if shared.ProxyProtocol {
		return "connections of this port begin with the PROXY protocol for " + first.nameFor(l) + ": name this listener, too, in annotation " +
			ProxyProtocolAnnotation + ", or use another port or address"
	}
	return "this port is used without the PROXY protocol by " + first.nameFor(l) + ": use another port or address"
}
