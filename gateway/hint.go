// Hints: what the author of a reference to something that is not defined may have meant.

package gateway

import (
	"github.com/wicketgate/wicketgate/object"
)

// maxHints bounds the search in a directory where very much is missing.
const maxHints = 256

// hint names an object of the same kind that a missing one may be mistaken for: the same name in another namespace, or nearly the same name in
// the same one. It is empty, or begins with a separator. It looks at all objects of the kind, and so gives up after maxHints.
func (b *builder) hint(missing object.Key) string {
	if b.hints++; b.hints > maxHints {
		return ""
	}
	var elsewhere, similar *object.Object
	best := 1 // how many edits still make a typing error
	if len(missing.Name) >= 8 {
		best = 2
	}
	for _, o := range b.set.Kind(missing.GroupKind) {
		switch {
		case o.Name == missing.Name && elsewhere == nil:
			elsewhere = o
		case o.Namespace == missing.Namespace:
			if n := distance(o.Name, missing.Name, best); n < best || n == best && similar == nil {
				similar, best = o, n
			}
		}
	}
	switch {
	case similar != nil:
		return `; did you mean "` + similar.Name + `"?`
	case elsewhere != nil:
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
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(diagonal+cost, row[j+1]+1, row[j]+1)
		}
	}
	return row[len(b)]
}
