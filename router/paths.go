// The second level of a table: the paths under one hostname. Exact paths are a hash. Prefixes are a radix tree over path
// elements: with the prefixes
//
//	/    /api/v1/users    /api/v1/carts
//
// the root (prefix /) has one child with the label /api/v1, which stands for no prefix itself and has the children /users and /carts.
// A request for /api/v1/users/7 walks down to /users, and if none of the routes there accepts it, the link up leads to the root.
//
// Regular expressions hang in the same tree, at the elements that every path they match begins with (/item/[0-9]+ at /item),
// so that a request tries only those that it has a chance with, in the order of their precedence.

package router

import (
	"bytes"
	"cmp"
	"maps"
	"slices"
	"sort"
	"strings"
)

// paths is what is known about one hostname.
type paths struct {
	group
	given    []*route // as Join got them
	routes   []*route // by rank
	exact    map[string]*choice
	root     *pathNode // nil: only exact paths
	patterns bool      // there are regular expressions in the tree
	calls    *calls    // nil: none
}

// pathNode is one sequence of path elements.
type pathNode struct {
	label    string               // what leads here from the parent: "/api/v1"
	children map[string]*pathNode // by the first element of their labels
	sure     hit                  // the route whose PathPrefix ends here, if that is all it asks for; else nothing
	up       *pathNode            // the nearest ancestor with a prefix
	more     *pathMore            // nil for most
}

// pathMore is what few nodes have. It is apart so that a node is 64 bytes, which come to the processor together: among many routes, a lookup takes as long as
// the memory that it waits for.
type pathMore struct {
	prefix     *choice         // of routes that ask for more than their path; nil if none ends here
	patterns   []patternChoice // by rank
	upPatterns *pathNode       // the nearest ancestor with patterns
}

// extra returns what the node has beyond the usual, to be written to.
func (n *pathNode) extra() *pathMore {
	if n.more == nil {
		n.more = new(pathMore)
	}
	return n.more
}

// patternChoice is a regular expression and the routes that have it as their path.
type patternChoice struct {
	*pattern
	choice *choice
}

// stop collects what ends at one place of the tree while it is built.
type stop struct {
	path     string
	prefix   []entry
	patterns map[string]*patternStop // by text
}

// patternStop is a regular expression of a stop.
type patternStop struct {
	*pattern
	entries []entry
}

// buildPaths makes the paths of a group's routes, which are in the order that decides where their matches do not. By precedence
// routes with the same Exact path follow each other, and so do those with the same PathPrefix. Of before, the group's paths in an earlier table or
// nil, the order is used.
func buildPaths(g group, given []*route, before *paths) *paths {
	p := &paths{group: g, given: given, routes: before.reorder(given)}
	routes := p.routes
	tree := make(map[string]*stop, len(routes))
	all := make([]entry, len(routes))
	for i, r := range routes {
		all[i] = entry{hit{i, r.value}, r.tests}
	}
	for from := 0; from < len(routes); {
		to := from + 1
		for to < len(routes) && samePath(routes[from], routes[to]) {
			to++
		}
		p.add(routes[from], all[from:to:to], tree)
		from = to
	}
	if p.calls != nil {
		p.calls.settle()
	}
	if len(tree) > 0 {
		p.root = growTree(slices.Collect(maps.Values(tree)), 0, 0)
		p.root.link(nil, nil)
	}
	return p
}

// byPrecedence sorts routes; equals keep their order.
func byPrecedence(given []*route) []*route {
	type placed struct {
		*route
		at int
	}
	list := make([]placed, len(given))
	for i, r := range given {
		list[i] = placed{r, i}
	}
	slices.SortFunc(list, func(a, b placed) int { return cmp.Or(compare(a.route, b.route), cmp.Compare(a.at, b.at)) })
	routes := make([]*route, len(list))
	for i := range list {
		routes[i] = list[i].route
	}
	return routes
}

// fewNew is how many routes are put into an order one by one; with more of them all are sorted again.
const fewNew = 16

// reorder gives routes by precedence, as byPrecedence does. If p is not nil, most of them are p's, and in the order of p.given.
func (p *paths) reorder(given []*route) []*route {
	if p == nil {
		return byPrecedence(given)
	}
	gone, come := apart(p.given, given)
	if len(come) > fewNew || len(gone) > fewNew {
		return byPrecedence(given)
	}
	routes := make([]*route, 0, len(given)+len(gone))
	for _, r := range p.routes {
		if !slices.Contains(gone, r) {
			routes = append(routes, r)
		}
	}
	for _, r := range come {
		at, _ := slices.BinarySearchFunc(routes, r, func(other, r *route) int {
			if c := compare(other, r); c != 0 {
				return c
			}
			return cmp.Compare(slices.Index(given, other), slices.Index(given, r))
		})
		routes = slices.Insert(routes, at, r)
	}
	return routes
}

func samePath(a, b *route) bool { return a.kind == b.kind && a.path == b.path }

// add places the routes with the path of r.
func (p *paths) add(r *route, entries []entry, tree map[string]*stop) {
	place := r.path
	switch r.kind {
	case GRPC:
		if p.calls == nil {
			p.calls = new(calls)
		}
		p.calls.add(r, entries)
		return
	case Exact:
		if p.exact == nil {
			p.exact = make(map[string]*choice)
		}
		p.exact[r.path] = buildChoice(entries)
		return
	case RegularExpression:
		place = wholeElements(r.pattern.literal)
		p.patterns = true
	}
	s := tree[place]
	if s == nil {
		s = &stop{path: place}
		tree[place] = s
	}
	if r.kind == PathPrefix {
		s.prefix = entries
		return
	}
	at := s.patterns[r.path]
	if at == nil {
		if s.patterns == nil {
			s.patterns = make(map[string]*patternStop)
		}
		at = &patternStop{pattern: r.pattern}
		s.patterns[r.path] = at
	}
	at.entries = append(at.entries, entries...)
}

// wholeElements cuts a literal beginning of paths to the elements that are surely complete: "/item/4" to "/item".
func wholeElements(literal string) string {
	if !strings.HasPrefix(literal, "/") {
		return ""
	}
	return literal[:strings.LastIndexByte(literal, '/')]
}

// growTree makes the node of stops, whose paths share their first to bytes, of which those after from are the node's label.
func growTree(stops []*stop, from, to int) *pathNode {
	n := &pathNode{label: stops[0].path[from:to], sure: nothing()}
	if len(stops) == 1 && len(stops[0].path) == to {
		n.fill(stops[0])
		return n
	}
	places := make(map[string]int, len(stops)) // of first elements, in below
	below := make([][]*stop, 0, len(stops))
	for i, s := range stops {
		if len(s.path) == to {
			n.fill(s)
			continue
		}
		first := firstElement(s.path[to:])
		at, seen := places[first]
		if !seen {
			places[first] = len(below)
			below = append(below, stops[i:i+1:i+1]) // most are alone
			continue
		}
		below[at] = append(below[at], s)
	}
	n.children = make(map[string]*pathNode, len(below))
	for _, group := range below {
		first := firstElement(group[0].path[to:])
		n.children[first] = growTree(group, to, commonElements(group, to+1+len(first)))
	}
	return n
}

func (n *pathNode) fill(s *stop) {
	if len(s.prefix) > 0 {
		if c := buildChoice(s.prefix); c.certain {
			n.sure = c.hit
		} else {
			n.extra().prefix = c
		}
	}
	if len(s.patterns) == 0 {
		return
	}
	list := make([]patternChoice, 0, len(s.patterns))
	for _, p := range s.patterns {
		list = append(list, patternChoice{p.pattern, buildChoice(p.entries)})
	}
	n.extra().patterns = list
	slices.SortFunc(list, func(a, b patternChoice) int { return cmp.Compare(a.choice.rank, b.choice.rank) })
}

// firstElement returns the first element of a path that begins with a slash.
func firstElement(path string) string {
	element, _, _ := strings.Cut(path[1:], "/")
	return element
}

// commonElements returns how many bytes the paths share, in whole elements; they share known at least.
func commonElements(stops []*stop, known int) int {
	shared := stops[0].path
	for _, s := range stops[1:] {
		n := known
		for n < min(len(shared), len(s.path)) && shared[n] == s.path[n] {
			n++
		}
		// Cut where an element ends in both.
		for n > known && !(endsElement(shared, n) && endsElement(s.path, n)) {
			n--
		}
		shared = shared[:n]
	}
	return len(shared)
}

func endsElement(path string, n int) bool { return n == len(path) || path[n] == '/' }

func (n *pathNode) link(up, upPatterns *pathNode) {
	n.up = up
	if upPatterns != nil {
		n.extra().upPatterns = upPatterns
	}
	if n.sure.rank != none || n.more != nil && n.more.prefix != nil {
		up = n
	}
	if n.more != nil && n.more.patterns != nil {
		upPatterns = n
	}
	for _, child := range n.children {
		child.link(up, upPatterns)
	}
}

// match returns the route that answers in, or nothing.
func (p *paths) match(in *Input) hit {
	if p.calls != nil {
		if found := p.calls.match(in); found.rank != none {
			return found // a route of another type comes after it
		}
	}
	if p.exact != nil {
		if found := p.exact[string(in.Path)].find(in, none); found.rank != none {
			return found
		}
	}
	if p.root == nil {
		return nothing()
	}
	n := p.root.walk(in.Path)
	if p.patterns {
		if found := n.matchPatterns(in); found.rank != none {
			return found
		}
	}
	for ; n != nil; n = n.up {
		if n.sure.rank != none {
			return n.sure
		}
		if n.more == nil {
			continue // the node that the path leads to; those above it are linked for theirs
		}
		if found := n.more.prefix.find(in, none); found.rank != none {
			return found
		}
	}
	return nothing()
}

// walk goes down as far as path leads.
func (n *pathNode) walk(path []byte) *pathNode {
	for len(path) > 0 && path[0] == '/' {
		element := path[1:]
		if end := bytes.IndexByte(element, '/'); end >= 0 {
			element = element[:end]
		}
		child := n.children[string(element)]
		if child == nil {
			return n
		}
		size := len(child.label)
		if len(path) < size || string(path[:size]) != child.label || len(path) > size && path[size] != '/' {
			return n
		}
		n, path = child, path[size:]
	}
	return n
}

// matchPatterns tries the regular expressions of a node and its ancestors by rank. Those with one text share a choice, and two texts of the same
// length may have routes whose ranks interleave, so it goes on until what is left cannot do better.
func (n *pathNode) matchPatterns(in *Input) hit {
	best := nothing()
	for after := -1; ; {
		p := n.nextPattern(after)
		if p == nil || p.choice.rank >= best.rank {
			return best
		}
		after = p.choice.rank
		if bytes.HasPrefix(in.Path, []byte(p.literal)) && p.re.Match(in.Path) {
			best = best.or(p.choice.find(in, best.rank))
		}
	}
}

// nextPattern returns the pattern with the smallest rank above after, or nil.
func (n *pathNode) nextPattern(after int) *patternChoice {
	var next *patternChoice
	for n != nil && n.more != nil {
		list := n.more.patterns
		i := sort.Search(len(list), func(i int) bool { return list[i].choice.rank > after })
		if i < len(list) && (next == nil || list[i].choice.rank < next.choice.rank) {
			next = &list[i]
		}
		n = n.more.upPatterns
	}
	return next
}
