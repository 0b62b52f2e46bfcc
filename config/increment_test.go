// Loads that decide only about what changed have the outcome of loads that decide about everything.

package config

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// whole makes the next load of a Loader merge everything.
func whole(l *Loader) *Loader {
	l.memory.lost = []loss{{root: -1}}
	return l
}

func describeResult(r *Result) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %d\n", r.Digest, r.Files)
	for _, k := range r.Objects.Keys() {
		o := r.Objects.Get(k)
		fmt.Fprintf(&b, "%s %s %v %x %d %s\n", k, o.Position, o.Stale, o.Digest, o.Meta.Generation, o.At("spec.rules[0].matches"))
	}
	for _, p := range r.Problems {
		fmt.Fprintf(&b, "%s\n", p)
	}
	return b.String()
}

func TestIncrementalLoadsHaveTheOutcomeOfWholeOnes(t *testing.T) {
	for seed := range uint64(8) {
		random := rand.New(rand.NewPCG(seed, 7))
		dir := t.TempDir()
		one, all := eager(Options{Roots: []Root{{Path: dir}}}), eager(Options{Roots: []Root{{Path: dir}}})
		increments := 0
		for step := range 60 {
			for range 1 + random.IntN(2) {
				name := filepath.Join(dir, fmt.Sprintf("%d.yaml", random.IntN(12)))
				if text := randomFile(random); text == "" {
					_ = os.Remove(name)
				} else {
					write(t, name, text)
				}
			}
			before := one.memory.byKey
			a, err := one.Load(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			b, err := whole(all).Load(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if got, want := describeResult(a), describeResult(b); got != want {
				t.Fatalf("seed %d, step %d: incremental\n%s\nwhole\n%s", seed, step, got, want)
			}
			if len(one.memory.byKey) > 0 && fmt.Sprintf("%p", before) == fmt.Sprintf("%p", one.memory.byKey) {
				increments++
			}
		}
		if increments == 0 {
			t.Errorf("seed %d: no load was incremental", seed)
		}
	}
}

// randomFile is a file with a few of few objects, sometimes broken ones; "" is none.
func randomFile(random *rand.Rand) string {
	switch random.IntN(12) {
	case 0:
		return ""
	case 1:
		return brokenText
	case 2:
		return "kind: Deployment\napiVersion: apps/v1\nmetadata: {name: x}\n"
	case 3:
		return "kind: HTTPRoute\napiVersion: gateway.networking.k8s.io/v1\nmetadata: {}\n"
	}
	var b strings.Builder
	for range 1 + random.IntN(3) {
		if random.IntN(3) == 0 {
			b.WriteString("# a comment moves what follows\n")
		}
		path := fmt.Sprintf("/%d", random.IntN(3))
		if random.IntN(6) == 0 {
			path = "refused"
		}
		b.WriteString(route(fmt.Sprintf("r%d", random.IntN(10)), path))
	}
	return b.String()
}

func TestDocumentsThatOnlyMoveAreNotReadAgain(t *testing.T) {
	d := newDirectory(t).write("a.yaml", route("a", "/a")+route("b", "/b")+route("c", "/c"))
	before := d.load()
	d.write("a.yaml", route("a", "/a")+route("d", "/d")+route("b", "/b")+route("c", "/c"))
	after := d.load()
	d.expect(after, 0, "a", "b", "c", "d")
	if after.Objects.Get(key("a")) != before.Objects.Get(key("a")) {
		t.Error("an object that stayed where it was changed")
	}
	lines := strings.Count(route("d", "/d"), "\n")
	for _, name := range []string{"b", "c"} {
		from, to := before.Objects.Get(key(name)), after.Objects.Get(key(name))
		field := "spec.rules[0].backendRefs[0].name"
		if to.Value != from.Value || to.Position.Line != from.Position.Line+lines || to.At(field).Line != from.At(field).Line+lines || to.At(field).Column != from.At(field).Column {
			t.Errorf("%s: at %s and %s, before at %s and %s", name, to.Position, to.At(field), from.Position, from.At(field))
		}
	}
}
