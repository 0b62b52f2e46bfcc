// Statuses: the graph and what was bound, as the status of each object.

package gateway

import (
	"iter"
	"maps"
	"net/netip"
	"slices"
	"time"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/wicketgate/wicketgate/object"
)

// Bound is what became of the sockets of a graph.
type Bound struct {
	// Failed has the Binding of every socket that could not be opened; one that is not in it is bound.
	Failed map[Binding]error
	// Interfaces are the addresses of the machine that are reported for a Gateway on all interfaces. If there are none, the unspecified
	// address itself is reported.
	Interfaces []netip.Addr
	// Reports are the conditions of objects that other parts of the program work on.
	Reports []Report
}

// Report is what becomes of an object that Build gives no meaning, such as a Certificate.
type Report struct {
	Object     *object.Object
	Conditions []Condition
	// Fields are the rest of its status, as a JSON tree. It is not changed.
	Fields map[string]any
}

// StatusSet holds the status of every object that has one of ours. It is immutable.
type StatusSet struct {
	objects  *object.Set
	routes   []*Route  // of the graph
	ofRoutes []*status // of each
	others   map[object.Key]*status

	controllers map[gatewayv1.GatewayController]bool
}

// status is the status of one object.
type status struct {
	tree       map[string]any
	generation int64
	// since says, for each condition by its place and type, since when it has its status.
	since map[conditionKey]transition
}

// of is the status of an object, or nil.
func (s *StatusSet) of(k object.Key) *status {
	if s == nil {
		return nil
	}
	if of := s.others[k]; of != nil || len(s.routes) == 0 || !isRouteKind(k.GroupKind) {
		return of
	}
	o := s.objects.Get(k)
	if o == nil {
		return nil
	}
	at, found := slices.BinarySearchFunc(s.routes, &Route{Object: o}, byPrecedence)
	if !found {
		return nil
	}
	return s.ofRoutes[at]
}

// Get gives the status of an object as a JSON tree, or nil if the object has none that is ours to write; then what its file says stands.
// The tree is shared: do not write to it.
func (s *StatusSet) Get(k object.Key) map[string]any {
	if of := s.of(k); of != nil {
		return of.tree
	}
	return nil
}

// Generation is the metadata.generation that an object's status speaks of, or 0.
func (s *StatusSet) Generation(k object.Key) int64 {
	if of := s.of(k); of != nil {
		return of.generation
	}
	return 0
}

// All yields every object that has a status, in the order of the keys, and the status as Get gives it.
func (s *StatusSet) All() iter.Seq2[object.Key, map[string]any] {
	type entry struct {
		key object.Key
		of  *status
	}
	return func(yield func(object.Key, map[string]any) bool) {
		if s == nil {
			return
		}
		all := make([]entry, 0, len(s.routes)+len(s.others))
		for i, r := range s.routes {
			all = append(all, entry{r.Object.Key, s.ofRoutes[i]})
		}
		for k, of := range s.others {
			all = append(all, entry{k, of})
		}
		slices.SortFunc(all, func(a, b entry) int { return a.key.Compare(b.key) })
		for _, e := range all {
			if !yield(e.key, e.of.tree) {
				return
			}
		}
	}
}

// Statuses projects a graph. Of previous, which may be nil, it takes since when conditions have their status, and the trees of routes for which
// nothing changed. Entries of other
// controllers and conditions of types that are not ours are carried over from the objects' files.
func Statuses(g *Graph, bound Bound, previous *StatusSet, now time.Time) *StatusSet {
	p := &projection{graph: g, bound: bound, previous: previous, now: now, set: &StatusSet{objects: g.Objects, others: map[object.Key]*status{}}}
	p.controllers = ourControllers(g)
	p.set.controllers = p.controllers
	for _, c := range g.Classes {
		if c.Object != nil && c.Served {
			p.class(c)
		}
	}
	for _, gw := range g.Gateways {
		p.gateway(gw)
	}
	for _, s := range g.ListenerSets {
		p.listenerSet(s)
	}
	p.routes()
	for _, policy := range g.Policies {
		p.policy(policy)
	}
	for _, x := range g.Experimental {
		p.ancestors(p.writer(x.Object), x.Ancestors)
	}
	for _, e := range g.Backends {
		p.plain(e.Object, e.Conditions)
	}
	for _, m := range g.Meshes {
		p.plain(m.Object, m.Conditions)
	}
	for _, r := range bound.Reports {
		p.report(r)
	}
	return p.set
}

// report writes the status of an object that others work on. Nothing of what its file says is kept: it is some cluster's.
func (p *projection) report(r Report) {
	w := p.writer(r.Object)
	tree := maps.Clone(r.Fields)
	if tree == nil {
		tree = map[string]any{}
	}
	tree["conditions"] = w.conditions("", r.Conditions, nil)
	p.add(w, tree)
}

// projection is one run of Statuses.
type projection struct {
	graph       *Graph
	bound       Bound
	previous    *StatusSet
	now         time.Time
	set         *StatusSet
	controllers map[gatewayv1.GatewayController]bool
}

// ourControllers are the names that we go by: a status entry under one of them is ours.
func ourControllers(g *Graph) map[gatewayv1.GatewayController]bool {
	ours := map[gatewayv1.GatewayController]bool{}
	for _, c := range g.Classes {
		if c.Served {
			ours[c.ControllerName] = true
		}
	}
	return ours
}

// add puts an object's status into the set.
func (p *projection) add(w *writer, tree map[string]any) {
	p.set.others[w.object.Key] = w.status(tree)
}

func (w *writer) status(tree map[string]any) *status {
	return &status{tree: tree, generation: w.object.Meta.Generation, since: w.since}
}

// class writes the status of a GatewayClass.
func (p *projection) class(c *Class) {
	w := p.writer(c.Object)
	var features []any
	for _, f := range supportedFeatures() {
		features = append(features, map[string]any{"name": string(f)})
	}
	p.add(w, map[string]any{
		"conditions":        w.conditions("", c.Conditions, foreignConditions(fileStatus(c.Object))),
		"supportedFeatures": features,
	})
}

// fileStatus is the status that an object's file has, or nil.
func fileStatus(o *object.Object) map[string]any {
	s, _ := o.Content["status"].(map[string]any)
	return s
}
