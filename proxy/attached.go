// One route on one listener, compiled: what snapshots that follow one another share.
//
// Of a large configuration little changes at a time, and gateway.Rebuild gives routes that did not change the very rules that they had. Where a
// listener has a route with the same rules under the same hostnames as in the snapshot before, Compile takes over all of it: compiled
// rules, filters, metric series, and the holds on backends, which are released with the last snapshot that has the route. Nothing in it refers to
// the graph or to the snapshot that it was compiled for.
//
// A backend is brought up to date by acquiring it, which taking over does not do. That is right as long as the snapshot before is the last one that was
// compiled: the same rules have the same targets, with the same endpoints. Of another one nothing is taken over.

package proxy

import (
	"maps"
	"slices"
	"strconv"
	"sync/atomic"

	"github.com/wicketgate/wicketgate/gateway"
	"github.com/wicketgate/wicketgate/object"
	"github.com/wicketgate/wicketgate/router"
)

// attached is a route on a listener. But for the count it is immutable.
type attached struct {
	sources   []*gateway.Rule
	hostnames []gateway.Hostname
	rules     []*rule // of sources
	matches   []*router.Compiled[*match]
	series    []*series
	problems  []object.Problem
	faults    map[*rule][]object.Problem // those of problems that are a rule's, wherever it is; nil for most routes
	snapshots atomic.Int32               // that have it
}

// holding is a backend that rules hold, each of them once for each listener that it is on.
type holding struct {
	upstream
	count atomic.Int32
}

func (h *holding) release() {
	if h.count.Add(-1) == 0 {
		h.Release()
	}
}

// release is for a snapshot that had the route.
func (a *attached) release(m *metrics) {
	if a.snapshots.Add(-1) > 0 {
		return
	}
	m.release(a.series)
	for _, r := range a.rules {
		for _, h := range r.held {
			h.release()
		}
	}
}

// serves says whether what was compiled is what an attachment to a listener of gw leads to.
func (a *attached) serves(to *gateway.Attachment, gw *gateway.Gateway) bool {
	if !slices.Equal(a.sources, to.Route.Rules) || !slices.Equal(a.hostnames, to.Hostnames) {
		return false
	}
	for i, source := range a.sources {
		if a.rules[i].identity != identity(source, gw) {
			return false
		}
	}
	return true
}

// takeOver finds what of the snapshot before can be used again, and the balancers of the rest.
func (c *compiler) takeOver(prev *Snapshot) {
	if prev == nil {
		return
	}
	c.before, c.kept = map[labels]*listener{}, map[*gateway.Listener][]*attached{}
	maps.Copy(c.previous, prev.balancers)
	c.previousBudgets = prev.budgets
	for _, s := range prev.sockets {
		for _, l := range s.listeners {
			c.before[l.name] = l
		}
	}
	used := map[*listener]bool{}
	if prev.generation == c.proxy.generation.Load() {
		for _, s := range c.graph.Sockets {
			for _, l := range s.Listeners {
				if before := c.before[nameOf(l)]; before != nil && c.kept[l] == nil && speaksHTTP(l) {
					c.kept[l] = c.unchanged(before, l)
					used[before] = true
				}
			}
		}
	}
	for _, l := range c.before {
		if !used[l] {
			for _, a := range l.attached {
				c.keepBalancers(a)
			}
		}
	}
	c.keepRules()
}

// keepRules lets a route that is new on one listener and was taken over on another have the same rules there: what they balance is one thing. That
// is rare, so that few of many routes are entered.
func (c *compiler) keepRules() {
	if len(c.kept) == 0 {
		return
	}
	fresh := map[*gateway.Route]bool{}
	c.eachPlace(func(a *gateway.Attachment, x *attached) {
		if x == nil {
			fresh[a.Route] = true
		}
	})
	if len(fresh) == 0 {
		return
	}
	c.eachPlace(func(a *gateway.Attachment, x *attached) {
		if x == nil || !fresh[a.Route] {
			return
		}
		for i, source := range x.sources {
			c.rules[variant{source, x.rules[i].identity}] = x.rules[i]
		}
		maps.Copy(c.faults, x.faults)
	})
}

// eachPlace gives all routes on listeners that speak HTTP, and what is taken over for them, or nil.
func (c *compiler) eachPlace(f func(a *gateway.Attachment, x *attached)) {
	for _, s := range c.graph.Sockets {
		for _, l := range s.Listeners {
			if !speaksHTTP(l) {
				continue
			}
			kept := c.kept[l]
			for i, a := range c.graph.Attached[l].Routes {
				if kept == nil {
					f(a, nil)
				} else {
					f(a, kept[i])
				}
			}
		}
	}
}

// unchanged are the routes of a listener that now are on it as before, by their places; those that are not leave their balancers. Budgets of
// retries are those of all rules with the same targets.
//
// Both lists are by precedence. Where nothing changed they have the very attachments; where routes came or went, or the listener is
// another one, what belongs together is found by the object.
func (c *compiler) unchanged(before *listener, now *gateway.Listener) []*attached {
	routes := c.graph.Attached[now].Routes
	kept, used := make([]*attached, len(routes)), make([]bool, len(before.routes))
	var places map[*object.Object]int
	next := 0
	for i, a := range routes {
		switch o := a.Route.Object; {
		case next < len(before.routes) && before.routes[next].Route.Object == o:
		case next < len(before.routes) && before.routes[next].Route.Object.Key == o.Key: // replaced
			next++
			continue
		default:
			if places == nil {
				places = make(map[*object.Object]int, len(before.routes))
				for at, b := range before.routes {
					places[b.Route.Object] = at
				}
			}
			at, found := places[o]
			if !found {
				continue
			}
			next = at
		}
		if x := before.attached[next]; x.snapshots.Load() > 0 && (before.routes[next] == a || x.serves(a, now.Gateway)) {
			kept[i], used[next] = x, true
			c.keepBudgets(x)
		}
		next++
	}
	for at, x := range before.attached {
		if !used[at] {
			c.keepBalancers(x)
		}
	}
	return kept
}

// keepBalancers lets the rules that take the place of a route's go on balancing where those are.
func (c *compiler) keepBalancers(a *attached) {
	for _, r := range a.rules {
		if r.balance != nil {
			c.previous[ruleKey{r.source.Object.Key, r.source.Index}] = r.balance
		}
	}
}

func (c *compiler) keepBudgets(a *attached) {
	if len(c.previousBudgets) == 0 {
		return
	}
	for _, r := range a.rules {
		for i := range r.shares() {
			if s := r.share(i); s.budget != nil {
				c.budgets[s.source.Target.Key] = s.budget
			}
		}
	}
}

// attachment compiles a route on a listener. Rules and matches are in the order of the YAML, which decides between equals.
func (c *compiler) attachment(a *gateway.Attachment, gw *gateway.Gateway, name labels) *attached {
	out := &attached{sources: a.Route.Rules, hostnames: a.Hostnames}
	name.route = a.Route.Object.Namespace + "/" + a.Route.Object.Name
	if k := a.Route.Kind(); k != "HTTPRoute" { // which may have the same name
		name.route = string(k) + "/" + name.route
	}
	for _, source := range a.Route.Rules {
		r := c.rule(variant{source, identity(source, gw)})
		for _, h := range r.held {
			h.count.Add(1)
		}
		out.rules = append(out.rules, r)
		if faults := c.faults[r]; len(faults) > 0 {
			out.problems = append(out.problems, faults...)
			if out.faults == nil {
				out.faults = map[*rule][]object.Problem{}
			}
			out.faults[r] = faults
		}
		name.rule = strconv.Itoa(source.Index)
		if source.Name != "" {
			name.rule = source.Name
		}
		counts := c.proxy.metrics.acquire(name)
		out.series = append(out.series, counts)
		for i := range source.Matches {
			m, prefix := c.match(&source.Matches[i])
			c.add(out, m, r.matchFor(counts, prefix))
		}
		for i := range source.GRPCMatches {
			c.add(out, grpcMatch(&source.GRPCMatches[i]), r.matchFor(counts, 0))
		}
	}
	return out
}

// add compiles a match under each hostname. One that the router refuses although the graph let it through is left out and told.
func (c *compiler) add(to *attached, m router.Match, value *match) {
	for _, h := range to.hostnames {
		one, err := c.routes.Compile(router.Route[*match]{Hostname: h.Effective, Declared: h.Declared, Match: m, Value: value})
		if err != nil {
			to.problems = append(to.problems, problemOf(value.rule.source, "matches", err.Error()))
			return
		}
		to.matches = append(to.matches, one)
	}
}
