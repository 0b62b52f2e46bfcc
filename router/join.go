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
// previous, which may be nil; the outcome is the same whatever previous is.
func Join[T any](previous *Table[T], list []*Compiled[T]) *Table[T] {
	before := make(map[group]*paths)
	if previous != nil {
		for _, p := range previous.groups {
			before[p.group] = p
		}
	}
	lists := make(map[group][]*route, len(before))
	for _, c := range list {
		g := groupOf(c.route)
		of := lists[g]
		if of == nil && before[g] != nil {
			of = make([]*route, 0, len(before[g].given)+1)
		}
		lists[g] = append(of, c.route)
	}
	t := &Table[T]{size: len(list), groups: make([]*paths, 0, len(lists))}
	for g, routes := range lists {
		p := before[g]
		if p == nil || !slices.Equal(p.given, routes) {
			p = buildPaths(g, routes)
		}
		t.groups = append(t.groups, p)
	}
	slices.SortFunc(t.groups, func(a, b *paths) int {
		x, y := a.routes[0], b.routes[0]
		return cmp.Or(compareHostnames(x.hostname, y.hostname), cmp.Compare(x.hostname, y.hostname), compareHostnames(x.declared, y.declared))
	})
	t.hosts = buildHosts(t.groups)
	return t
}
