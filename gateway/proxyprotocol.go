// The PROXY protocol, which the Gateway API does not speak of: annotations say who uses it.

package gateway

import (
	"slices"
	"strconv"
	"strings"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/wicketgate/wicketgate/object"
)

// ProxyProtocolAnnotation on a Gateway or ListenerSet names the listeners of it, with commas between them, or all ("*"), whose connections begin
// with a header of the PROXY protocol. On a Service, Backend or XBackend it is the version, v1 or v2, of the header that connections to it begin with.
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

// introduce has connections to a target begin with the header that its object asks for. Where that cannot be, there is no target: who wants to be
// told of clients would take the gateway for one.
func (b *builder) introduce(found *resolution, key targetKey) *resolution {
	o := b.set.Get(key.Key)
	if o == nil || found.target == nil {
		return found
	}
	value, asked := o.Meta.Annotations[ProxyProtocolAnnotation]
	refuse := func(why string) *resolution {
		return &resolution{reason: reasonUnsupportedValue, message: key.Key.String() + ": annotation " + ProxyProtocolAnnotation + ": " + strconv.Quote(value) + why}
	}
	switch {
	case !asked:
	case value != "v1" && value != "v2":
		return refuse(" is no version of the PROXY protocol: write v1 or v2")
	case key.udp:
		return refuse(" is for connections, and packets have no header to begin with: refer to another Service, without the annotation")
	case value == "v1":
		found.target.ProxyProtocol = 1
	default:
		found.target.ProxyProtocol = 2
	}
	return found
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
