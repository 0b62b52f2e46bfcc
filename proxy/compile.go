// From the graph to a snapshot.

package proxy

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/wicketgate/wicketgate/gateway"
	"github.com/wicketgate/wicketgate/message"
	"github.com/wicketgate/wicketgate/object"
	"github.com/wicketgate/wicketgate/proxy/backend"
	"github.com/wicketgate/wicketgate/proxy/stream"
	"github.com/wicketgate/wicketgate/router"
	"github.com/wicketgate/wicketgate/tls"
)

// Compile makes a snapshot of the graph's usable nodes. It decides nothing that a status should tell: what the graph calls unusable becomes an
// answer with 500. The snapshot holds its backends until it is swapped out and idle (Swap), or discarded (Discard).
//
// Backends and metric series are found again by key, so that connections, health and counts survive; of prev, which may be nil, Compile takes
// over how far the weighted balancing of unchanged rules has come.
func (p *Proxy) Compile(g *gateway.Graph, prev *Snapshot) *Snapshot {
	rules := 0
	for _, r := range g.Routes {
		rules += len(r.Rules)
	}
	c := &compiler{
		proxy: p, rules: make(map[variant]*rule, rules), listeners: map[*gateway.Listener]*listener{}, backends: map[string]upstream{},
		balancers: map[ruleKey]*balancer{}, budgets: map[string]*budget{}, series: make([]*series, 0, rules+1),
	}
	if prev != nil {
		c.previous, c.previousBudgets = prev.balancers, prev.budgets
		c.balancers = make(map[ruleKey]*balancer, len(prev.balancers))
	}
	s := &Snapshot{generation: p.generation.Add(1)}
	for _, source := range g.Sockets {
		if source.Protocol == gatewayv1.UDPProtocolType {
			continue // its Bind may be that of another socket, too
		}
		s.sockets = append(s.sockets, c.socket(source))
	}
	s.index()
	s.certs = tls.Compile(g.Sockets)
	unbound := c.acquire(labels{})
	s.problems, s.balancers, s.budgets = c.problems, c.balancers, c.budgets
	held, series, streams := slices.Collect(maps.Values(c.backends)), c.series, c.streams
	s.life = newLifetime(p.shards, func() {
		for _, b := range held {
			b.Release()
		}
		p.metrics.release(series)
		for _, x := range streams {
			x.Release()
		}
	})
	s.life.unbound = unbound
	return s
}

// compiler is one run of Compile.
type compiler struct {
	proxy     *Proxy
	rules     map[variant]*rule
	listeners map[*gateway.Listener]*listener
	backends  map[string]upstream // by backendKey
	series    []*series
	streams   []*stream.Series
	problems  []object.Problem
	// balancers are those of this snapshot, previous those of the one before.
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
	name := labels{gateway: source.Gateway.Object.Namespace + "/" + source.Gateway.Object.Name, listener: source.Name}
	if source.Set != nil { // the names of a Gateway's and its ListenerSets' listeners may be the same
		name.listener = source.Set.Object.Namespace + "/" + source.Set.Object.Name + "/" + source.Name
	}
	l := &listener{source: source, port: strconv.AppendInt(nil, int64(source.Port), 10), unmatched: c.acquire(name)}
	if source.Protocol == gatewayv1.HTTPSProtocolType {
		l.alternative = alternative(source.Port)
	}
	c.listeners[source] = l
	if source.Protocol != gatewayv1.HTTPProtocolType && source.Protocol != gatewayv1.HTTPSProtocolType {
		l.streams = c.streamsOf(source, name)
		l.table = c.table(nil) // a request for a host of this listener, on a connection of another one, finds nothing
		return l
	}
	routes := make([]router.Route[*match], 0, countMatches(source.Attachments))
	for _, a := range source.Attachments {
		routes = c.attachment(routes, a, source.Gateway, name)
		l.grpc = l.grpc || a.Route.Kind() == "GRPCRoute"
	}
	l.table = c.table(routes)
	return l
}

func countMatches(list []*gateway.Attachment) (n int) {
	for _, a := range list {
		for _, r := range a.Route.Rules {
			n += (len(r.Matches) + len(r.GRPCMatches)) * len(a.Hostnames)
		}
	}
	return n
}

// attachment appends a route's matches. Attachments come in the order of precedence, and rules and matches in the order of the YAML, so that
// the number of matches before one is its place among equals.
func (c *compiler) attachment(routes []router.Route[*match], a *gateway.Attachment, gw *gateway.Gateway, name labels) []router.Route[*match] {
	name.route = a.Route.Object.Namespace + "/" + a.Route.Object.Name
	if k := a.Route.Kind(); k != "HTTPRoute" { // which may have the same name
		name.route = string(k) + "/" + name.route
	}
	for _, source := range a.Route.Rules {
		r := c.rule(variant{source, identity(source, gw)})
		name.rule = strconv.Itoa(source.Index)
		if source.Name != "" {
			name.rule = source.Name
		}
		counts := c.acquire(name)
		add := func(m router.Match, prefix int) {
			value := &match{rule: r, series: counts, prefix: prefix}
			for _, h := range a.Hostnames {
				routes = append(routes, router.Route[*match]{
					Hostname: h.Effective, Declared: h.Declared, Match: m, Order: len(routes), Value: value,
				})
			}
		}
		for i := range source.Matches {
			add(c.match(&source.Matches[i]))
		}
		for i := range source.GRPCMatches {
			add(grpcMatch(&source.GRPCMatches[i]), 0)
		}
	}
	return routes
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

// table compiles routes. A match that the router refuses although the graph let it through is left out and told.
func (c *compiler) table(routes []router.Route[*match]) *router.Table[*match] {
	table, err := router.New(routes)
	if err == nil {
		return table
	}
	good := routes[:0:0]
	for i := range routes {
		if err := router.Check(&routes[i].Match); err != nil {
			c.problem(routes[i].Value.rule.source, "matches", errors.Unwrap(err).Error())
			continue
		}
		good = append(good, routes[i])
	}
	if table, err = router.New(good); err != nil {
		panic(fmt.Sprintf("router refuses what it checked: %v", err))
	}
	return table
}

// problem records something about a rule, at a field below it.
func (c *compiler) problem(source *gateway.Rule, field, text string) {
	field = fmt.Sprintf("spec.rules[%d].%s", source.Index, field)
	o := source.Route.Object
	c.problems = append(c.problems, object.Problem{
		Severity: object.Error, Position: o.At(field), Object: o.Key, Field: field, Message: text,
	})
}

func (c *compiler) rule(v variant) *rule {
	if r := c.rules[v]; r != nil {
		return r
	}
	source := v.rule
	r := &rule{source: source, grpc: source.Route.Kind() == "GRPCRoute", unusable: source.Unusable}
	c.rules[v] = r
	if r.unusable != "" {
		return r
	}
	r.filters, r.unusable = c.filters(source, source.Filters, "filters", false)
	if r.unusable != "" || r.filters.redirect != nil {
		return r
	}
	r.filters.mirrors = c.mirrors(source.Mirrors, v)
	var weights []int32
	for i, b := range source.Backends {
		if b.Weight > 0 {
			r.backends = append(r.backends, c.share(v, b, i))
			weights = append(weights, b.Weight)
		}
	}
	switch {
	case len(weights) > 1:
		r.balance = c.balancer(ruleKey{source.Route.Object.Key, source.Index}, weights)
	case len(weights) == 1: // nothing to balance
	case len(source.Backends) > 0:
		r.unusable = "all backendRefs of the rule have weight 0"
	default:
		r.unusable = "the rule has no backendRefs"
	}
	return r
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

// filters compiles a list of filters and returns why it cannot be served, if so.
func (c *compiler) filters(source *gateway.Rule, list []gatewayv1.HTTPRouteFilter, at string, onBackend bool) (filters, string) {
	out, errs := compileFilters(list, onBackend)
	unusable := ""
	for _, e := range errs {
		c.problem(source, fmt.Sprintf("%s[%d].%s", at, e.index, e.field), e.err.Error())
		unusable = e.err.Error()
	}
	return out, unusable
}

func (c *compiler) share(v variant, b *gateway.Backend, index int) *share {
	out := &share{source: b, unusable: b.Unusable}
	if out.unusable == "" && b.Target == nil {
		out.unusable = "the backendRef leads nowhere"
	}
	if out.unusable != "" {
		return out
	}
	id := presented(b.Target, v.identity)
	if id != nil && id.Unusable != "" {
		out.unusable = id.Unusable
		return out
	}
	if len(b.Filters) > 0 {
		out.filters, out.unusable = c.filters(v.rule, b.Filters, fmt.Sprintf("backendRefs[%d].filters", index), true)
	}
	if out.unusable != "" {
		return out
	}
	out.backend = c.upstream(b.Target, id, protocolOf(v.rule.Route.Kind(), b.Target))
	out.filters.mirrors = c.mirrors(b.Mirrors, v)
	out.session, out.budget = c.sessionOf(v.rule, b.Target), c.budget(b.Target)
	return out
}

// upstream holds the backend of a target, spoken to in a protocol, for the snapshot.
func (c *compiler) upstream(t *gateway.Target, id *gateway.Identity, p backend.Protocol) upstream {
	key := backendKey(t, id, p)
	b := c.backends[key]
	if b == nil {
		b = c.proxy.acquire(backendConfig(t, id, p))
		c.backends[key] = b
	}
	return b
}
