// Package gateway holds the semantics of the Gateway API: Build turns admitted objects into a graph of what is asked for
// and what is wrong with it, and Statuses projects that graph, together with what was really bound, into the status of each object.
//
// Both are pure: no clock, no network, no files, no mutable state. Every node of the graph carries its own conditions, and says apart whether
// it can carry traffic (Usable) and whether routes may attach to it (Attachable). Nothing changes a graph after Build returned it: the
// data plane's outcomes are arguments of Statuses, never written into nodes.
//
// The order of work in Build is the order of dependence, one file a concept:
//
//	classes -> gateways -> ListenerSets -> conflicts -> sockets -> policies -> routes (rules, backends, attachments) -> experimental kinds -> conditions -> problems
package gateway

import (
	"crypto/tls"
	"net/netip"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/wicketgate/wicketgate/object"
)

// Graph is what a set of objects means. It is immutable and may be read from many goroutines.
type Graph struct {
	Objects  *object.Set
	Classes  []*Class   // by name
	Gateways []*Gateway // by precedence: dated first, then by date, then by namespace/name
	// ListenerSets are those whose parentRef names a Gateway of ours, by precedence, also those that it does not admit.
	ListenerSets []*ListenerSet
	Routes       []*Route  // by precedence; every route of any kind, also those that no Gateway of ours accepts
	Policies     []*Policy // by precedence; every BackendTLSPolicy
	// Experimental are the XTelemetryPolicies, XBackendTrafficPolicies and XBackends.
	Experimental []*Experimental
	Meshes       []*Mesh // the XMeshes that name us as their controller
	// Backends are the Backends of Envoy Gateway, by precedence.
	Backends []*EnvoyBackend
	Sockets  []*Socket // by Bind and Local: everything that the data plane should listen on
	// Attached has the routes on each listener. They stand here and not with the listeners because these are shared by graphs that differ in
	// routes alone (edit.go).
	Attached map[*Listener]Attached
	// Problems are what a person should be told beyond the conditions: kinds that are not served yet, likely mistakes.
	// Conditions that are not as one wants them are in here, too, with the position of the field that causes them.
	// They are sorted by position. What depends on the time of day is left to CertificateProblems.
	Problems []object.Problem

	made *made // for Rebuild
}

// Attached is what is attached to one listener.
type Attached struct {
	Routes []*Attachment // by precedence of the routes
	// Accepted counts the routes among them that are accepted.
	Accepted int32
}

// Condition is a status condition without the parts that only Statuses knows (time, observedGeneration).
type Condition struct {
	Type    string
	Status  metav1.ConditionStatus
	Reason  string
	Message string
}

// Class is a GatewayClass, or the one that a Gateway implies by naming a class that no file holds (Object nil).
type Class struct {
	Object         *object.Object
	Name           string
	ControllerName gatewayv1.GatewayController
	Served         bool // false: another controller's; its Gateways are not ours
	Accepted       bool // false: its Gateways carry no traffic
	Conditions     []Condition
}

// Gateway is one Gateway of a class that is served.
type Gateway struct {
	Object    *object.Object
	Spec      *gatewayv1.Gateway
	Class     *Class
	Listeners []*Listener // its own, in the order of the spec
	// ListenerSets add listeners to it: those that it admits, by precedence.
	ListenerSets []*ListenerSet
	Addresses    []netip.Addr // where it listens: spec.addresses or one of the pool; empty: on all interfaces
	// Routability has the addresses that were asked for with one; others have the default, "".
	Routability map[netip.Addr]gatewayv1.GatewayAddressRoutabilityType
	Conditions  []Condition // without Programmed, which Statuses adds
	Usable      bool        // false: none of its listeners carries traffic, and none of its ListenerSets'
	// Identity is with what it presents itself to backends that it speaks TLS with; nil: with nothing.
	Identity *Identity

	faults faults
}

// ListenerSet adds listeners to a Gateway (GEP-1713).
type ListenerSet struct {
	Object     *object.Object
	Spec       *gatewayv1.ListenerSet
	Gateway    *Gateway
	Listeners  []*Listener // in the order of the spec; none if the Gateway does not admit the ListenerSet
	Accepted   bool
	Conditions []Condition // without Programmed

	faults faults
}

// Listener is one listener of a Gateway, from its own spec or from that of a ListenerSet.
type Listener struct {
	Gateway  *Gateway
	Set      *ListenerSet // nil for the Gateway's own
	Spec     *gatewayv1.Listener
	Index    int // in spec.listeners of its Object
	Name     string
	Port     int32 // the Gateway API's port: what redirects and X-Forwarded-Port say
	Protocol gatewayv1.ProtocolType
	// Passthrough: a listener of protocol TLS that leaves the handshake to the backends (tls.mode).
	Passthrough bool
	// ProxyProtocol: connections begin with a header of the PROXY protocol.
	ProxyProtocol bool
	Hostname      string // "" matches every host; lower case
	// Sockets are where the listener is to be reached; empty if it is not Usable.
	Sockets      []*Socket
	Certificates []*Certificate // where the listener ends TLS, in the order of certificateRefs; only those that resolved, and those of Managed
	// Clients is what clients have to show (HTTPS); nil: nothing is asked for. All HTTPS listeners of a socket demand the same.
	Clients *ClientValidation
	// TLSOptions are how its handshakes differ from the default; nil: they do not.
	TLSOptions *TLSOptions
	// Managed are the hostnames for which certificates are obtained because none of its references is usable: see Options.Managed.
	Managed []string
	// OnDemand are names for which certificates are obtained when clients ask for them; nil: there are none.
	OnDemand       *OnDemand
	SupportedKinds []gatewayv1.RouteGroupKind
	// Usable: it can carry traffic. Attachable: routes may attach (and are counted) even if it carries none for now.
	Usable, Attachable bool
	Conditions         []Condition // without Programmed

	faults   faults
	managed  bool     // certificates are to be found by hostname
	overlaps []string // other TLS listeners on the same port whose hostnames overlap
}

// Certificate is a usable certificate with its key.
type Certificate struct {
	Secret *object.Object
	TLS    *tls.Certificate // Leaf is set
	// Placeholder says why this self-signed certificate stands where an issued one ought to be; empty for any other.
	Placeholder string
}

// Identity is a Gateway's client certificate towards backends (GEP-3155).
type Identity struct {
	Certificate *Certificate
	// Unusable says why there is none although the Gateway asks for it: requests that would need it are answered with 500.
	Unusable string
}

// Socket is one address and port to listen on, shared by all listeners with that address, port and kind of protocol.
//
// Several Sockets may have one Bind: where one Gateway listens on all interfaces and another on a specific address of the same port,
// the wildcard is bound once, and Local says which connections belong to which.
type Socket struct {
	Bind netip.AddrPort // where to bind; an unspecified address means all interfaces, IPv4 and IPv6
	// Local, if valid, confines the Socket to connections that arrived at this address of the machine; the Socket with the same Bind
	// and no Local gets the rest.
	Local netip.Addr
	// Protocol is what all listeners of the socket have in common: HTTP, TCP, UDP, or TLS for those of protocols HTTPS and TLS, which are told
	// apart by the server name that the client's handshake asks for. UDP has ports of its own: a Socket of UDP and one of another protocol may
	// have the same Bind.
	Protocol gatewayv1.ProtocolType
	// ProxyProtocol: connections begin with a header of the PROXY protocol, for all of the socket's listeners.
	ProxyProtocol bool
	Listeners     []*Listener // with distinct hostnames, by precedence of their Gateways and, in these, of ListenerSets; one for TCP and UDP
}

// Binding is what a socket of the system is bound to: UDP has ports of its own.
type Binding struct {
	netip.AddrPort
	UDP bool
}

// Binding is what has to be bound for the Socket. Several Sockets may share one.
func (s *Socket) Binding() Binding {
	return Binding{s.Bind, s.Protocol == gatewayv1.UDPProtocolType}
}

// Compare orders bindings by address and port, TCP first.
func (b Binding) Compare(other Binding) int {
	if c := b.AddrPort.Compare(other.AddrPort); c != 0 || b.UDP == other.UDP {
		return c
	}
	if other.UDP {
		return -1
	}
	return 1
}

// Route is a route of any kind: an HTTPRoute, GRPCRoute, TLSRoute, TCPRoute or UDPRoute (Kind).
type Route struct {
	Object *object.Object // its Value is the whole spec
	Common *gatewayv1.CommonRouteSpec
	// Hostnames are the spec's; none for a TCPRoute or UDPRoute.
	Hostnames []gatewayv1.Hostname
	// Rules are those that requests can match; a rule whose matches are all invalid is left out (Index keeps the place in the spec).
	Rules []*Rule
	// Parents has one entry for each parentRef that names a Gateway of ours or a ListenerSet of one, in the order of the spec, and then
	// one for each default Gateway, if the route asks for them.
	Parents []*Parent

	made *ruleSet // what making Rules found out
}

// Parent is the fate of one parentRef. It refers to nothing that refers to a graph.
type Parent struct {
	Ref      gatewayv1.ParentReference // as in the spec, group and kind defaulted
	Index    int                       // in spec.parentRefs; negative for a default Gateway that the spec does not name
	Gateway  *Gateway
	Set      *ListenerSet // nil if the parentRef names the Gateway itself
	Accepted bool
	// Attachments are the listeners on which the route is in force. A route that is not Accepted because none of its rules can be
	// served as written is attached all the same (though not counted): its requests are answered with 500, and do not fall to others.
	Attachments []*Attachment
	Conditions  []Condition // Accepted, ResolvedRefs, PartiallyInvalid
}

// Attachment joins a route to a listener.
type Attachment struct {
	Route     *Route
	Listener  *Listener
	Hostnames []Hostname // at least one
	// Behind is the route that has the listener to itself, so that this one gets nothing of its traffic: of several TCPRoutes, or of several
	// UDPRoutes, on one listener only the first by precedence is served. Nil: the route is served.
	Behind *Route
}

// Hostname is one hostname under which a route is served on a listener.
type Hostname struct {
	// Effective is the intersection of the route's and the listener's hostname: "" (any), "*.example.com" or "shop.example.com", lower case.
	Effective string
	// Declared is the route's own hostname behind it ("" if the route names none): the more specific one wins where effective ones are equal.
	Declared string
}

// Rule is one rule of a route. Rules of TLSRoutes, TCPRoutes and UDPRoutes have Backends and nothing else.
type Rule struct {
	Object *object.Object // the route's
	Index  int
	Name   string // "" if it has none
	// Matches are those of an HTTPRoute's rule, GRPCMatches those of a GRPCRoute's: defaulted, so that there is at least one and each of Matches
	// has a path, and only those that compile. They may be the object's own: do not write to them.
	Matches     []gatewayv1.HTTPRouteMatch
	GRPCMatches []gatewayv1.GRPCRouteMatch
	// Filters are the spec's. Those of a GRPCRoute are a subset of an HTTPRoute's and are given as those.
	Filters []gatewayv1.HTTPRouteFilter
	// Unusable says why every request that the rule matches is answered with 500 (UNAVAILABLE in a GRPCRoute): a filter that is not implemented
	// or not resolvable. Empty if the rule can be served.
	Unusable string
	// Backends are the backendRefs, in order, weight 0 included.
	Backends []*Backend
	Mirrors  []*Mirror     // the rule's RequestMirror filters, in order
	Auth     *ExternalAuth // the rule's ExternalAuth filter; nil: none
	Timeouts Timeouts
	Retry    *Retry   // nil: the rule does not say
	Session  *Session // nil: the rule does not say
}

// Retry says when a request is sent once more (GEP-1731). It is immutable.
type Retry struct {
	Codes    []int         // statuses of a backend after which it is
	Attempts int           // tries in addition to the first; 0 rules out every second try
	Backoff  time.Duration // base of the wait before a retry
}

// Timeouts bound a rule's requests; zero means no limit.
type Timeouts struct {
	Request        time.Duration // from the request's head to the end of the response
	BackendRequest time.Duration // one attempt at a backend
}

// Backend is one backendRef of a rule.
type Backend struct {
	Ref    *gatewayv1.BackendRef
	Weight int32 // defaulted
	// Filters are the backendRef's own, as Rule.Filters.
	Filters []gatewayv1.HTTPRouteFilter
	// Unusable says why the share of requests that falls to this backendRef is answered with 500 or UNAVAILABLE, its connections are closed, or
	// its packets dropped; empty if it is fine.
	Unusable string
	Target   *Target // nil if Unusable
	Mirrors  []*Mirror
	Auth     *ExternalAuth // nil: none
}

// Target is where a backendRef leads: the same pointer for all backendRefs that name the same Service port.
type Target struct {
	// Key identifies the target across graphs: "Service default/cart:8080", "Backend default/api"; with "/UDP" at the end where UDP is spoken to it.
	Key string
	// Endpoints are the addresses of EndpointSlices, the ready ones, or, if none is ready, those that serve while they terminate. Ordered, without duplicates.
	Endpoints []netip.AddrPort
	// Hosts are destinations by name, where there are no Endpoints: one for a Service without EndpointSlice, several for a Backend.
	Hosts []Host
	// Sockets are the paths of Unix sockets on this machine, where a Backend names some, beside its Endpoints.
	Sockets []string
	// AppProtocol is the Service port's: "", kubernetes.io/h2c, kubernetes.io/ws, kubernetes.io/wss, https, ...
	AppProtocol string
	Service     *corev1.Service // nil for a reference without a Service object
	TLS         *BackendTLS     // nil: plaintext
	// ProxyProtocol is the version of the PROXY protocol whose header connections begin with; 0: none.
	ProxyProtocol int
	Session       *Session     // nil: none is asked for by a policy
	Budget        *RetryBudget // nil: retries are not bounded
}

// Host is a destination that is given by name.
type Host struct {
	Names []string // absolute DNS names to try in order: "cart.default", "cart"
	Port  uint16
	// Public: addresses of any network are believed, because an object names the host itself. Otherwise it is a guess, and only those of private
	// networks are.
	Public bool
}
