// From the graph to a snapshot.

package proxy

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/wicketgate/wicketgate/gateway"
	"github.com/wicketgate/wicketgate/message"
	"github.com/wicketgate/wicketgate/object"
	"github.com/wicketgate/wicketgate/proxy/backend"
	"github.com/wicketgate/wicketgate/proxy/datagram"
	"github.com/wicketgate/wicketgate/proxy/stream"
	"github.com/wicketgate/wicketgate/router"
	"github.com/wicketgate/wicketgate/tls"
)

// Compile makes a snapshot of the graph's usable nodes. It decides nothing that a status should tell: what the graph calls unusable becomes an
// answer with 500. The snapshot holds its backends until it is swapped out and idle (Swap), or discarded (Discard).
//
// Backends and metric series are found again by key, so that connections, health and counts survive. Of prev, which may be nil, Compile takes over
// the routes that did not change (attached.go), and how far the weighted balancing of the others has come; it makes no other difference.
func (p *Proxy) Compile(g *gateway.Graph, prev *Snapshot) *Snapshot {
	c := &compiler{
		proxy: p, graph: g, rules: map[variant]*rule{}, faults: map[*rule][]object.Problem{},
		listeners: map[*gateway.Listener]*listener{}, backends: map[string]*holding{},
		balancers: map[ruleKey]*balancer{}, previous: map[ruleKey]*balancer{}, budgets: map[string]*budget{},
	}
	c.takeOver(prev)
	s := &Snapshot{generation: p.generation.Add(1)}
	var packets []*gateway.Socket
	for _, source := range g.Sockets {
		if source.Protocol == gatewayv1.UDPProtocolType {
			packets = append(packets, source) // its Bind may be that of another socket, too
			continue
		}
		s.sockets = append(s.sockets, c.socket(source))
	}
	s.index()
	c.packetSockets(packets, s)
	s.certs = tls.Compile(g.Sockets)
	unbound := c.acquire(labels{})
	s.problems, s.balancers, s.budgets = unique(c.problems), c.balancers, c.budgets
	s.life = newLifetime(p.shards, c.release())
	s.life.unbound = unbound
	return s
}

// release is what gives back all that the snapshot holds.
func (c *compiler) release() func() {
	p, attached, held, series, streams, datagrams := c.proxy, c.attached, c.held, c.series, c.streams, c.datagrams
	return func() {
		for _, a := range attached {
			a.release(p.metrics)
		}
		for _, h := range held {
			h.release()
		}
		p.metrics.release(series)
		for _, x := range streams {
			x.Release()
		}
		for _, x := range datagrams {
			x.Release()
		}
	}
}

// unique leaves of equal problems the first: a rule may be on several listeners.
func unique(list []object.Problem) []object.Problem {
	seen := make(map[object.Problem]bool, len(list))
	return slices.DeleteFunc(list, func(p object.Problem) bool {
		again := seen[p]
		seen[p] = true
		return again
	})
}

// compiler is one run of Compile.
type compiler struct {
	proxy     *Proxy
	graph     *gateway.Graph
	rules     map[variant]*rule
	listeners map[*gateway.Listener]*listener
	routes    router.Compiler[*match]
	backends  map[string]*holding // by backendKey
	// What the snapshot will hold: routes on listeners, and, besides, backends of streams and datagrams, series of listeners, and those of streams and
	// datagrams.
	attached  []*attached
	held      []*holding
	series    []*series
	streams   []*stream.Series
	datagrams []*datagram.Series
	problems  []object.Problem
	faults    map[*rule][]object.Problem // of rules
	// before are the listeners of the snapshot before, and kept what is taken over of them.
	before map[labels]*listener
	kept   map[*gateway.Listener][]*attached // parallel to its routes; nil: to be compiled
	// balancers are those that were made, or gone on with, in this run; previous are those that can be.
	balancers, previous map[ruleKey]*balancer
	// budgets, too, by the Key of their target.
	budgets, previousBudgets map[string]*budget
}

// variant is a rule as one Gateway serves it: with another identity towards backends it leads to other connections. Most rules have one
// variant, with none.
type variant struct {
	rule     *gateway.Rule
	identity *gateway.Identity
}

// ruleKey names a rule across snapshots.
type ruleKey struct {
	route object.Key
	index int
}

func (c *compiler) acquire(l labels) *series {
	s := c.proxy.metrics.acquire(l)
	c.series = append(c.series, s)
	return s
}

// index orders the sockets of one address so that those confined to a local address are asked first.
func (s *Snapshot) index() {
	for i, source := range s.sockets {
		if s.byBind == nil {
			s.byBind = map[netip.AddrPort][]int32{}
		}
		bind := source.source.Bind
		s.byBind[bind] = append(s.byBind[bind], int32(i))
	}
	for _, list := range s.byBind {
		slices.SortStableFunc(list, func(a, b int32) int {
			confined := func(i int32) int {
				if s.sockets[i].source.Local.IsValid() {
					return 0
				}
				return 1
			}
			return confined(a) - confined(b)
		})
	}
}

func (c *compiler) socket(source *gateway.Socket) *socket {
	out := &socket{source: source, opening: openingOf(source), hosts: newHostIndex()}
	for _, l := range source.Listeners {
		if !l.Usable {
			continue
		}
		if out.clients == nil {
			out.clients = l.Clients
		}
		out.hosts.add(l.Hostname, int32(len(out.listeners)))
		compiled := c.listener(l)
		out.listeners = append(out.listeners, compiled)
		out.grpc = out.grpc || compiled.grpc
	}
	return out
}

func (c *compiler) listener(source *gateway.Listener) *listener {
	if l := c.listeners[source]; l != nil {
		return l
	}
	name := nameOf(source)
	l := &listener{name: name, source: source, port: strconv.AppendInt(nil, int64(source.Port), 10), unmatched: c.acquire(name)}
	if source.Protocol == gatewayv1.HTTPSProtocolType && source.TLSOptions.Speaks("h3") {
		l.alternative = alternative(source.Port)
	}
	c.listeners[source] = l
	var table *router.Table[*match]
	if before := c.before[name]; before != nil {
		table = before.table
	}
	if !speaksHTTP(source) {
		l.streams = c.streamsOf(source, name)
		l.table = router.Join[*match](nil, nil) // a request for a host of this listener, on a connection of another one, finds nothing
		return l
	}
	l.routes, l.attached = c.graph.Attached[source].Routes, c.kept[source]
	if l.attached == nil {
		l.attached = make([]*attached, len(l.routes))
	}
	c.attached = slices.Grow(c.attached, len(l.routes))
	matches := make([]*router.Compiled[*match], 0, len(l.routes))
	for i, a := range l.routes {
		x := l.attached[i]
		if x == nil {
			x = c.attachment(a, source.Gateway, name)
			l.attached[i] = x
		}
		x.snapshots.Add(1)
		c.attached = append(c.attached, x)
		c.problems = append(c.problems, x.problems...)
		matches = append(matches, x.matches...)
		l.grpc = l.grpc || a.Route.Kind() == "GRPCRoute"
	}
	l.table = router.Join(table, matches)
	return l
}

func speaksHTTP(l *gateway.Listener) bool {
	return l.Protocol == gatewayv1.HTTPProtocolType || l.Protocol == gatewayv1.HTTPSProtocolType
}

// nameOf is a listener in the labels of series, and across snapshots.
func nameOf(l *gateway.Listener) labels {
	name := labels{gateway: l.Gateway.Object.Namespace + "/" + l.Gateway.Object.Name, listener: l.Name}
	if l.Set != nil { // the names of a Gateway's and its ListenerSets' listeners may be the same
		name.listener = l.Set.Object.Namespace + "/" + l.Set.Object.Name + "/" + l.Name
	}
	return name
}

// match translates a match and returns the length of its path prefix. Paths are brought into the form that requests' paths have; one that
// cannot be (the schema admits none) is kept as it is and matches nothing.
func (c *compiler) match(m *gatewayv1.HTTPRouteMatch) (out router.Match, prefix int) {
	if m.Path != nil {
		out.Path = value(m.Path.Value)
		switch value(m.Path.Type) {
		case gatewayv1.PathMatchExact:
			out.PathType = router.Exact
		case gatewayv1.PathMatchRegularExpression:
			out.PathType = router.RegularExpression
		}
	}
	if out.Path == "" {
		out.Path = "/"
	}
	if out.PathType != router.RegularExpression {
		if path, err := message.NormalizePath([]byte(out.Path), !c.proxy.opt.KeepSlashes); err == nil {
			out.Path = string(path)
		}
	}
	if out.PathType == router.PathPrefix {
		prefix = len(trimSlash(out.Path))
	}
	out.Method = string(value(m.Method))
	for _, h := range m.Headers {
		out.Headers = append(out.Headers, router.Predicate{
			Name: string(h.Name), Value: h.Value, Regex: value(h.Type) == gatewayv1.HeaderMatchRegularExpression,
		})
	}
	for _, q := range m.QueryParams {
		out.Query = append(out.Query, router.Predicate{
			Name: string(q.Name), Value: q.Value, Regex: value(q.Type) == gatewayv1.QueryParamMatchRegularExpression,
		})
	}
	return out, prefix
}

// value is what a pointer of the API points to, or the zero value.
func value[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

func trimSlash(path string) string {
	for len(path) > 0 && path[len(path)-1] == '/' {
		path = path[:len(path)-1]
	}
	return path
}

// problemOf is something about a rule, at a field below it.
func problemOf(source *gateway.Rule, field, text string) object.Problem {
	field = fmt.Sprintf("spec.rules[%d].%s", source.Index, field)
	o := source.Object
	return object.Problem{Severity: object.Error, Position: o.At(field), Object: o.Key, Field: field, Message: text}
}

func (c *compiler) rule(v variant) *rule {
	if r := c.rules[v]; r != nil {
		return r
	}
	source := v.rule
	r := &rule{source: source, identity: v.identity, unusable: source.Unusable, filters: c.proxy.noFilters}
	if source.Timeouts != (gateway.Timeouts{}) || source.Retry != nil {
		r.patient = source
	}
	c.rules[v] = r
	if r.unusable != "" {
		return r
	}
	var f filters
	f, r.unusable = c.compileFilters(r, source.Filters, "filters", false)
	if r.unusable == "" {
		f.auth, r.unusable = c.compileAuth(source.Auth, r)
	}
	if r.unusable == "" && f.redirect == nil {
		f.mirrors = c.mirrors(source.Mirrors, r)
	}
	r.filters = c.sharing(f)
	if r.unusable != "" || f.redirect != nil {
		return r
	}
	c.distribute(r)
	return r
}

// distribute compiles a rule's backendRefs and how requests are spread over them.
func (c *compiler) distribute(r *rule) {
	source := r.source
	var weights []int32
	for i, b := range source.Backends {
		if b.Weight > 0 {
			if s := c.share(r, b, i); len(weights) == 0 {
				r.first = s
			} else {
				r.others = append(r.others, s)
			}
			weights = append(weights, b.Weight)
		}
	}
	switch {
	case len(weights) > 1:
		r.balance = c.balancer(ruleKey{source.Object.Key, source.Index}, weights)
	case len(weights) == 1: // nothing to balance
	case len(source.Backends) > 0:
		r.unusable = "all backendRefs of the rule have weight 0"
	default:
		r.unusable = "the rule has no backendRefs"
	}
}

// sharing returns filters, those of all that have none in one place.
func (c *compiler) sharing(f filters) *filters {
	if f.none() {
		return c.proxy.noFilters
	}
	return &f
}

// balancer goes on with the previous snapshot's if the weights are the same.
func (c *compiler) balancer(key ruleKey, weights []int32) *balancer {
	b := c.balancers[key]
	if b == nil {
		b = c.previous[key]
	}
	if b == nil || !slices.Equal(b.weights, weights) {
		b = newBalancer(weights)
	}
	c.balancers[key] = b
	return b
}

// grpc says whether the rule is a GRPCRoute's.
func (r *rule) grpc() bool { return r.source.Object.Kind == "GRPCRoute" }

// matchFor is a match of the rule whose requests a series counts.
func (r *rule) matchFor(counts *series, prefix int) *match {
	m := &r.own
	if m.rule != nil { // it is taken
		m = new(match)
	}
	*m = match{rule: r, series: counts, prefix: int32(prefix), grpc: r.grpc()}
	return m
}

// compileFilters compiles a list of filters of a rule and returns why it cannot be served, if so.
func (c *compiler) compileFilters(r *rule, list []gatewayv1.HTTPRouteFilter, at string, onBackend bool) (filters, string) {
	out, errs := compileFilters(list, onBackend)
	unusable := ""
	for _, e := range errs {
		c.faults[r] = append(c.faults[r], problemOf(r.source, fmt.Sprintf("%s[%d].%s", at, e.index, e.field), e.err.Error()))
		unusable = e.err.Error()
	}
	return out, unusable
}

func (c *compiler) share(r *rule, b *gateway.Backend, index int) share {
	out := share{source: b, unusable: b.Unusable, filters: c.proxy.noFilters}
	if out.unusable == "" && b.Target == nil {
		out.unusable = "the backendRef leads nowhere"
	}
	if out.unusable != "" {
		return out
	}
	id := presented(b.Target, r.identity)
	if id != nil && id.Unusable != "" {
		out.unusable = id.Unusable
		return out
	}
	var f filters
	if len(b.Filters) > 0 {
		f, out.unusable = c.compileFilters(r, b.Filters, fmt.Sprintf("backendRefs[%d].filters", index), true)
	}
	if out.unusable != "" {
		return out
	}
	if f.auth, out.unusable = c.compileAuth(b.Auth, r); out.unusable != "" {
		return out
	}
	h := c.holding(b.Target, id, protocolOf(gatewayv1.Kind(r.source.Object.Kind), b.Target))
	out.backend, r.held = h.upstream, append(r.held, h)
	f.mirrors = c.mirrors(b.Mirrors, r)
	out.filters = c.sharing(f)
	out.session, out.budget = c.sessionOf(r.source, b.Target), c.budget(b.Target)
	return out
}

// holding is the backend of a target, spoken to in a protocol. Whoever keeps it counts itself in.
func (c *compiler) holding(t *gateway.Target, id *gateway.Identity, p backend.Protocol) *holding {
	key := backendKey(t, id, p)
	h := c.backends[key]
	if h == nil {
		h = &holding{upstream: c.proxy.acquire(backendConfig(t, id, p))}
		c.backends[key] = h
	}
	return h
}
