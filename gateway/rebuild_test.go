// Taking over what did not change never changes an outcome.

package gateway

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/wicketgate/wicketgate/object"
)

// everything is all that a graph and its statuses say.
func everything(t *testing.T, g *Graph, s *StatusSet) string {
	t.Helper()
	trees := map[string]any{}
	for k, tree := range s.All() {
		trees[k.String()] = []any{s.Generation(k), tree, s.Get(k)}
	}
	text, err := json.MarshalIndent(trees, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	out := printRoutes(g) + printProblems(g.Problems) + string(text)
	for _, r := range g.Routes {
		for _, rule := range r.Rules {
			if rule.Object != r.Object {
				out += "\na rule of another route"
			}
			for _, b := range rule.Backends {
				if t := b.Target; t != nil {
					out += fmt.Sprintln("\n", t.Key, t.Endpoints, t.Hosts, t.AppProtocol, t.Service != nil, t.TLS != nil, t.Session, t.Budget)
				}
			}
			text, err := json.Marshal([]any{rule.Index, rule.Name, rule.Matches, rule.GRPCMatches, rule.Filters, rule.Unusable, rule.Timeouts, rule.Retry, rule.Session})
			if err != nil {
				t.Fatal(err)
			}
			out += "\n" + string(text)
		}
		for _, p := range r.Parents {
			for _, a := range p.Attachments {
				if !slices.Contains(g.Gateways, a.Listener.Gateway) || !slices.Contains(g.Attached[a.Listener].Routes, a) {
					out += "\nan attachment to another graph's listener"
				}
			}
		}
	}
	return out
}

func TestRebuildIsTheSameAsBuild(t *testing.T) {
	t.Parallel()
	for _, path := range goldenFiles(t) {
		t.Run(filepath.Base(path), func(t *testing.T) {
			g := readGolden(t, path)
			random := rand.New(rand.NewPCG(3, 4))
			var mutants [][]*object.Object // of each object, with one field changed
			for _, o := range g.objects {
				list := []*object.Object{o, nil}
				forEachMutation(t, o, func(_ string, m *object.Object) { list = append(list, m) })
				mutants = append(mutants, list)
			}
			now := slices.Clone(g.objects)
			var graph *Graph
			var statuses, fresh *StatusSet
			taken, routes := 0, 0
			for step := range 60 {
				for range random.IntN(3) {
					i := random.IntN(len(now))
					if step%3 > 0 && !editable(g.objects[i].GroupKind) {
						continue // mostly edits, so that there is something to take over
					}
					now[i] = mutants[i][random.IntN(len(mutants[i]))]
				}
				set := object.NewSet(slices.DeleteFunc(slices.Clone(now), func(o *object.Object) bool { return o == nil })...)
				before := graph
				graph = Rebuild(graph, set, g.opts)
				whole := Build(set, g.opts)
				at := testTime.AddDate(0, 0, step)
				statuses = Statuses(graph, g.bound, statuses, at)
				fresh = Statuses(whole, g.bound, withoutFacts(fresh), at)
				if got, want := everything(t, graph, statuses), everything(t, whole, fresh); got != want {
					t.Fatalf("step %d: %s", step, firstDifference(got, want))
				}
				routes += len(graph.Routes)
				for _, r := range graph.Routes {
					if before != nil && slices.Contains(before.Routes, r) {
						taken++
					}
				}
			}
			if routes > 0 && taken == 0 {
				t.Error("nothing was ever taken over")
			}
		})
	}
}

func firstDifference(got, want string) string {
	a, b := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return fmt.Sprintf("line %d: rebuilt\n%s\nbuilt\n%s", i, a[i], b[i])
		}
	}
	return fmt.Sprintf("%d lines rebuilt, %d built", len(a), len(b))
}

// withoutFacts makes a copy from which no tree is taken over.
func withoutFacts(s *StatusSet) *StatusSet {
	if s == nil {
		return nil
	}
	out := &StatusSet{others: map[object.Key]*status{}}
	for k := range s.All() {
		out.others[k] = &status{since: s.of(k).since}
	}
	return out
}

func TestRebuildRunsOutOfHintsAsBuildDoes(t *testing.T) {
	t.Parallel()
	yaml := confinedYAML
	for i := range maxHints + 20 {
		yaml += fmt.Sprintf(`---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: r%03d}
spec: {parentRefs: [{name: web}], rules: [{backendRefs: [{name: %s, port: %d}]}]}
`, i, []string{"app", "apq"}[i%2], 80+i)
	}
	objects := parseObjects(t, yaml)
	var graph *Graph
	for n := range 30 {
		set := object.NewSet(objects[:len(objects)-n]...)
		graph = Rebuild(graph, set, Options{})
		whole := Build(set, Options{})
		if got, want := everything(t, graph, Statuses(graph, Bound{}, nil, testTime)), everything(t, whole, Statuses(whole, Bound{}, nil, testTime)); got != want {
			t.Fatalf("without the last %d: %s", n, firstDifference(got, want))
		}
	}
}
