// Objects that admission has refused and that were never in force: what may not be taken for absent.
//
// Most kinds are safe to miss: without a ReferenceGrant nothing is granted, without a Gateway nothing is served. But where an object takes something
// away (a BackendTLSPolicy takes away plaintext), to miss it is to do what its author forbade. So a Set remembers, of objects that files hold and that
// were refused, their names and what they are about, as far as that could be read.

package object

import "slices"

// Refused is an object that admission has refused, with no admitted version of it in force. It is immutable.
type Refused struct {
	// Key may lack a name, if that is what is wrong with it.
	Key
	// Targets are what the object is about: the targetRefs of a policy, the Service of an EndpointSlice. They are in its namespace.
	Targets []RefusedTarget
}

// RefusedTarget is what a refused object is about. Nothing in it was validated.
type RefusedTarget struct {
	GroupKind
	Name    string
	Section string // "": all of it
}

// Compare orders targets by kind, name and section.
func (t RefusedTarget) Compare(o RefusedTarget) int {
	return Key{t.GroupKind, t.Name, t.Section}.Compare(Key{o.GroupKind, o.Name, o.Section})
}

func (r *Refused) equal(o *Refused) bool { return r.Key == o.Key && slices.Equal(r.Targets, o.Targets) }

// compare orders what was refused, so that a Set does not depend on the order of files.
func (r *Refused) compare(o *Refused) int {
	if c := r.Key.Compare(o.Key); c != 0 {
		return c
	}
	return slices.CompareFunc(r.Targets, o.Targets, RefusedTarget.Compare)
}

// WithRefused returns the Set with these objects for the refused ones, in place of any that it had.
func (s *Set) WithRefused(list []*Refused) *Set {
	list = slices.Clone(list)
	slices.SortFunc(list, (*Refused).compare)
	if slices.EqualFunc(s.refused, list, (*Refused).equal) {
		return s
	}
	out := *s
	out.refused = list
	return &out
}

// Refused returns the refused objects of a kind, ordered by namespace and name.
func (s *Set) Refused(k GroupKind) []*Refused {
	var list []*Refused
	for _, r := range s.refused {
		if r.GroupKind == k {
			list = append(list, r)
		}
	}
	return list
}

// IsRefused reports whether the object of a key was refused.
func (s *Set) IsRefused(k Key) bool {
	return slices.ContainsFunc(s.refused, func(r *Refused) bool { return r.Key == k })
}
