// The third level of a table: the routes that share a path, told apart by method, header fields and query parameters.
//
// A few of them are a list in the order of their ranks, tried one after the other. Where there are many, one predicate that splits them well becomes
// a hash: a thousand routes that want one value each of the header x-tenant are found by looking up the request's
// x-tenant once. Routes without an exact predicate on that name form the rest, which is split again in its turn, and so are the
// routes behind one value. A request looks at the routes behind its value and at the rest, and the smaller rank wins.

package router

import (
	"math"
	"slices"
)

// none is the rank of no route: above all others.
const none = math.MaxInt

// hit is a route that was found: what a lookup returns of it, so that the route itself is not read.
type hit struct {
	rank  int
	value any
}

func nothing() hit { return hit{rank: none} }

// or is the one that wins.
func (h hit) or(other hit) hit {
	if other.rank < h.rank {
		return other
	}
	return h
}

// kind is which part of a request a predicate reads.
type kind uint8

const (
	ofMethod kind = iota
	ofHeader
	ofQuery
)

func (k kind) String() string {
	return [...]string{"method", "header", "query parameter"}[k]
}

// dimension is what a predicate reads: the method, a header field or a query parameter.
type dimension struct {
	kind kind
	name string
}

// test is a predicate: what a dimension must be equal to or, with a pattern, match.
type test struct {
	dimension
	value   string
	pattern *pattern
}

// value returns what the request has for d. It is valid until the next call with the same Input.
func (in *Input) value(d dimension) (value []byte, ok bool) {
	switch d.kind {
	case ofMethod:
		return in.Method, true
	case ofHeader:
		if in.Header == nil {
			return nil, false
		}
		if in.scratch == nil {
			in.scratch = make([]byte, 0, 512)
		}
		return in.Header.Combined(d.name, in.scratch[:0])
	default:
		value, in.scratch, ok = queryParameter(in.Query, d.name, in.scratch)
		return value, ok
	}
}

func (t *test) matches(in *Input) bool {
	value, ok := in.value(t.dimension)
	if !ok {
		return false
	}
	if t.pattern != nil {
		return t.pattern.re.Match(value)
	}
	return string(value) == t.value
}

// entry is a route with those of its tests that are still to be made.
type entry struct {
	hit
	tests []test
}

// choice is a set of routes with the same path: a list, or a hash. Most are one route that asks for nothing else: they are certain, and nothing
// more of them is read.
type choice struct {
	hit          // the smallest rank
	certain bool // it accepts every request; then there is neither list nor split
	list    []entry
	split   *split // nil: a list
}

// split tells routes apart by what the request has for one dimension; the rest does not ask for exact values of it.
type split struct {
	by      dimension
	byValue map[string]*choice
	rest    *choice
}

// worthwhile is how many routes a hash must save the lookup of: it costs about as much as a few tests.
const worthwhile = 4

// buildChoice makes a choice of entries, which are sorted by rank; nil if there are none.
func buildChoice(entries []entry) *choice {
	if len(entries) == 0 {
		return nil
	}
	if len(entries[0].tests) == 0 {
		return &choice{hit: entries[0].hit, certain: true}
	}
	c := &choice{hit: entries[0].hit}
	by, ok := dimension{}, false
	if len(entries) > worthwhile {
		by, ok = bestDimension(entries)
	}
	if !ok {
		c.list = entries
		return c
	}
	c.split = &split{by: by, byValue: make(map[string]*choice)}
	groups := make(map[string][]entry)
	var rest []entry
	for _, e := range entries {
		i := e.exactTest(by)
		if i < 0 {
			rest = append(rest, e)
			continue
		}
		value := e.tests[i].value
		e.tests = slices.Delete(slices.Clone(e.tests), i, i+1)
		groups[value] = append(groups[value], e)
	}
	for value, group := range groups {
		c.split.byValue[value] = buildChoice(group)
	}
	c.split.rest = buildChoice(rest)
	return c
}

func (e *entry) exactTest(d dimension) int {
	return slices.IndexFunc(e.tests, func(t test) bool { return t.pattern == nil && t.dimension == d })
}

// bestDimension returns the dimension whose hash leaves the fewest routes to look at for the least lucky value, if that is
// worth a hash.
func bestDimension(entries []entry) (best dimension, ok bool) {
	type point struct {
		dimension
		value string
	}
	total := make(map[dimension]int)
	same := make(map[point]int)
	most := make(map[dimension]int) // the largest number of routes behind one value
	var seen []dimension            // in a stable order
	for _, e := range entries {
		for _, t := range e.tests {
			if t.pattern != nil {
				continue
			}
			if total[t.dimension] == 0 {
				seen = append(seen, t.dimension)
			}
			total[t.dimension]++
			p := point{t.dimension, t.value}
			same[p]++
			most[t.dimension] = max(most[t.dimension], same[p])
		}
	}
	saved := worthwhile - 1
	for _, d := range seen {
		if n := total[d] - most[d]; n > saved {
			best, saved, ok = d, n, true
		}
	}
	return best, ok
}

// find returns the route with the smallest rank that accepts in, if it is below bound, and nothing otherwise.
func (c *choice) find(in *Input, bound int) hit {
	found := nothing()
	for c != nil && c.rank < bound {
		if c.certain {
			return c.hit // whose rank is below bound, and bound at most found's
		}
		s := c.split
		if s == nil {
			return found.or(findInList(c.list, in, bound))
		}
		if value, ok := in.value(s.by); ok {
			if h := s.byValue[string(value)].find(in, bound); h.rank != none {
				found, bound = h, h.rank
			}
		}
		c = s.rest
	}
	return found
}

func findInList(list []entry, in *Input, bound int) hit {
	for i := range list {
		e := &list[i]
		if e.rank >= bound {
			break
		}
		if e.accepts(in) {
			return e.hit
		}
	}
	return nothing()
}

func (e *entry) accepts(in *Input) bool {
	for i := range e.tests {
		if !e.tests[i].matches(in) {
			return false
		}
	}
	return true
}
