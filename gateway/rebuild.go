// Rebuilding: what a Build may take over from the one before.
//
// Nearly all edits are edits of routes, and nearly all of the work of a Build with many routes is in their rules: matches, filters, references.
// So where two sets of objects differ in routes alone, the rules of the routes that stayed are taken over. Attachments are always made
// anew, because they join the routes to this graph's listeners. Nothing in what is taken over refers to the earlier graph, which would
// otherwise never be given back. The outcome is that of a Build of everything: a property test compares the two.

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
	routes  map[*object.Object]*madeRules
	targets map[targetKey]*resolution
	// hinted is at least the number of hints that a Build of everything asks for.
	hinted int
}

// madeRules are the rules of a route, as newRules made them. They know nothing of the graph.
type madeRules struct {
	rules    []*Rule
	set      *ruleSet
	problems []object.Problem
	users    []object.Key // the backends that the route refers to
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
	b.backends.use(r, b.using)
	set.message = set.resolved()
	b.reportFaults(r.Object, set.refs)
	b.reportFaults(r.Object, set.dropped)
	if b.hinted != hinted { // it depends on how many hints others asked for
		return set
	}
	b.made[r.Object] = &madeRules{rules: r.Rules, set: set, problems: slices.Clone(b.graph.Problems[problems:]), users: b.using}
	return set
}

// takeOver gives a route the rules that it had.
func (b *builder) takeOver(r *Route, m *madeRules) *ruleSet {
	r.Rules = m.rules
	b.backends.use(r, m.users)
	b.graph.Problems = append(b.graph.Problems, m.problems...)
	b.made[r.Object] = m
	return m.set
}
