// A Set that is made from another one is the Set that would be made anew.

package object

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

func describe(s *Set, kinds []GroupKind) string {
	text := fmt.Sprint(s.Keys(), s.Len())
	for _, k := range s.Keys() {
		text += fmt.Sprintf(" %p", s.Get(k))
	}
	for _, gk := range kinds {
		text += fmt.Sprintf("\n%v:", gk)
		for _, o := range s.Kind(gk) {
			text += fmt.Sprintf(" %p", o)
		}
	}
	return text
}

func TestWithIsTheSameAsMakingASetAnew(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	kinds := []GroupKind{{"", "Service"}, {"g", "A"}, {"g", "B"}, {"h", "A"}}
	all := map[Key]*Object{}
	set := NewSet()
	for step := range 500 {
		var put []*Object
		var gone []Key
		for range random.IntN(4) {
			k := Key{kinds[random.IntN(len(kinds))], fmt.Sprint("ns", random.IntN(2)), fmt.Sprint("n", random.IntN(5))}
			if slices.Contains(gone, k) || slices.ContainsFunc(put, func(o *Object) bool { return o.Key == k }) {
				continue
			}
			if all[k] != nil && random.IntN(2) == 0 {
				gone = append(gone, k)
				delete(all, k)
				continue
			}
			all[k] = &Object{Key: k}
			put = append(put, all[k])
		}
		before := describe(set, kinds)
		next := set.With(put, gone)
		if describe(set, kinds) != before {
			t.Fatalf("step %d: the earlier Set changed", step)
		}
		var list []*Object
		for _, o := range all {
			list = append(list, o)
		}
		if got, want := describe(next, kinds), describe(NewSet(list...), kinds); got != want {
			t.Fatalf("step %d: put %v, gone %v:\n%s\nwant\n%s", step, put, gone, got, want)
		}
		for _, gk := range kinds {
			checkChanges(t, set, next, gk)
		}
		set = next
	}
}

// checkChanges applies to a kind's list what has changed of it, and wants the list of the other Set.
func checkChanges(t *testing.T, set, next *Set, gk GroupKind) {
	t.Helper()
	gone, come := set.Changes(next, gk)
	if got := Splice(set.Kind(gk), gone, come, byKey); !slices.Equal(got, next.Kind(gk)) {
		t.Fatalf("%v: %v without %v and with %v is %v, not %v", gk, set.Kind(gk), gone, come, got, next.Kind(gk))
	}
	for _, o := range gone {
		if slices.Contains(next.Kind(gk), o) {
			t.Fatalf("%v is said to be gone and is there", o.Key)
		}
	}
}
