// How a configuration is written down, and by which edits it came about, makes no difference: any order of files, any split into files,
// documents and Lists, YAML or JSON, and any order of edits gives the same statuses, problems and data plane.

package pipeline

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/wicketgate/wicketgate/gateway"
	"github.com/wicketgate/wicketgate/object"
)

// layout is a way to write documents down: contents by file name.
type layout map[string]string

// layout spreads documents over files, at random.
func (g generator) layout(all []document) layout {
	all = slices.Clone(all)
	g.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	files := map[string][]document{}
	for _, d := range all {
		name := g.of("a", "b", "sub/c", "sub/deep/d", "z") + g.of(".yaml", ".yml", ".json")
		files[name] = append(files[name], d)
	}
	out := layout{}
	for name, list := range files {
		switch {
		case strings.HasSuffix(name, ".json"):
			out[name] = asList(list, true)
		case g.IntN(3) == 0:
			out[name] = asList(list, false)
		default:
			var texts []string
			for _, d := range list {
				texts = append(texts, d.yaml)
			}
			out[name] = "# several documents\n" + strings.Join(texts, "---\n")
		}
	}
	return out
}

// asList writes documents as one List, as `kubectl get -o yaml` does.
func asList(list []document, asJSON bool) string {
	items := []any{}
	for _, d := range list {
		var tree any
		if err := yaml.Unmarshal([]byte(d.yaml), &tree); err != nil {
			panic(err)
		}
		items = append(items, tree)
	}
	raw, err := yaml.Marshal(map[string]any{"apiVersion": "v1", "kind": "List", "items": items})
	if err == nil && asJSON {
		raw, err = yaml.YAMLToJSON(raw)
	}
	if err != nil {
		panic(err)
	}
	return string(raw)
}

// become edits a directory into a layout, one file after another in random order, and loads after each edit.
func (s *stand) become(t testing.TB, g generator, before, after layout) outcome {
	t.Helper()
	names := slices.Sorted(maps.Keys(before))
	for name := range after {
		if _, ok := before[name]; !ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	g.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	for _, name := range names {
		s.write(t, name, after[name])
		s.load(t)
	}
	return s.load(t)
}

// checkOrder makes a configuration in several ways from one seed.
func checkOrder(t *testing.T, seed uint64) {
	g := generator{rand.New(rand.NewPCG(seed, 1))}
	opts := gateway.Options{DNSBackends: g.IntN(2) == 0, Strict: g.IntN(4) == 0, MergeAcrossNamespaces: g.IntN(4) == 0}
	all := g.documents()
	first := newStand(t, opts)
	var whole strings.Builder
	for _, d := range all {
		whole.WriteString(d.yaml + "---\n")
	}
	first.write(t, "all.yaml", whole.String())
	want := first.load(t)
	for _, p := range first.result.Problems {
		if p.Severity == object.Error {
			t.Fatalf("seed %d: a generated object is not admitted: %v", seed, p)
		}
	}
	for range 2 {
		s := newStand(t, opts)
		for name, content := range g.layout(all) {
			s.write(t, name, content)
		}
		compare(t, fmt.Sprintf("seed %d: split", seed), s.load(t), want)
	}
	s := newStand(t, opts)
	other, between, last := g.layout(g.documents()), g.layout(all), g.layout(all)
	s.become(t, g, layout{}, other)
	compare(t, fmt.Sprintf("seed %d: edited", seed), s.become(t, g, other, between), want)
	compare(t, fmt.Sprintf("seed %d: moved", seed), s.become(t, g, between, last), want)
}

// compare says in which part two outcomes differ, and where first.
func compare(t *testing.T, what string, got, want outcome) {
	t.Helper()
	for _, part := range []struct{ name, got, want string }{
		{"statuses", got.statuses, want.statuses},
		{"problems", sorted(got.problems), sorted(want.problems)},
		{"routes", got.routes, want.routes},
		{"plan", got.plan, want.plan},
	} {
		if part.got != part.want {
			a, b := firstDifference(part.got, part.want)
			t.Fatalf("%s: %s differ:\n%s\nwant\n%s", what, part.name, a, b)
		}
	}
}

// sorted orders lines: problems are told in the order of their places.
func sorted(text string) string {
	lines := strings.Split(text, "\n")
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

func firstDifference(a, b string) (string, string) {
	x, y := strings.Split(a, "\n"), strings.Split(b, "\n")
	for i := range min(len(x), len(y)) {
		if x[i] != y[i] {
			return x[i], y[i]
		}
	}
	return fmt.Sprintf("%d lines", len(x)), fmt.Sprintf("%d lines", len(y))
}

func TestOrderSplitAndEditsDoNotMatter(t *testing.T) {
	seeds := uint64(16)
	if testing.Short() {
		seeds = 6
	}
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			checkOrder(t, seed)
		})
	}
}

func FuzzOrderSplitAndEdits(f *testing.F) {
	for seed := range uint64(5) {
		f.Add(1000 + seed)
	}
	f.Fuzz(checkOrder)
}
