// Rebuilding: what a Build may take over from the one before. The outcome is that of a Build of everything: a property test compares the two.
//
// Where two sets differ in routes, Services and EndpointSlices alone, which is nearly all edits, everything else is the graph before's, and so are
// all routes that the change does not concern: see edit.go. Where something else changed on which no rule depends, such as a Gateway or the
// labels of a Namespace, the rules of the routes that stayed are taken over, which are nearly all of the work of a Build with many routes, and
// what they attach to is found out anew.

package gateway

import (
	"reflect"
	"slices"

	"github.com/wicketgate/wicketgate/object"
)

// made is what later Builds may take over from a Build. It knows nothing of the graph, which would otherwise never be given back.
type made struct {
	base *builder // its indexes; nothing is written to it
	// hinted is at least the number of hints that a Build of everything asks for.
	hinted int
}

// Rebuild makes the graph of a set of objects, as Build does, with what it can take over from previous, which may be nil. The graph is the
// same, whatever previous is.
func Rebuild(previous *Graph, set *object.Set, opts Options) *Graph {
	if previous == nil || previous.made == nil || !reflect.DeepEqual(previous.made.base.opts, opts) || previous.made.hinted > maxHints {
		previous = nil
	}
	if g := edit(previous, set); g != nil {
		return g
	}
	b := newBuilder(set, opts)
	if previous != nil && set.SameWithout(previous.Objects, previous.made.base.noRuleNeeds) {
		b.before = make(map[*object.Object]*Route, len(previous.Routes))
		for _, r := range previous.Routes {
			b.before[r.Object] = r
		}
		b.hinted = previous.made.hinted
		b.backends.targets, b.backends.shared = previous.made.base.backends.targets, true
	}
	b.build()
	if b.before != nil && b.hinted > maxHints { // a Build of everything might have run out of hints elsewhere
		return Build(set, opts)
	}
	b.graph.made = b.leave()
	return b.graph
}

// leave gives what is left for later Builds, once the graph is made.
func (b *builder) leave() *made {
	base, backends := *b, *b.backends
	backends.users = nil
	base.backends, base.graph, base.set, base.before, base.hints, base.using = &backends, nil, nil, nil, nil, nil
	if base.watched == nil { // nothing of the rest was there before
		base.watch(b.graph)
	}
	return &made{base: &base, hinted: b.hinted}
}

// watch finds out what an edit has to know about what it leaves as it is.
func (b *builder) watch(g *Graph) {
	b.watched = map[object.Key]bool{}
	for _, p := range g.Policies {
		for _, target := range p.targets() {
			b.watched[target] = true
		}
	}
	for _, x := range g.Experimental {
		for _, target := range x.targets {
			b.watched[target] = true
		}
	}
	b.securesBackends = len(g.Policies)+len(b.backends.externals) > 0
	for _, f := range b.filters {
		f.memo = nil
	}
}

func isRouteKind(k object.GroupKind) bool {
	return k.Group == gatewayGroup && slices.Contains(routeKinds(), k.Kind)
}

// noRuleNeeds says whether nothing in a rule depends on objects of a kind. Secrets and their like matter to rules only by what demands TLS of backends.
func (b *builder) noRuleNeeds(k object.GroupKind) bool {
	switch k {
	case gatewayKind("Gateway"), gatewayKind("GatewayClass"), gatewayKind("ListenerSet"), coreKind("Namespace"):
		return true
	case coreKind("Secret"), coreKind("ConfigMap"), trustBundleKind():
		return !b.securesBackends
	}
	return isRouteKind(k)
}

// rules fills Route.Rules and Route.made, and reports what is wrong with them.
func (b *builder) rules(r *Route) {
	if was := b.before[r.Object]; was != nil {
		r.Rules, r.made = was.Rules, was.made
		b.graph.Problems = append(b.graph.Problems, r.made.told...)
		return
	}
	problems := len(b.graph.Problems)
	b.using = nil
	r.made = b.newRules(r)
	r.made.uses = b.using
	r.made.message = r.made.resolved()
	b.reportFaults(r.Object, r.made.refs)
	b.reportFaults(r.Object, r.made.dropped)
	r.made.told = slices.Clone(b.graph.Problems[problems:])
}
