// Build and its stages. The builder lives as long as one Build; nothing of it but the graph survives.

package gateway

import (
	"cmp"
	"net/netip"
	"slices"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/wicketgate/wicketgate/object"
)

// Options are the parts of the meaning of objects that flags decide.
type Options struct {
	// ControllerName narrows what is served to GatewayClasses with this controllerName; "" serves any.
	ControllerName string
	// Strict refuses what would otherwise be let pass with a message, such as a GatewayClass's foreign parametersRef.
	Strict bool
	// DNSBackends lets a Service without EndpointSlices, or a reference without a Service, be found by its DNS name.
	DNSBackends bool
	// PortMap says which port to bind for a listener's port, where it is not the same. It changes nothing else.
	PortMap map[int32]uint16
	// AddressPool, if valid, gives every Gateway that asks for no address one of its own.
	AddressPool netip.Prefix
	// MergeAcrossNamespaces lets a Gateway serve a hostname inside the wildcard of an earlier Gateway of another namespace on
	// the same address and port.
	MergeAcrossNamespaces bool
	// HTTP3 says that HTTPS listeners are also served over UDP: where that is impossible there is a warning.
	HTTP3 bool
	// ConfinedLoopback lets objects from confined directories name this machine's own services as backends: addresses of its loopback
	// interface, and Unix sockets.
	ConfinedLoopback bool
	// Managed, if set, has the certificates of listeners that end TLS and have no usable reference to one. Such a listener is served, and
	// Listener.Managed says for which hostnames certificates are wanted.
	Managed *ManagedCertificates
	// ExternalName lets Services of type ExternalName be backends, against the advice of the Gateway API.
	ExternalName bool
	// UnixDir is the directory below which the Unix sockets of Backends must be, an absolute path; "" allows none.
	UnixDir string

	// unfinished serves what has no data plane yet, so that its semantics can be tested.
	unfinished bool
}

// Build makes the graph of a set of objects. It never fails: what cannot be served has conditions and problems that say so.
// The result depends on nothing but the arguments, and not on the order of the objects in files.
func Build(set *object.Set, opts Options) *Graph { return Rebuild(nil, set, opts) }

// newBuilder makes the indexes.
func newBuilder(set *object.Set, opts Options) *builder {
	b := &builder{
		opts:        opts,
		set:         set,
		graph:       &Graph{Objects: set, Attached: map[*Listener]Attached{}},
		parentGroup: new(gatewayv1.Group(gatewayGroup)), parentKind: new(gatewayv1.Kind("Gateway")),
		grants:   indexGrants(set),
		labels:   indexNamespaces(set),
		classes:  map[string]*Class{},
		gateways: map[name]*Gateway{},
		sets:     map[name]*ListenerSet{},
		certs:    map[object.Key]certificateResult{},
		clients:  map[clientConfig]*clientDemand{},
		filters:  map[*Listener]*namespaceFilter{},
		hints:    map[object.GroupKind]*hints{},
	}
	b.backends = b.indexBackends(set)
	return b
}

// build makes the parts of the graph in the order of their dependence.
func (b *builder) build() {
	b.buildClasses()
	b.buildGateways()
	b.buildListenerSets()
	b.settleListeners()
	b.buildSockets()
	b.buildPolicies()
	b.buildExternals()
	b.readTrafficPolicies()
	b.buildRoutes()
	b.manageCertificates()
	b.buildExperimental()
	b.concludePolicies()
	b.concludeListenerSets()
	b.concludeGateways()
	b.graph.Problems = append(b.graph.Problems, b.graph.unattached()...)
	b.reportUnusedPorts()
	b.reportHTTP3()
	b.sortProblems()
}

// sortProblems puts the problems in order. What several listeners share is wrong once.
func (b *builder) sortProblems() {
	slices.SortStableFunc(b.graph.Problems, compareProblems)
	b.graph.Problems = slices.Compact(b.graph.Problems)
}

// builder holds the indexes and the half-made graph of one Build.
type builder struct {
	opts  Options
	set   *object.Set
	graph *Graph
	// What parentRefs default to; all those of a graph that do not say share these.
	parentGroup *gatewayv1.Group
	parentKind  *gatewayv1.Kind
	grants      grants
	labels      namespaceLabels
	backends    *backendIndex
	classes     map[string]*Class
	gateways    map[name]*Gateway
	sets        map[name]*ListenerSet
	certs       map[object.Key]certificateResult
	clients     map[clientConfig]*clientDemand
	filters     map[*Listener]*namespaceFilter
	hints       map[object.GroupKind]*hints
	traffic     []*traffic
	hinted      int                       // how many hints were asked for
	before      map[*object.Object]*Route // those whose rules may be taken over
	using       []object.Key              // the backends that the route whose rules are being made refers to
	// What later Builds want to know: the backends that policies and XBackends look at the users of, and whether anything demands TLS of any.
	watched         map[object.Key]bool
	securesBackends bool
}

// typed gives the objects of a kind whose value has the type T; config guarantees it for every object it admits.
func typed[T any](set *object.Set, k object.GroupKind) []typedObject[T] {
	var all []typedObject[T]
	for _, o := range set.Kind(k) {
		if v, ok := o.Value.(T); ok {
			all = append(all, typedObject[T]{o, v})
		}
	}
	return all
}

type typedObject[T any] struct {
	object *object.Object
	value  T
}

// buildGateways makes the Gateways of served classes, by precedence, with their own listeners and their addresses.
func (b *builder) buildGateways() {
	all := typed[*gatewayv1.Gateway](b.set, gatewayKind("Gateway"))
	slices.SortFunc(all, func(x, y typedObject[*gatewayv1.Gateway]) int { return older(x.object, y.object) })
	for _, o := range all {
		class := b.class(string(o.value.Spec.GatewayClassName))
		if !class.Served {
			b.warn(o.object, "spec.gatewayClassName", "GatewayClass "+class.Name+" belongs to "+string(class.ControllerName)+
				": the Gateway is left to it")
			continue
		}
		gw := b.newGateway(o.object, o.value, class)
		b.graph.Gateways = append(b.graph.Gateways, gw)
		b.gateways[name{o.object.Namespace, o.object.Name}] = gw
	}
	b.assignAddresses()
}

// compareProblems orders problems by position, so that output reads from the top of each file to its end.
func compareProblems(a, b object.Problem) int {
	return cmp.Or(
		cmp.Compare(a.Position.File, b.Position.File),
		cmp.Compare(a.Position.Line, b.Position.Line),
		cmp.Compare(a.Position.Column, b.Position.Column),
		a.Object.Compare(b.Object),
		cmp.Compare(a.Field, b.Field),
		cmp.Compare(a.Message, b.Message),
	)
}
