// Package object holds admitted Kubernetes objects: what config produces and every later stage reads.
//
// It is a leaf: it imports nothing else of this project. An Object and everything reachable from it is immutable once it
// is in a Set; stages share the pointers freely and compare them to see what changed between two Sets.
package object

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// GroupKind names a kind without a version: "gateway.networking.k8s.io", "HTTPRoute". The core group is "".
type GroupKind struct{ Group, Kind string }

// Key identifies one object. Namespace is empty for cluster-scoped kinds.
type Key struct {
	GroupKind
	Namespace, Name string
}

// String is how messages name an object: "HTTPRoute default/shop", "GatewayClass public".
func (k Key) String() string {
	if k.Name == "" {
		return k.Kind // an object without a name, in a message about that
	}
	if k.Namespace == "" {
		return k.Kind + " " + k.Name
	}
	return k.Kind + " " + k.Namespace + "/" + k.Name
}

// Compare orders keys by group, kind, namespace and name.
func (k Key) Compare(o Key) int {
	for _, p := range [4][2]string{{k.Group, o.Group}, {k.Kind, o.Kind}, {k.Namespace, o.Namespace}, {k.Name, o.Name}} {
		if c := strings.Compare(p[0], p[1]); c != 0 {
			return c
		}
	}
	return 0
}

// Position is a place in a file; lines and columns count from 1, and 0 means unknown.
type Position struct {
	File         string
	Line, Column int
}

// String is "file:line:column", shortened by what is unknown.
func (p Position) String() string {
	switch {
	case p.Line == 0:
		return p.File
	case p.Column == 0:
		return fmt.Sprintf("%s:%d", p.File, p.Line)
	}
	return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column)
}

// Locator finds the position of a field, given as "spec.rules[0].backendRefs[1].name". A field that the text does not
// have gives the position of its nearest enclosing field that it does have.
type Locator interface {
	Locate(field string) Position
}

// Object is one admitted object. It is immutable.
type Object struct {
	Key
	// Version is the API version that the file used ("v1beta1"). Value always has the type of the version that
	// Wicketgate works with, so that later stages know one type a kind.
	Version string
	// Meta is the object's metadata. Generation is the one that is served and that observedGeneration repeats. A zero
	// CreationTimestamp means that the file gives none ("undated").
	Meta metav1.ObjectMeta
	// Value is the typed object, defaulted and validated: *gatewayv1.HTTPRoute, *corev1.Service, ... All kinds of
	// gateway.networking.k8s.io have their sigs.k8s.io/gateway-api/apis/v1 type.
	Value any
	// Content is the same object as a JSON tree (int64 and float64 numbers), defaulted, with the status that the file had.
	// The API serves it. Nobody may write to it.
	Content map[string]any
	// Position is where the document begins, and Locator finds its fields.
	Position Position
	Locator  Locator
	// Digest is a hash of the admitted content (metadata and status excluded from nothing but positions): equal digests
	// mean equal objects.
	Digest [32]byte
	// Stale marks an object whose file no longer holds an admissible version of it: the last admitted one is in force.
	Stale bool
	// Confined marks an object from a directory that may only hold objects of certain namespaces: who writes there is trusted with less.
	Confined bool
}

// At gives the position of a field of the object.
func (o *Object) At(field string) Position {
	if o.Locator == nil {
		return o.Position
	}
	return o.Locator.Locate(field)
}

// Severity says what a Problem means for what is served.
type Severity uint8

const (
	// Error: something the files ask for is not in force.
	Error Severity = iota
	// Warning: everything is in force, but probably not as meant.
	Warning
	// Ignored: a kind that Wicketgate has no use for; said once a kind.
	Ignored
)

// String is the word that logs and JSON output use.
func (s Severity) String() string { return [...]string{"error", "warning", "ignored"}[s] }

// Problem is something to tell the author of a file.
type Problem struct {
	Severity Severity
	Position Position
	// Object is zero where no object could be read.
	Object Key
	// Field is the field's path, or empty.
	Field string
	// Message says what is wrong and what to do.
	Message string
}

// String is the line that `wicketgate check` prints:
//
//	shop.yaml:19:7: HTTPRoute default/shop: spec.rules[0].backends: unknown field (did you mean "backendRefs"?)
func (p Problem) String() string {
	var b strings.Builder
	b.WriteString(p.Position.String())
	if p.Severity != Error {
		b.WriteString(": " + p.Severity.String())
	}
	if p.Object.Kind != "" {
		b.WriteString(": " + p.Object.String())
	}
	if p.Field != "" {
		b.WriteString(": " + p.Field)
	}
	b.WriteString(": " + p.Message)
	return b.String()
}

// Set is an immutable collection of objects with one object a key.
type Set struct {
	byKind  map[GroupKind][]*Object // ordered by namespace and name
	refused []*Refused              // in order; beside the objects
}

// NewSet makes a Set. Of several objects with one key the last given is kept; callers decide about duplicates before.
func NewSet(objects ...*Object) *Set { return new(Set).With(objects, nil) }

// With returns the Set with some objects put in, in place of those with their keys, and others taken out. What does not change costs
// little more than a copy of the pointers of the kinds that do.
func (s *Set) With(put []*Object, gone []Key) *Set {
	if len(put) == 0 && len(gone) == 0 && s.byKind != nil {
		return s
	}
	in, out := map[GroupKind][]*Object{}, map[GroupKind][]*Object{}
	for _, k := range gone {
		out[k.GroupKind] = append(out[k.GroupKind], s.Get(k))
	}
	for _, o := range put {
		in[o.GroupKind] = append(in[o.GroupKind], o)
		out[o.GroupKind] = append(out[o.GroupKind], s.Get(o.Key))
	}
	next := &Set{byKind: make(map[GroupKind][]*Object, len(s.byKind)+len(in)), refused: s.refused}
	maps.Copy(next.byKind, s.byKind)
	for k, leave := range out {
		leave = slices.DeleteFunc(leave, func(o *Object) bool { return o == nil })
		list := Splice(s.byKind[k], lastOfEach(leave), lastOfEach(in[k]), byKey)
		if next.byKind[k] = list; len(list) == 0 {
			delete(next.byKind, k)
		}
	}
	return next
}

func byKey(a, b *Object) int { return a.Key.Compare(b.Key) }

// lastOfEach orders objects, and leaves of those with one key the last.
func lastOfEach(list []*Object) []*Object {
	slices.SortStableFunc(list, byKey)
	kept := list[:0]
	for i, o := range list {
		if i+1 == len(list) || list[i+1].Key != o.Key {
			kept = append(kept, o)
		}
	}
	return kept
}

// SameWithout reports whether two Sets hold the same objects, which means the same pointers, of all kinds but those left out, and whether the
// same objects were refused, of whatever kind.
func (s *Set) SameWithout(other *Set, leftOut func(GroupKind) bool) bool {
	covers := func(a, b *Set) bool {
		for k, list := range a.byKind {
			if !leftOut(k) && !slices.Equal(list, b.byKind[k]) {
				return false
			}
		}
		return true
	}
	return covers(s, other) && covers(other, s) && slices.EqualFunc(s.refused, other.refused, (*Refused).equal)
}

// Changes lists, in order, the objects of a kind that other does not have, and those that it has in place of them or besides.
func (s *Set) Changes(other *Set, k GroupKind) (gone, come []*Object) {
	a, b := s.byKind[k], other.byKind[k]
	if len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0]) { // the very list
		return nil, nil
	}
	for len(a) > 0 && len(b) > 0 {
		if a[0] == b[0] {
			a, b = a[1:], b[1:]
			continue
		}
		order := a[0].Key.Compare(b[0].Key)
		if order <= 0 {
			gone, a = append(gone, a[0]), a[1:]
		}
		if order >= 0 {
			come, b = append(come, b[0]), b[1:]
		}
	}
	return append(gone, a...), append(come, b...)
}

// Get returns the object with this key, or nil.
func (s *Set) Get(k Key) *Object {
	list := s.byKind[k.GroupKind]
	at, found := slices.BinarySearchFunc(list, k, func(o *Object, k Key) int {
		return cmp.Or(strings.Compare(o.Namespace, k.Namespace), strings.Compare(o.Name, k.Name))
	})
	if !found {
		return nil
	}
	return list[at]
}

// Kind returns all objects of a kind, ordered by namespace and name. The slice is shared: do not write to it.
func (s *Set) Kind(k GroupKind) []*Object { return s.byKind[k] }

// Keys returns every key in order. It makes the list.
func (s *Set) Keys() []Key {
	kinds := slices.SortedFunc(maps.Keys(s.byKind), func(a, b GroupKind) int { return Key{GroupKind: a}.Compare(Key{GroupKind: b}) })
	keys := make([]Key, 0, s.Len())
	for _, k := range kinds {
		for _, o := range s.byKind[k] {
			keys = append(keys, o.Key)
		}
	}
	return keys
}

// Len is the number of objects.
func (s *Set) Len() (n int) {
	for _, list := range s.byKind {
		n += len(list)
	}
	return n
}
