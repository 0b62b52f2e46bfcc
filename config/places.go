// Where in the text each value of a document stands.
//
// The nodes of the YAML parser are large and hold the text twice, so they are reduced at once to places: 32 bytes a value, which live
// as long as the objects of the document. The children of a place lie side by side:
//
//	a: {b: 1, c: [x]}      0 root   children 1..1
//	                       1 a      children 2..3
//	                       2 b
//	                       3 c      children 4..4
//	                       4 [0]
//
// An alias shares the children of its anchor. The same pass refuses what would make the expansion of the document dangerous or
// ambiguous: aliases that multiply, depth, a key given twice.

package config

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"unique"

	"go.yaml.in/yaml/v3"

	"github.com/wicketgate/wicketgate/object"
)

// place is where a value stands: at its key in a mapping, else at its first character.
type place struct {
	key    string // in its mapping; empty for the items of a sequence
	line   uint32 // from 1, in the file
	column uint16 // from 1, in characters; saturated
	list   bool   // its children are the items of a sequence
	first  int32  // index of the first child
	count  int32
}

// places are the places of one document; 0 is the root.
type places []place

// textError is a defect of a document's text.
type textError struct {
	line, column int // 0: unknown
	message      string
}

func (e *textError) Error() string {
	return object.Position{Line: e.line, Column: e.column}.String() + ": " + e.message
}

// weight is what a value amounts to when its aliases are expanded.
type weight struct {
	values, bytes int64
	depth         int
}

// placer builds places.
type placer struct {
	lim     limits
	text    []byte
	lines   [][]byte // text, once a line of it is needed
	line    int      // lines before the document
	places  places
	done    map[*yaml.Node]anchored // finished anchors
	open    map[*yaml.Node]bool     // anchors that are being read
	aliased weight                  // what all aliases so far add
}

type anchored struct {
	kids   place // list, first and count of the anchor's value
	weight weight
}

// newPlaces reduces the nodes of a document.
func newPlaces(root *yaml.Node, c chunk, lim limits) (places, error) {
	if root.Kind == yaml.DocumentNode && len(root.Content) == 1 {
		root = root.Content[0]
	}
	p := &placer{lim: lim, text: c.text, line: c.line, done: map[*yaml.Node]anchored{}, open: map[*yaml.Node]bool{}}
	p.places = append(p.places, p.at(root))
	if _, err := p.fill(0, root, 1); err != nil {
		return nil, err
	}
	return p.places, nil
}

// at is the place of a node, without key and children.
func (p *placer) at(n *yaml.Node) place {
	return place{line: uint32(p.line + n.Line), column: uint16(min(n.Column, math.MaxUint16))}
}

// fail makes an error about a node.
func (p *placer) fail(n *yaml.Node, format string, args ...any) error {
	return &textError{line: p.line + n.Line, column: n.Column, message: fmt.Sprintf(format, args...)}
}

// fill gives the place i, which stands for the value n at this depth, its children.
func (p *placer) fill(i int, n *yaml.Node, depth int) (weight, error) {
	if depth > p.lim.depth {
		return weight{}, p.fail(n, "more than %d levels of values in values", p.lim.depth)
	}
	if n.Kind == yaml.AliasNode {
		return p.alias(i, n, depth)
	}
	if n.Anchor != "" {
		p.open[n] = true
	}
	w := weight{values: 1, bytes: int64(len(n.Value)), depth: 1}
	var err error
	switch n.Kind {
	case yaml.MappingNode:
		err = p.mapping(i, n, depth, &w)
	case yaml.SequenceNode:
		err = p.sequence(i, n, depth, &w)
	case yaml.ScalarNode:
		if strings.HasPrefix(strings.TrimLeft(n.Value, "+-"), ".") && n.ShortTag() == "!!float" && len(n.Value) <= len("-.inf") && strings.ContainsAny(n.Value, "nN") {
			err = p.fail(n, "not a number: infinity and NaN have no meaning here; put it in quotes if it is a text")
		}
	}
	if err != nil {
		return weight{}, err
	}
	if n.Anchor != "" {
		delete(p.open, n)
		p.done[n] = anchored{kids: p.places[i], weight: w}
	}
	return w, nil
}

// alias shares the children of the anchor.
func (p *placer) alias(i int, n *yaml.Node, depth int) (weight, error) {
	a, ok := p.done[n.Alias]
	if !ok || p.open[n.Alias] {
		return weight{}, p.fail(n, "the anchor &%s contains itself", n.Value)
	}
	if depth+a.weight.depth > p.lim.depth+1 {
		return weight{}, p.fail(n, "more than %d levels of values in values", p.lim.depth)
	}
	p.aliased.values += a.weight.values
	p.aliased.bytes += a.weight.bytes
	if p.aliased.values > p.lim.aliasValues || p.aliased.bytes > p.lim.aliasBytes {
		return weight{}, p.fail(n, "the aliases of this document expand to more than %d values or %d MiB", p.lim.aliasValues, p.lim.aliasBytes>>20)
	}
	to := &p.places[i]
	to.list, to.first, to.count = a.kids.list, a.kids.first, a.kids.count
	return a.weight, nil
}

// sequence fills in the items of a sequence.
func (p *placer) sequence(i int, n *yaml.Node, depth int, w *weight) error {
	first := len(p.places)
	for _, item := range n.Content {
		p.places = append(p.places, p.at(item))
	}
	p.places[i].list, p.places[i].first, p.places[i].count = true, int32(first), int32(len(n.Content))
	for k, item := range n.Content {
		if err := p.child(first+k, item, depth, w); err != nil {
			return err
		}
	}
	return nil
}

// mapping fills in the values of a mapping.
func (p *placer) mapping(i int, n *yaml.Node, depth int, w *weight) error {
	entries, hidden, err := p.entries(n, depth, w)
	if err != nil {
		return err
	}
	first := len(p.places)
	for _, e := range entries {
		p.places = append(p.places, e.place)
	}
	p.places[i].first, p.places[i].count = int32(first), int32(len(entries))
	for k, e := range entries {
		if e.value == nil {
			continue
		}
		if err := p.child(first+k, e.value, depth, w); err != nil {
			return err
		}
	}
	for _, n := range hidden {
		p.places = append(p.places, p.at(n))
		if err := p.child(len(p.places)-1, n, depth, w); err != nil {
			return err
		}
	}
	return nil
}

// entry is a key of a mapping.
type entry struct {
	place place
	value *yaml.Node // nil for merged keys, which have their children already
}

// entries lists the keys of a mapping. A merge key (<<) adds the keys of the mappings that it names; whatever comes later in the text
// wins, as in the parser that reads the values. Values that a merge key behind them overrides are hidden, and read all the same.
func (p *placer) entries(n *yaml.Node, depth int, w *weight) (entries []entry, hidden []*yaml.Node, err error) {
	entries = make([]entry, 0, len(n.Content)/2)
	index := make(map[string]int, len(n.Content)/2)
	put := func(e entry) {
		at, ok := index[e.place.key]
		if !ok {
			index[e.place.key] = len(entries)
			entries = append(entries, e)
			return
		}
		if entries[at].value != nil {
			hidden = append(hidden, entries[at].value)
		}
		entries[at] = e
	}
	for k := 0; k+1 < len(n.Content); k += 2 {
		keyNode, value := n.Content[k], n.Content[k+1]
		if keyNode.Kind == yaml.ScalarNode && keyNode.ShortTag() == "!!merge" {
			merged, err := p.merged(value, depth, w)
			if err != nil {
				return nil, nil, err
			}
			for _, m := range merged {
				put(entry{place: m})
			}
			continue
		}
		key, err := p.key(keyNode)
		if err != nil {
			return nil, nil, err
		}
		if at, ok := index[key]; ok && entries[at].value != nil {
			return nil, nil, p.fail(keyNode, "key %q is given twice: first on line %d", key, entries[at].place.line)
		}
		e := entry{place: p.at(keyNode), value: value}
		e.place.key = unique.Make(key).Value()
		w.bytes += int64(len(key))
		put(e)
	}
	return entries, hidden, nil
}

// child fills one child and adds its weight to its parent's.
func (p *placer) child(i int, n *yaml.Node, depth int, w *weight) error {
	c, err := p.fill(i, n, depth+1)
	if err != nil {
		return err
	}
	w.values = min(w.values+c.values, math.MaxInt32)
	w.bytes = min(w.bytes+c.bytes, math.MaxInt32)
	w.depth = max(w.depth, c.depth+1)
	return nil
}

// merged returns the entries that the value of a merge key stands for, the winning one of a key last.
func (p *placer) merged(n *yaml.Node, depth int, w *weight) ([]place, error) {
	sources := []*yaml.Node{n}
	if n.Kind == yaml.SequenceNode {
		sources = n.Content
	}
	var all []place
	for _, s := range slices.Backward(sources) { // the first of several wins
		target := s
		if s.Kind == yaml.AliasNode {
			target = s.Alias
		}
		if target.Kind != yaml.MappingNode {
			return nil, p.fail(s, "a merge key (<<) takes a mapping, or a list of mappings")
		}
		i := len(p.places)
		p.places = append(p.places, p.at(s))
		if err := p.child(i, s, depth, w); err != nil {
			return nil, err
		}
		from := p.places[i]
		all = append(all, p.places[from.first:from.first+from.count]...)
	}
	return all, nil
}

// child returns the index of a mapping's child with that key, or -1.
func (t places) child(i int, key string) int {
	for k := t[i].first; k < t[i].first+t[i].count; k++ {
		if !t[i].list && t[k].key == key {
			return int(k)
		}
	}
	return -1
}

// item returns the index of a sequence's n-th item, or -1.
func (t places) item(i, n int) int {
	if !t[i].list || n < 0 || n >= int(t[i].count) {
		return -1
	}
	return int(t[i].first) + n
}
