// BackendRefs: from a reference to the target that it leads to, or to the reason why it leads nowhere.

package gateway

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/wicketgate/wicketgate/object"
)

// backendIndex finds what belongs to a Service, or to a Backend or XBackend.
type backendIndex struct {
	slices    map[name][]*discoveryv1.EndpointSlice // by the namespace and name of their Service, ordered by their own names
	mistaken  map[object.Key]*Policy                // policies that name the Service by another group, where no other targets it
	refused   refusals
	policies  map[object.Key]map[string]*Policy // those in force, by target and sectionName ("" for all of it)
	users     map[object.Key][]*Route           // see builder.users
	externals map[object.Key]*external          // the Backends and XBackends
	traffic   map[object.Key]*traffic           // the XBackendTrafficPolicies in force, by Service
	targets   map[targetKey]*resolution
	shared    bool // targets is another graph's as well
}

// targetKey is a Service port, or a Backend or XBackend, which have but one (port 0).
type targetKey struct {
	object.Key
	port int32
	udp  bool
}

// transport is the protocol of the Service port that is meant.
func (k targetKey) transport() corev1.Protocol {
	if k.udp {
		return corev1.ProtocolUDP
	}
	return corev1.ProtocolTCP
}

// String names the target across graphs.
func (k targetKey) String() string {
	text := k.Key.String()
	if k.port != 0 {
		text += ":" + strconv.Itoa(int(k.port))
	}
	if k.udp {
		text += "/UDP"
	}
	return text
}

// resolution is what a reference led to. All references to it share one.
type resolution struct {
	target          *Target
	reason, message string // why there is no target
	source          string // where the target comes from
	note            string // what its author should know though nothing is wrong with it
	empty           string // why there are no endpoints for now
	hinted          bool   // it names, or would name, another Service that may be meant
}

// indexBackends reads the objects that add to Services.
func (b *builder) indexBackends(set *object.Set) *backendIndex {
	index := &backendIndex{
		slices: map[name][]*discoveryv1.EndpointSlice{}, policies: map[object.Key]map[string]*Policy{}, mistaken: map[object.Key]*Policy{},
		refused: indexRefusals(set), externals: map[object.Key]*external{}, traffic: map[object.Key]*traffic{}, targets: map[targetKey]*resolution{},
	}
	b.indexSlices(index, func(*object.Object) bool { return true })
	return index
}

// indexSlices reads the EndpointSlices that are wanted.
func (b *builder) indexSlices(index *backendIndex, wanted func(*object.Object) bool) {
	for _, o := range typed[*discoveryv1.EndpointSlice](b.set, sliceKind()) {
		if service := serviceOf(o.object); service.Name != "" && wanted(o.object) {
			key := name{service.Namespace, service.Name}
			index.slices[key] = append(index.slices[key], b.confineSlice(o.object, o.value))
		}
	}
}

// serviceOf is the Service that an EndpointSlice belongs to; without a name if it says none.
func serviceOf(slice *object.Object) object.Key {
	return keyOf(coreKind("Service"), slice.Namespace, slice.Meta.Labels[discoveryv1.LabelServiceName])
}

// noteFor is what the author of a route that refers to the target should know; empty: nothing.
func (r *resolution) noteFor(kind string) string {
	if r.empty != "" {
		return r.empty + ": " + failure(kind, "503")
	}
	return r.note
}

// users are the routes that refer to a backend, by precedence. They are known once all routes are made.
func (b *builder) users(backend object.Key) []*Route {
	if b.backends.users == nil {
		b.backends.users = map[object.Key][]*Route{}
		for _, r := range b.graph.Routes {
			for _, key := range r.made.uses {
				b.backends.users[key] = append(b.backends.users[key], r)
			}
		}
	}
	return b.backends.users[backend]
}

// newBackend makes a backendRef that is not resolved yet.
func newBackend(ref *gatewayv1.BackendRef, filters []gatewayv1.HTTPRouteFilter) *Backend {
	return &Backend{Ref: ref, Weight: deref(ref.Weight, 1), Filters: filters}
}

// resolveBackends resolves the backendRefs of a rule.
func (b *builder) resolveBackends(rule *Rule, set *ruleSet) {
	for i, backend := range rule.Backends {
		found := b.resolve(rule, &backend.Ref.BackendObjectReference)
		if found.reason != "" {
			backend.Unusable = found.message
			set.refs.add(typeResolvedRefs, found.reason, rule.field("backendRefs["+strconv.Itoa(i)+"]"), found.message)
			continue
		}
		backend.Target = found.target
		if !slices.Contains(set.sources, found.source) {
			set.sources = append(set.sources, found.source)
		}
		if note := found.noteFor(rule.Object.Kind); note != "" {
			b.warn(rule.Object, rule.field("backendRefs["+strconv.Itoa(i)+"]"), note)
		}
	}
}

// warnNoTraffic tells of a rule that forwards nothing and does not mean to.
func (b *builder) warnNoTraffic(rule *Rule) {
	for _, f := range rule.Filters {
		if f.Type == gatewayv1.HTTPRouteFilterRequestRedirect {
			return
		}
	}
	if len(rule.Backends) == 0 {
		b.warn(rule.Object, rule.field(""), "the rule has no backendRefs: its "+failure(rule.Object.Kind, "500"))
		return
	}
	for _, backend := range rule.Backends {
		if backend.Weight > 0 {
			return
		}
	}
	b.warn(rule.Object, rule.field("backendRefs"), "every backendRef has weight 0: "+failure(rule.Object.Kind, "500"))
}

// failure says what becomes of the traffic of a kind of routes that cannot be forwarded: for HTTPRoutes the status that is given.
func failure(kind, status string) string {
	switch kind {
	case "HTTPRoute":
		return "requests are answered with " + status
	case "GRPCRoute":
		return "requests are answered with UNAVAILABLE"
	case "UDPRoute":
		return "packets are dropped"
	}
	return "connections are closed"
}

// resolve follows a reference. The grant comes before existence, so that nobody learns what another namespace has.
func (b *builder) resolve(rule *Rule, ref *gatewayv1.BackendObjectReference) *resolution {
	from := rule.Object
	group, k := string(deref(ref.Group, "")), string(deref(ref.Kind, "Service"))
	target := keyOf(kind(group, k), string(deref(ref.Namespace, gatewayv1.Namespace(from.Namespace))), string(ref.Name))
	service := target.GroupKind == coreKind("Service")
	if !service && !isExternalKind(target.GroupKind) {
		return &resolution{reason: reasonInvalidKind, message: target.String() + kindGroup(group) + " cannot be a backend: refer to a Service"}
	}
	if !b.grants.permits(from.GroupKind, from.Namespace, target) {
		return &resolution{reason: reasonNotPermitted, message: notPermitted(from.GroupKind, from.Namespace, target)}
	}
	if service && ref.Port == nil {
		return &resolution{reason: reasonBackendNotFound, message: target.String() + ": port is required; it is the port of the Service"}
	}
	if !slices.Contains(b.using, target) {
		b.using = append(b.using, target)
	}
	key := targetKey{target, 0, from.Kind == "UDPRoute"}
	if service {
		key.port = *ref.Port
	} else if message := b.superfluousPort(rule, ref, target); message != "" {
		return &resolution{reason: reasonUnsupportedValue, message: message}
	}
	found := b.backends.targets[key]
	if found == nil {
		found = b.follow(key)
	}
	if found.target != nil {
		if message := unsupportedAppProtocol(gatewayv1.Kind(rule.Object.Kind), found.target.AppProtocol, found.target.TLS != nil); message != "" {
			return &resolution{reason: reasonUnsupportedProto, message: target.String() + ": " + message}
		}
	}
	return found
}

// follow finds what all references to a target lead to, and remembers it.
func (b *builder) follow(key targetKey) (found *resolution) {
	hinted := b.hinted
	if key.GroupKind == coreKind("Service") {
		if found = b.resolveService(key.Key, key); found.target != nil {
			b.applyTraffic(found.target, key.Key)
		}
	} else {
		found = b.resolveExternal(key)
	}
	found = b.introduce(found, key)
	found.hinted = b.hinted != hinted
	if b.backends.shared { // with the graph before
		b.backends.targets, b.backends.shared = maps.Clone(b.backends.targets), false
	}
	b.backends.targets[key] = found
	return found
}

// resolveService finds the endpoints of a Service port.
func (b *builder) resolveService(key object.Key, port targetKey) *resolution {
	o := b.set.Get(key)
	service, _ := valueOf(o).(*corev1.Service)
	switch {
	case service == nil && b.set.IsRefused(key): // it might say that its backends speak TLS
		return &resolution{reason: reasonBackendNotFound, message: key.String() + refusedMessage + ": nothing is sent to it, by whatever name"}
	case service == nil:
		return b.withoutService(key, port)
	}
	if service.Spec.Type == corev1.ServiceTypeExternalName {
		return b.externalName(service, port)
	}
	servicePort, message := findPort(service, port)
	if message != "" {
		return &resolution{reason: reasonBackendNotFound, message: key.String() + " " + message}
	}
	demand, message := b.policyFor(port, servicePort, service)
	if message != "" {
		return &resolution{reason: reasonUnsupportedValue, message: message}
	}
	target := &Target{Key: port.String(), AppProtocol: deref(servicePort.AppProtocol, ""), Service: service, TLS: demand}
	all, refused := b.backends.slices[name{port.Namespace, port.Name}], b.backends.refused.slices[name{port.Namespace, port.Name}]
	if len(all) > 0 || refused != "" || !b.opts.DNSBackends {
		target.Endpoints = endpoints(all, servicePort)
		empty := noEndpoints(key, all, servicePort, target)
		if empty != "" && refused != "" {
			empty += ", and " + refused
		}
		return &resolution{target: target, source: target.Key + " by EndpointSlices", empty: empty}
	}
	return b.byName(key, target, servicePort)
}

// withoutService dials the name of a Service that no file defines, at the reference's port.
func (b *builder) withoutService(key object.Key, port targetKey) *resolution {
	if !b.opts.DNSBackends {
		return &resolution{reason: reasonBackendNotFound, message: key.String() + " is not defined" + b.hint(key)}
	}
	demand, message := b.policyFor(port, nil, nil)
	if message != "" {
		return &resolution{reason: reasonUnsupportedValue, message: message}
	}
	names := dnsNames(key)
	target := &Target{Key: port.String(), Hosts: []Host{{Names: names, Port: uint16(port.port)}}, TLS: demand}
	return &resolution{target: target, source: target.Key + " by DNS name " + strings.Join(names, " or ") + " (no Service is defined)", note: b.likelyMistake(key)}
}

// likelyMistake warns of a Service that is not defined where one with nearly the same name is.
func (b *builder) likelyMistake(key object.Key) string {
	if hint := b.hint(key); hint != "" {
		return key.String() + " is not defined and is looked up by DNS name" + hint
	}
	return ""
}

// byName dials the name of a Service that has no EndpointSlice, at the port where its containers listen.
func (b *builder) byName(key object.Key, target *Target, port *corev1.ServicePort) *resolution {
	if text := port.TargetPort.StrVal; text != "" {
		return &resolution{reason: reasonBackendNotFound, message: key.String() + ": targetPort " + strconv.Quote(text) +
			" is a name that only EndpointSlices can explain, and there is none: write the port's number, or add an EndpointSlice"}
	}
	names, number := dnsNames(key), cmp.Or(port.TargetPort.IntVal, port.Port)
	target.Hosts = []Host{{Names: names, Port: uint16(number)}}
	return &resolution{target: target, source: target.Key + " by DNS name " + strings.Join(names, " or ") + " at port " +
		strconv.Itoa(int(number)) + " (it has no EndpointSlice)"}
}

// dnsNames are the names under which a Service may be known: "cart.shop" first, then "cart", as containers of one project call each other.
func dnsNames(key object.Key) []string { return []string{key.Name + "." + key.Namespace, key.Name} }

// valueOf is the value of an object that may be nil.
func valueOf(o *object.Object) any {
	if o == nil {
		return nil
	}
	return o.Value
}

// findPort finds a Service's port by number and protocol, or says which it has.
func findPort(service *corev1.Service, key targetKey) (port *corev1.ServicePort, message string) {
	var have []string
	number := strconv.Itoa(int(key.port))
	for i := range service.Spec.Ports {
		p := &service.Spec.Ports[i]
		protocol := cmp.Or(p.Protocol, corev1.ProtocolTCP)
		if p.Port == key.port && protocol == key.transport() {
			return p, ""
		}
		text := strconv.Itoa(int(p.Port))
		if protocol != corev1.ProtocolTCP {
			text += "/" + string(protocol)
		}
		have = append(have, text)
	}
	if len(have) == 0 {
		return nil, "has no ports: add port " + number + " to spec.ports"
	}
	return nil, "has no " + string(key.transport()) + " port " + number + "; it has " + enumerate(have)
}

// unsupportedAppProtocol says why a kind of routes cannot use a port with this appProtocol. Streams and packets are forwarded whatever is
// in them. WebSocket begins as HTTP/1.1, and gRPC is HTTP/2. The protocols that imply TLS need a policy, which says whom to trust. Names of the
// IANA registry, those without a prefix, may be in any case (RFC 6335 section 5.1).
func unsupportedAppProtocol(k gatewayv1.Kind, protocol string, tls bool) string {
	if k != "HTTPRoute" && k != "GRPCRoute" {
		return ""
	}
	if !strings.Contains(protocol, "/") {
		protocol = strings.ToLower(protocol)
	}
	switch protocol {
	case "", "http", "kubernetes.io/h2c", "grpc":
		return ""
	case "https":
		if tls {
			return ""
		}
		return needsPolicy(protocol)
	case "kubernetes.io/ws", "kubernetes.io/wss":
		switch {
		case k == "GRPCRoute":
			return "appProtocol " + protocol + " (WebSocket) is not one that a GRPCRoute can use: use kubernetes.io/h2c, or remove it"
		case protocol == "kubernetes.io/wss" && !tls:
			return needsPolicy(protocol)
		}
		return ""
	}
	if k == "GRPCRoute" {
		return "appProtocol " + protocol + " is not one that a GRPCRoute can use: use kubernetes.io/h2c or https, or remove it"
	}
	return "appProtocol " + protocol + " is not one that an HTTPRoute can use: use http, https, kubernetes.io/h2c, kubernetes.io/ws or kubernetes.io/wss, or remove it"
}

// needsPolicy is the message for an appProtocol that implies TLS, without a policy.
func needsPolicy(protocol string) string {
	return "appProtocol " + protocol + " asks for TLS to the backend, and nothing says whom to trust: add a BackendTLSPolicy that targets it, or tls to a Backend"
}
