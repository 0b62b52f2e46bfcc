// Edits: the graph of a set that differs from the one before in a few routes, Services or EndpointSlices.
//
// Gateways, listeners and sockets depend on none of them, so the graph before and this one share those. Routes refer to them and to
// nothing that refers to a graph, so they are shared as well, but for those that the change concerns: the routes that changed, and
// those that use a Service that changed. With
//
//	Gateway public, HTTPRoutes a (Service x), b (y), c (x and y)
//
// an edit of an EndpointSlice of y takes b and c out of the lists of the graph and of public's listeners, makes them anew, and puts them in
// at their places; a stays the Route that it was, by which later stages know that there is nothing to do about it.
//
// What is shared refers to no graph, so an earlier one is given back once nobody has it.

package gateway

import (
	"maps"
	"slices"

	"github.com/wicketgate/wicketgate/object"
)

func sliceKind() object.GroupKind { return kind(discoveryGroup, "EndpointSlice") }

// editable says whether an edit may be one of objects of a kind.
func editable(k object.GroupKind) bool {
	return k == coreKind("Service") || k == sliceKind() || isRouteKind(k)
}

// change is what an edit is about.
type change struct {
	gone []*Route // by precedence, also those that come again
	come []*Route // by precedence
	// services are those of which something changed: themselves, their EndpointSlices, or what they might be mistaken for.
	services map[object.Key]bool
	silenced map[object.Key]bool // objects whose problems are told anew: among others, all routes that are gone
	alone    bool                // a route with listeners to itself is concerned: what becomes of it depends on others of its kind
}

// edit makes the graph of a set from the one before, or returns nil if there is none or that takes a Build.
func edit(previous *Graph, set *object.Set) *Graph {
	if previous == nil || !set.SameWithout(previous.Objects, editable) {
		return nil
	}
	b := previous.made.begin(previous, set)
	c := &change{services: map[object.Key]bool{}, silenced: map[object.Key]bool{}}
	if !b.changedServices(c, previous.Objects) {
		return nil
	}
	c.routes(previous, set)
	for _, r := range c.come {
		b.buildRoute(r)
	}
	if touched := b.replace(previous, c); b.hinted > maxHints || b.needsOtherNames(maps.Keys(touched)) {
		return nil
	}
	b.concludeEdit(c)
	b.tellEdit(previous, c)
	b.graph.made = b.leave()
	return b.graph
}

// begin gives a builder of a graph that has all but routes from the one before.
func (m *made) begin(previous *Graph, set *object.Set) *builder {
	b, backends, g := *m.base, *m.base.backends, *previous
	backends.shared = true
	g.Objects, g.Routes, g.Problems, g.Attached, g.made = set, nil, nil, map[*Listener]Attached{}, nil
	b.set, b.backends, b.graph, b.hinted, b.hints = set, &backends, &g, m.hinted, map[object.GroupKind]*hints{}
	return &b
}

// changedServices finds the Services of which something changed, and forgets what references to them led to. It is false if policies may have to be
// judged anew: they look at Services.
func (b *builder) changedServices(c *change, before *object.Set) bool {
	gone, come := before.Changes(b.set, coreKind("Service"))
	if len(gone)+len(come) > 0 {
		if len(b.graph.Policies)+len(b.traffic) > 0 {
			return false
		}
		for key, found := range b.backends.targets {
			if found.hinted {
				c.services[key.Key] = true
			}
		}
	}
	for _, o := range slices.Concat(gone, come) {
		c.services[o.Key] = true
	}
	gone, come = before.Changes(b.set, sliceKind())
	for _, o := range slices.Concat(gone, come) {
		c.silenced[o.Key] = true
		c.services[serviceOf(o)] = true
	}
	if len(c.services) == 0 {
		return true
	}
	b.backends.targets, b.backends.shared = maps.Clone(b.backends.targets), false
	maps.DeleteFunc(b.backends.targets, func(key targetKey, _ *resolution) bool { return c.services[key.Key] })
	b.backends.slices = maps.Clone(b.backends.slices)
	for service := range c.services {
		delete(b.backends.slices, name{service.Namespace, service.Name})
	}
	b.indexSlices(b.backends, func(o *object.Object) bool {
		again := c.services[serviceOf(o)]
		if again {
			c.silenced[o.Key] = true
		}
		return again
	})
	return true
}

// routes finds the routes that are to be made, and those that they replace.
func (c *change) routes(previous *Graph, set *object.Set) {
	for _, k := range routeKinds() {
		gone, come := previous.Objects.Changes(set, gatewayKind(k))
		for _, o := range come {
			c.make(newRoute(o))
		}
		for _, o := range gone {
			if at, found := slices.BinarySearchFunc(previous.Routes, &Route{Object: o}, byPrecedence); found {
				c.drop(previous.Routes[at])
			}
		}
	}
	if len(c.services) > 0 {
		c.again(previous, func(r *Route) bool {
			return slices.ContainsFunc(r.made.uses, func(k object.Key) bool { return c.services[k] })
		})
	}
	if c.alone {
		c.again(previous, (*Route).sharesNothing)
	}
	slices.SortFunc(c.gone, byPrecedence)
	slices.SortFunc(c.come, byPrecedence)
}

// make notes a route to be made; nil: the object is none.
func (c *change) make(r *Route) {
	if r != nil {
		c.come = append(c.come, r)
		c.alone = c.alone || r.sharesNothing()
	}
}

// drop notes a route that goes.
func (c *change) drop(r *Route) {
	c.gone = append(c.gone, r)
	c.silenced[r.Object.Key] = true
	c.alone = c.alone || r.sharesNothing()
}

// again notes routes to be made anew of the objects that they were made of.
func (c *change) again(previous *Graph, which func(*Route) bool) {
	for _, r := range previous.Routes {
		if which(r) && !c.silenced[r.Object.Key] {
			c.make(newRoute(r.Object))
			c.drop(r)
		}
	}
}

// replace puts the routes that were made in the places of those that are gone, and returns the listeners that had or have any of them.
func (b *builder) replace(previous *Graph, c *change) (touched map[*Listener]Attached) {
	g, fresh := b.graph, b.graph.Attached
	g.Routes = object.Splice(previous.Routes, c.gone, c.come, byPrecedence)
	touched = map[*Listener]Attached{}
	for l := range fresh {
		touched[l] = Attached{}
	}
	for _, r := range c.gone {
		for a, accepted := range r.attachments() {
			at := touched[a.Listener]
			if at.Routes = append(at.Routes, a); accepted {
				at.Accepted++
			}
			touched[a.Listener] = at
		}
	}
	g.Attached = maps.Clone(previous.Attached)
	order := func(x, y *Attachment) int { return byPrecedence(x.Route, y.Route) }
	for l, lost := range touched {
		was, won := previous.Attached[l], fresh[l]
		now := Attached{Routes: object.Splice(was.Routes, lost.Routes, won.Routes, order), Accepted: was.Accepted - lost.Accepted + won.Accepted}
		if g.Attached[l] = now; len(now.Routes) == 0 {
			delete(g.Attached, l)
		}
	}
	return touched
}

// attachments are those of all parentRefs, one for each listener, and whether the route is accepted there.
func (r *Route) attachments() map[*Attachment]bool {
	all := map[*Attachment]bool{}
	for _, p := range r.Parents {
		for _, a := range p.Attachments {
			all[a] = all[a] || p.Accepted
		}
	}
	return all
}

// concludeEdit finds anew which Gateways the policies and XBackends concern that one of the routes leads to.
func (b *builder) concludeEdit(c *change) {
	if !slices.ContainsFunc(slices.Concat(c.gone, c.come), func(r *Route) bool {
		return slices.ContainsFunc(r.made.uses, func(k object.Key) bool { return b.watched[k] })
	}) {
		return
	}
	g := b.graph
	g.Policies, g.Experimental = slices.Clone(g.Policies), slices.Clone(g.Experimental)
	for i, p := range g.Policies {
		again := *p
		again.Ancestors = nil
		g.Policies[i] = &again
	}
	b.concludePolicies()
	for i, x := range g.Experimental {
		if x.targets != nil {
			again := *x
			g.Experimental[i] = &again
			b.meet(&again)
		}
	}
}

// tellEdit takes over the problems of what did not change.
func (b *builder) tellEdit(previous *Graph, c *change) {
	before, now, told := previous.unattached(), b.graph.unattached(), b.graph.Problems
	if slices.Equal(before, now) {
		before, now = nil, nil
	}
	stays := func(p object.Problem) bool { return !c.silenced[p.Object] && !slices.Contains(before, p) }
	if told = append(told, now...); len(told) == 0 && !slices.ContainsFunc(previous.Problems, func(p object.Problem) bool { return !stays(p) }) {
		b.graph.Problems = previous.Problems
		return
	}
	for _, p := range previous.Problems {
		if stays(p) {
			told = append(told, p)
		}
	}
	b.graph.Problems = told
	b.sortProblems()
}
