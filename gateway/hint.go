// Hints: what the author of a reference to something that is not defined may have meant.

package gateway

import (
	"github.com/wicketgate/wicketgate/object"
)

// maxHints bounds how often is searched in a directory where very much is missing.
const maxHints = 256

// hints finds objects by parts of their key. It is made for a kind when the first of them is missing.
type hints struct {
	byName      map[string]*object.Object   // the first by namespace
	byNamespace map[string][]*object.Object // ordered by name
}

func indexHints(all []*object.Object) *hints {
	index := &hints{byName: map[string]*object.Object{}, byNamespace: map[string][]*object.Object{}}
	for _, o := range all {
		if index.byName[o.Name] == nil && o.Meta.Annotations[PlaceholderAnnotation] == "" { // what was made up is nothing to refer to
			index.byName[o.Name] = o
		}
		index.byNamespace[o.Namespace] = append(index.byNamespace[o.Namespace], o)
	}
	return index
}

// hint names an object of the same kind that a missing one may be mistaken for: nearly the same name in the same namespace, or the same name in
// another one. It is empty, or begins with a separator.
func (b *builder) hint(missing object.Key) string {
	if b.hinted++; b.hinted > maxHints {
		return ""
	}
	index := b.hints[missing.GroupKind]
	if index == nil {
		index = indexHints(b.set.Kind(missing.GroupKind))
		b.hints[missing.GroupKind] = index
	}
	best := 1 // how many edits still make a typing error
	if len(missing.Name) >= 8 {
		best = 2
	}
	var similar *object.Object
	for _, o := range index.byNamespace[missing.Namespace] {
		if n := distance(o.Name, missing.Name, best); n < best || n == best && similar == nil {
			similar, best = o, n
		}
	}
	if similar != nil {
		return `; did you mean "` + similar.Name + `"?`
	}
	if elsewhere := index.byName[missing.Name]; elsewhere != nil {
		return "; " + elsewhere.Key.String() + " is: is that the namespace you mean?"
	}
	return ""
}

// distance is the Levenshtein distance of two names, or more than limit if it exceeds limit.
func distance(a, b string, limit int) int {
	if d := len(a) - len(b); d > limit || -d > limit {
		return limit + 1
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		least := row[0]
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(diagonal+cost, row[j+1]+1, row[j]+1)
			least = min(least, row[j+1])
		}
		if least > limit {
			return limit + 1
		}
	}
	return row[len(b)]
}
