// Build takes whatever objects it is given: fields missing or damaged, in any mixture.

package gateway

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/wicketgate/wicketgate/object"
)

// Build and Statuses get along with whatever is missing or odd in an object: every field of every golden input is removed, emptied or replaced
// in turn, whether or not admission would let that pass.
func TestBuildNeverPanics(t *testing.T) {
	for _, path := range goldenFiles(t) {
		t.Run(path, func(t *testing.T) {
			g := readGolden(t, path)
			for i, o := range g.objects {
				forEachMutation(t, o, func(what string, mutated *object.Object) {
					objects := append(append([]*object.Object{}, g.objects[:i]...), g.objects[i+1:]...)
					defer func() {
						if r := recover(); r != nil {
							t.Fatalf("%s with %s: panic: %v", o.Key, what, r)
						}
					}()
					g.outputs(append(objects, mutated))
				})
			}
		})
	}
}

// forEachMutation calls f with copies of an object, each with one field changed.
func forEachMutation(t *testing.T, o *object.Object, f func(what string, mutated *object.Object)) {
	t.Helper()
	paths := [][]any{}
	collectPaths(o.Content["spec"], []any{"spec"}, &paths)
	for _, p := range paths {
		for _, with := range []any{nil, "", int64(-1), map[string]any{}, "Ünknown/*.."} {
			raw, err := json.Marshal(o.Content)
			if err != nil {
				t.Fatal(err)
			}
			var content map[string]any
			if err := json.Unmarshal(raw, &content); err != nil {
				t.Fatal(err)
			}
			set(content, p, with)
			value := newValue(o.Kind)
			if raw, err = json.Marshal(content); err != nil || value == nil || json.Unmarshal(raw, value) != nil {
				continue // not an object of this kind any more
			}
			mutated := *o
			mutated.Content, mutated.Value = content, value
			f(fmt.Sprintf("%v = %v", p, with), &mutated)
		}
	}
}

func collectPaths(node any, path []any, all *[][]any) {
	*all = append(*all, append([]any{}, path...))
	switch n := node.(type) {
	case map[string]any:
		for _, k := range slices.Sorted(maps.Keys(n)) { // the same at every run
			collectPaths(n[k], append(path, k), all)
		}
	case []any:
		for i, v := range n {
			collectPaths(v, append(path, i), all)
		}
	}
}

// set replaces the value at a path, or removes it if there is none to put there.
func set(node any, path []any, value any) {
	for i, step := range path {
		last := i == len(path)-1
		switch n := node.(type) {
		case map[string]any:
			key := step.(string)
			switch {
			case last && value == nil:
				delete(n, key)
			case last:
				n[key] = value
			default:
				node = n[key]
			}
		case []any:
			index := step.(int)
			if last {
				n[index] = value
			} else {
				node = n[index]
			}
		}
	}
}

// Objects of all golden files thrown together at random: nothing panics, and the order still does not matter.
func TestAnyMixtureOfObjects(t *testing.T) {
	var all []*object.Object
	for _, path := range goldenFiles(t) {
		all = append(all, readGolden(t, path).objects...)
	}
	random := rand.New(rand.NewPCG(3, 4))
	for range 30 {
		random.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		// Of several with one key only one: which is kept would be the order's choice.
		var some []*object.Object
		seen := map[object.Key]bool{}
		for _, o := range all[:len(all)/2] {
			if !seen[o.Key] {
				seen[o.Key] = true
				some = append(some, o)
			}
		}
		g := &golden{opts: Options{DNSBackends: random.IntN(2) == 0, Strict: random.IntN(2) == 0}}
		want := fmt.Sprintf("%s", g.outputs(some))
		random.Shuffle(len(some), func(i, j int) { some[i], some[j] = some[j], some[i] })
		if got := fmt.Sprintf("%s", g.outputs(some)); got != want {
			t.Fatalf("another order gives\n%s\ninstead of\n%s", got, want)
		}
	}
}
