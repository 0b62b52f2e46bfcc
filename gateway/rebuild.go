// Rebuilding: what a Build may take over from the one before.
//
// Nearly all edits are edits of routes, and nearly all of the work of a Build with many routes is in their rules: matches, filters, references.
// So where two sets of objects differ in routes alone, the rules of the routes that stayed are taken over, and what was found out about their
// parentRefs. Attachments are made anew all the same, because they join the routes to this graph's listeners. Nothing in what is taken over
// refers to the earlier graph, which would otherwise never be given back. The outcome is that of a Build of everything: a property test
// compares the two.

package gateway

import (
	"maps"
	"reflect"
	"slices"

	"github.com/wicketgate/wicketgate/object"
)

// made is what later Builds may take over from a Build.
type made struct {
	opts    Options
	routes  map[*object.Object]*madeRoute
	targets map[targetKey]*resolution
	// hinted is at least the number of hints that a Build of everything asks for.
	hinted int
}

// madeRoute is what was made of a route. It knows nothing of the graph.
type madeRoute struct {
	rules    []*Rule
	set      *ruleSet
	problems []object.Problem // of the rules
	uses     []object.Key
	// parents are what became of the parentRefs, and parentProblems what was told of them; nil if that depends on other routes or on
	// how many hints others asked for.
	parents        []madeParent
	parentProblems []object.Problem
}

// madeParent is a Parent. Its Gateway and its ListenerSet are names, and its listeners indices.
type madeParent struct {
	Parent
	gateway, set name // set: the zero name if it names the Gateway itself
	attached     []madeAttachment
}

type madeAttachment struct {
	listener  int // of what the parentRef names
	hostnames []Hostname
}

// Rebuild makes the graph of a set of objects, as Build does, with what it can take over from previous, which may be nil. The graph is the
// same, whatever previous is.
func Rebuild(previous *Graph, set *object.Set, opts Options) *Graph {
	b := newBuilder(set, opts)
	if previous != nil && previous.made != nil && reflect.DeepEqual(previous.made.opts, opts) && previous.made.hinted <= maxHints &&
		set.SameWithout(previous.Objects, isRouteKind) {
		b.before = previous.made
		b.hinted = b.before.hinted
		b.backends.targets = maps.Clone(b.before.targets)
	}
	b.build()
	if b.before != nil && b.hinted > maxHints { // a Build of everything might have run out of hints elsewhere
		return Build(set, opts)
	}
	b.graph.made = &made{opts: opts, routes: b.made, targets: b.backends.targets, hinted: b.hinted}
	return b.graph
}

func isRouteKind(k object.GroupKind) bool {
	return k.Group == gatewayGroup && slices.Contains(routeKinds(), k.Kind)
}

// rules fills Route.Rules, and reports what is wrong with them.
func (b *builder) rules(r *Route) *ruleSet {
	if b.before != nil {
		if m := b.before.routes[r.Object]; m != nil {
			return b.takeOver(r, m)
		}
	}
	hinted, problems := b.hinted, len(b.graph.Problems)
	b.using = nil
	set := b.newRules(r)
	r.uses = b.using
	set.message = set.resolved()
	b.reportFaults(r.Object, set.refs)
	b.reportFaults(r.Object, set.dropped)
	if b.hinted != hinted { // it depends on how many hints others asked for
		return set
	}
	b.made[r.Object] = &madeRoute{rules: r.Rules, set: set, problems: slices.Clone(b.graph.Problems[problems:]), uses: r.uses}
	return set
}

// takeOver gives a route the rules that it had.
func (b *builder) takeOver(r *Route, m *madeRoute) *ruleSet {
	r.Rules, r.uses = m.rules, m.uses
	b.graph.Problems = append(b.graph.Problems, m.problems...)
	b.made[r.Object] = m
	return m.set
}

// parents fills Route.Parents, and reports what is wrong with the parentRefs.
func (b *builder) parents(r *Route, rules *ruleSet) {
	m := b.made[r.Object]
	if m != nil && m.parents != nil {
		b.takeOverParents(r, m)
		return
	}
	hinted, problems := b.hinted, len(b.graph.Problems)
	b.newParents(r, rules)
	if m == nil || b.hinted != hinted || r.sharesNothing() {
		return
	}
	kept := *m // an earlier graph may have the other one
	kept.parents = make([]madeParent, len(r.Parents))
	for i, p := range r.Parents {
		kept.parents[i] = p.keep()
	}
	kept.parentProblems = slices.Clone(b.graph.Problems[problems:])
	b.made[r.Object] = &kept
}

func (p *Parent) keep() madeParent {
	kept := madeParent{Parent: *p, gateway: name{p.Gateway.Object.Namespace, p.Gateway.Object.Name}}
	kept.Gateway, kept.Set, kept.Attachments = nil, nil, nil
	if p.Set != nil {
		kept.set = name{p.Set.Object.Namespace, p.Set.Object.Name}
	}
	for _, a := range p.Attachments {
		kept.attached = append(kept.attached, madeAttachment{slices.Index(p.listeners(), a.Listener), a.Hostnames})
	}
	return kept
}

// takeOverParents attaches a route to the listeners that it was attached to.
func (b *builder) takeOverParents(r *Route, m *madeRoute) {
	parents := make([]Parent, len(m.parents))
	r.Parents = make([]*Parent, 0, len(m.parents))
	for i := range m.parents {
		was, p := &m.parents[i], &parents[i]
		*p = was.Parent
		p.Gateway = b.gateways[was.gateway]
		if was.set != (name{}) {
			p.Set = b.sets[was.set]
		}
		r.Parents = append(r.Parents, p)
		for _, at := range was.attached {
			b.attachTo(r, p, p.listeners()[at.listener], at.hostnames)
		}
		if p.Accepted {
			p.count()
		}
	}
	b.graph.Problems = append(b.graph.Problems, m.parentProblems...)
}
