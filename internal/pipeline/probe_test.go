// What a field does, found out by changing it: each value of each object in testdata/fields is replaced and removed in turn, and what comes of the
// change is compared with what came of the object as it was.

package pipeline

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/wicketgate/wicketgate/config"
	"github.com/wicketgate/wicketgate/gateway"
	"github.com/wicketgate/wicketgate/object"
)

// scenario is one file of testdata/fields. A comment on its first line sets options: "# dns" lets names be looked up, "# elsewhere" allows
// ExternalName Services, and Unix sockets below /run/gateway.
type scenario struct {
	name    string
	trees   []map[string]any
	objects []*object.Object
	stand   *stand
	base    outcome
}

// node is a value in an object: where it is, and the field that it is a value of.
type node struct {
	steps []any // string keys and int indices
	field string
}

func readScenarios(t *testing.T) []*scenario {
	t.Helper()
	files, err := filepath.Glob("testdata/fields/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal("no scenarios", err)
	}
	var all []*scenario
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		opts := gateway.Options{DNSBackends: strings.HasPrefix(string(text), "# dns\n")}
		if strings.HasPrefix(string(text), "# elsewhere\n") {
			opts.ExternalName, opts.UnixDir = true, "/run/gateway"
		}
		s := &scenario{name: filepath.Base(name), stand: newStand(t, opts)}
		// They repeat what the spec says, whether or not it means anything.
		s.stand.omit = append(s.stand.omit, "parentRef", "ancestorRef", "message")
		for doc := range strings.SplitSeq(filled(string(text)), "\n---\n") {
			tree := map[string]any{}
			if err := yaml.Unmarshal([]byte(doc), &tree); err != nil {
				t.Fatalf("%s: %v\n%s", name, err, doc)
			}
			o, problem := admitted(tree)
			if o == nil {
				t.Fatalf("%s: %v", name, problem)
			}
			s.trees, s.objects = append(s.trees, tree), append(s.objects, o)
		}
		s.base = s.stand.outcome(t, object.NewSet(s.objects...), nil)
		all = append(all, s)
	}
	return all
}

// filled puts certificates where scenarios want them.
func filled(text string) string {
	quoted, err := json.Marshal(certificate().pem)
	if err != nil {
		panic(err)
	}
	return strings.NewReplacer("@crt@", certificate().crt, "@key@", certificate().key, "@pem@", string(quoted)).Replace(text)
}

// admitted is the object that admission makes of a tree, or why it makes none.
func admitted(tree map[string]any) (*object.Object, string) {
	text, err := yaml.Marshal(tree)
	if err != nil {
		return nil, err.Error()
	}
	objects, problems := config.Parse("scenario.yaml", text)
	for _, p := range problems {
		if p.Severity == object.Error {
			return nil, p.String()
		}
	}
	if len(objects) != 1 {
		return nil, "no object"
	}
	return objects[0], ""
}

// changed is the outcome of the scenario with one object replaced, or removed if o is nil.
func (s *scenario) changed(t *testing.T, index int, o *object.Object) outcome {
	t.Helper()
	objects := slices.Clone(s.objects)
	if o == nil {
		objects = slices.Delete(objects, index, index+1)
	} else {
		objects[index] = o
	}
	return s.stand.outcome(t, object.NewSet(objects...), nil)
}

// nodes gives every value of a tree, the inner ones too.
func nodes(v any, at node) []node {
	all := []node{at}
	child := func(step any, field string) node {
		return node{append(slices.Clone(at.steps), step), field}
	}
	switch v := v.(type) {
	case map[string]any:
		for _, k := range slices.Sorted(maps.Keys(v)) {
			all = append(all, nodes(v[k], child(k, strings.TrimPrefix(at.field+"."+k, ".")))...)
			all = append(all, nodes(v[k], child(k, at.field+"{}"))...) // it may be a map
		}
	case []any:
		for i := range v {
			all = append(all, nodes(v[i], child(i, at.field+"[]"))...)
		}
	}
	return all
}

// with copies a tree with the value at some steps replaced by what f makes of it. If f says so the value is removed.
func with(tree any, steps []any, f func(old any) (value any, keep bool)) any {
	if len(steps) == 0 {
		v, _ := f(tree)
		return v
	}
	switch n := tree.(type) {
	case map[string]any:
		out, k := maps.Clone(n), steps[0].(string)
		if len(steps) == 1 {
			if v, keep := f(n[k]); keep {
				out[k] = v
			} else {
				delete(out, k)
			}
			return out
		}
		out[k] = with(n[k], steps[1:], f)
		return out
	case []any:
		out, i := slices.Clone(n), steps[0].(int)
		if len(steps) == 1 {
			if v, keep := f(n[i]); keep {
				out[i] = v
				return out
			}
			return slices.Delete(out, i, i+1)
		}
		out[i] = with(n[i], steps[1:], f)
		return out
	}
	return tree
}

// at gives the value at some steps.
func at(tree any, steps []any) (v any) {
	with(tree, steps, func(old any) (any, bool) { v = old; return old, true })
	return v
}

// others are values that may stand where v does; what is not admitted is left out later.
func others(v any, enum []any) []any {
	switch v := v.(type) {
	case string:
		list := slices.DeleteFunc(slices.Clone(enum), func(e any) bool { return e == v })
		for _, e := range []string{v + "x", "x" + v, "/x", "7s", "eA==", "10.0.0.99", "x.example.com", "2020-01-01T00:00:00Z", "443", "UDP"} {
			list = append(list, e)
		}
		return list
	case bool:
		return []any{!v}
	case float64:
		return []any{v + 1, v - 1, 301.0}
	}
	return []any{"x", 7.0}
}

// mutations yields admitted variants of the object at index with the node changed, and says what the change is.
func (s *scenario) mutations(index int, n node, enum []any) func(yield func(what string, o *object.Object) bool) {
	return func(yield func(string, *object.Object) bool) {
		tree := s.trees[index]
		try := func(what string, value any, keep bool) bool {
			changed := with(tree, n.steps, func(any) (any, bool) { return value, keep }).(map[string]any)
			o, _ := admitted(changed)
			return o == nil || yield(what, o)
		}
		for _, v := range others(at(tree, n.steps), enum) {
			if !try(fmt.Sprintf("%v", v), v, true) {
				return
			}
		}
		try("nothing", nil, false)
	}
}
