// Tables that follow one another: what a table may share with the one before.
//
// Of a large configuration little changes at a time. So routes are compiled one by one (Compile), once, and Join makes a table of a list of them:
// it deals the routes to their hostnames, and where a hostname has the very routes, in the same order, that it had in the table before, it takes
// over everything below that hostname. With
//
//	shop.example.com: A B    blog.example.com: C    *.example.com: D
//
// an edit of C compiles C', makes the paths of blog.example.com anew, hangs them into a new tree of hosts with the old paths of the two
// others, and is done. Ranks count within one hostname, so they do not move when another one gets a route more.

package router

import (
	"cmp"
	"slices"
	"strings"
)

// Compiler compiles routes. Those that one Compiler compiles share their regular expressions. The zero value is ready; it belongs to one goroutine.
type Compiler[T any] struct{ expressions expressions }

// Compiled is a route that can be put into any number of tables. It is immutable.
type Compiled[T any] struct{ *route }

// Compile compiles a route, or says what is wrong with it.
func (c *Compiler[T]) Compile(r Route[T]) (*Compiled[T], error) {
	one, err := c.expressions.route(r.Hostname, r.Declared, &r.Match)
	one.order, one.value = r.Order, r.Value
	return &Compiled[T]{one}, err
}

// group tells apart the routes that are compared with each other: those of one hostname whose Declared are equally specific.
type group struct {
	hostname     string
	rank, length int // of Declared
}

func groupOf(r *route) group {
	return group{r.hostname, hostnameRank(r.declared), len(r.declared)}
}

// Join makes a table of routes: of those that their matches do not put in an order the earlier in the list wins. What it can it shares with
// previous, which may be nil; the outcome is the same whatever previous is. It keeps the list.
func Join[T any](previous *Table[T], list []*Compiled[T]) *Table[T] {
	t := &Table[T]{list: list}
	if previous == nil || !t.follow(previous) {
		t.deal(previous)
	}
	t.hosts = buildHosts(t.groups)
	return t
}

// deal deals all routes to their hostnames.
func (t *Table[T]) deal(previous *Table[T]) {
	before := make(map[group]*paths)
	if previous != nil {
		for _, p := range previous.groups {
			before[p.group] = p
		}
	}
	lists := make(map[group][]*route, len(before))
	for _, c := range t.list {
		g := groupOf(c.route)
		of := lists[g]
		if of == nil && before[g] != nil {
			of = make([]*route, 0, len(before[g].given)+1)
		}
		lists[g] = append(of, c.route)
	}
	t.groups = make([]*paths, 0, len(lists))
	for g, routes := range lists {
		p := before[g]
		if p == nil || !slices.Equal(p.given, routes) {
			p = buildPaths(g, routes, p)
		}
		t.groups = append(t.groups, p)
	}
	slices.SortFunc(t.groups, func(a, b *paths) int { return compareGroups(a.group, b.group) })
}

// fewRoutes is how many routes may have come or gone so that it is worthwhile to look at their hostnames alone.
const fewRoutes = 64

// follow makes the groups from those of the table before, if few routes came and went, and those at one place of the list: an edit of one route.
func (t *Table[T]) follow(previous *Table[T]) bool {
	gone, come := apart(previous.list, t.list)
	if len(gone)+len(come) > fewRoutes {
		return false
	}
	changed := make(map[group][]*route)
	for _, c := range slices.Concat(gone, come) {
		changed[groupOf(c.route)] = nil
	}
	t.groups = previous.groups
	if len(changed) == 0 {
		return true
	}
	for _, c := range t.list {
		g := groupOf(c.route)
		if routes, ok := changed[g]; ok {
			changed[g] = append(routes, c.route)
		}
	}
	t.groups = slices.Clone(t.groups)
	for g, routes := range changed {
		at, found := slices.BinarySearchFunc(t.groups, g, func(p *paths, g group) int { return compareGroups(p.group, g) })
		switch {
		case found && len(routes) == 0:
			t.groups = slices.Delete(t.groups, at, at+1)
		case found:
			t.groups[at] = buildPaths(g, routes, t.groups[at])
		case len(routes) > 0:
			t.groups = slices.Insert(t.groups, at, buildPaths(g, routes, nil))
		}
	}
	return true
}

// apart gives what is left of two lists without what they begin and end with alike.
func apart[E comparable](before, after []E) (gone, come []E) {
	n := min(len(before), len(after))
	head := 0
	for head < n && before[head] == after[head] {
		head++
	}
	tail := 0
	for tail < n-head && before[len(before)-1-tail] == after[len(after)-1-tail] {
		tail++
	}
	return before[head : len(before)-tail], after[head : len(after)-tail]
}

// compareGroups orders groups by precedence, completely.
func compareGroups(a, b group) int {
	return cmp.Or(compareHostnames(a.hostname, b.hostname), strings.Compare(a.hostname, b.hostname), cmp.Compare(a.rank, b.rank), cmp.Compare(b.length, a.length))
}
