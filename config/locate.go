// From the path of a field to its position in the file.

package config

import (
	"strconv"
	"strings"

	"github.com/wicketgate/wicketgate/object"
)

// locator finds the fields of one object in the places of its document. It is immutable.
type locator struct {
	file string
	tree places
	root int // where the object begins: not 0 for the items of a List
	// moved is how many lines further down the document stands than when its places were found.
	moved int
}

// position is where the object begins.
func (l *locator) position() object.Position { return l.at(l.root) }

func (l *locator) at(i int) object.Position {
	return object.Position{File: l.file, Line: int(l.tree[i].line) + l.moved, Column: int(l.tree[i].column)}
}

// Locate walks a field's path: "spec.rules[0].matches", `metadata.labels[app.kubernetes.io/name]`. Keys may contain dots; the
// longest one that the text has is taken. It ends at the deepest place that the text has.
func (l *locator) Locate(field string) object.Position {
	at := l.root
	for rest := strings.TrimPrefix(field, "."); rest != ""; {
		next, tail := l.step(at, rest)
		if next < 0 {
			break
		}
		at, rest = next, strings.TrimPrefix(tail, ".")
	}
	return l.at(at)
}

// step takes the first element off a path. It returns -1 if the text has no such child.
func (l *locator) step(at int, path string) (next int, rest string) {
	if inner, tail, ok := bracketed(path); ok {
		if n, err := strconv.Atoi(inner); err == nil && l.tree[at].list {
			return l.tree.item(at, n), tail
		}
		return l.tree.child(at, inner), tail
	}
	best := -1
	p := l.tree[at]
	for k := p.first; k < p.first+p.count && !p.list; k++ {
		key := l.tree[k].key
		tail, ok := strings.CutPrefix(path, key)
		if ok && (tail == "" || tail[0] == '.' || tail[0] == '[') && (best < 0 || len(key) > len(l.tree[best].key)) {
			best, rest = int(k), tail
		}
	}
	return best, rest
}

// bracketed takes "[inner]" off a path.
func bracketed(path string) (inner, rest string, ok bool) {
	if !strings.HasPrefix(path, "[") {
		return "", "", false
	}
	return strings.Cut(path[1:], "]")
}
