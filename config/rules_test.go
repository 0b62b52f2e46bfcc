// CEL rules as they are asked here, against the library's validator.

package config

import (
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/tools/txtar"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/listtype"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	"k8s.io/apimachinery/pkg/runtime"
	celconfig "k8s.io/apiserver/pkg/apis/cel"

	"github.com/wicketgate/wicketgate/object"
)

// TestRulesAgreeWithTheLibrary: of every object of a CRD's kind that the Gateway API module, the examples and the tests have, and of what random changes
// make of them, the rules say yes if and only if the library's validator finds nothing.
func TestRulesAgreeWithTheLibrary(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	answers := map[bool]int{}
	all := objectsByVersion(t)
	for _, k := range Kinds() {
		for _, v := range k.Versions {
			if trees := all[v]; len(trees) > 0 {
				compareRules(t, rnd, v.schema, trees, answers)
			}
		}
	}
	t.Log(answers)
	if answers[true] < 500 || answers[false] < 100 {
		t.Errorf("too few of a kind to prove anything: %v", answers)
	}
}

// compareRules asks both about some objects, and about several changed ones for each.
func compareRules(t *testing.T, rnd *rand.Rand, s *schema, trees []map[string]any, answers map[bool]int) {
	t.Helper()
	if err := s.compile(); err != nil {
		t.Fatal(err)
	}
	judge := cel.NewValidator(s.structural, true, celconfig.PerCallLimit)
	for i := range 4 * len(trees) {
		tree := runtime.DeepCopyJSON(trees[i%len(trees)])
		if i >= len(trees) {
			for range 1 + rnd.IntN(2) {
				mutate(rnd, tree, trees[rnd.IntN(len(trees))])
			}
		}
		if !rulesMatter(s, tree) {
			continue
		}
		errs, _ := judge.Validate(t.Context(), nil, s.structural, tree, nil, celconfig.RuntimeCELCostBudget)
		want := len(errs) == 0
		if got := s.rules.hold(t.Context(), tree); got != want {
			t.Fatalf("the rules say %v, the library %v, of\n%v", got, errs, tree)
		}
		answers[want]++
	}
}

// objectsByVersion reads all manifests that there are, and says which of their objects have a CRD's schema.
func objectsByVersion(t *testing.T) map[*Version][]map[string]any {
	t.Helper()
	all := map[*Version][]map[string]any{}
	add := func(text []byte) {
		for _, c := range split(text) {
			d, err := readDocument(c, defaultLimits)
			tree, ok := d.value.(map[string]any)
			if err != nil || !ok {
				continue
			}
			apiVersion, _ := tree["apiVersion"].(string)
			name, _ := tree["kind"].(string)
			group, version := filepath.Split(apiVersion)
			kind := KindOf(object.GroupKind{Group: filepath.Clean(group), Kind: name})
			if kind == nil {
				continue
			}
			if v := kind.Version(version); v != nil && v.schema != nil {
				delete(tree, "status")
				all[v] = append(all[v], tree)
			}
		}
	}
	upstream := gatewayAPIDir(t)
	for _, dir := range []string{
		filepath.Join(upstream, "examples"), filepath.Join(upstream, "hack", "invalid-examples"), filepath.Join(upstream, "geps"),
		"../examples", "../internal/pipeline/testdata", "../gateway/testdata", "testdata/admit",
	} {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			text, err := os.ReadFile(path)
			switch {
			case configName(path):
				add(text)
			case filepath.Ext(path) == ".txtar":
				for _, f := range txtar.Parse(text).Files {
					add(f.Data)
				}
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// rulesMatter defaults a tree, and reports whether the schema allows it so far that its rules are asked.
func rulesMatter(s *schema, tree map[string]any) bool {
	var f findings
	s.unknown(tree, s.structural, nil, &f)
	if f.rejected() {
		return false
	}
	defaulting.PruneNonNullableNullsWithoutDefaults(tree, s.structural)
	defaulting.Default(tree, s.structural)
	errs := validation.ValidateCustomResource(nil, tree, s.validator)
	return !blocksRules(append(errs, listtype.ValidateListSetsAndMaps(nil, s.structural, tree)...))
}

// mutate changes a tree somewhere below its spec: a value goes, is given twice, or becomes one that another tree of the kind has.
func mutate(rnd *rand.Rand, tree, other map[string]any) {
	tree, _ = tree["spec"].(map[string]any)
	other, _ = other["spec"].(map[string]any)
	for len(tree) > 0 {
		key := pick(rnd, slices.Sorted(maps.Keys(tree)))
		switch v := tree[key].(type) {
		case map[string]any:
			if below, ok := other[key].(map[string]any); ok && len(v) > 0 && rnd.IntN(5) > 0 {
				tree, other = v, below
				continue
			}
		case []any:
			if len(v) == 0 {
				break
			}
			i := rnd.IntN(len(v))
			if rnd.IntN(6) == 0 {
				tree[key] = append(v, runtime.DeepCopyJSONValue(v[i]))
				return
			}
			item, isMap := v[i].(map[string]any)
			theirs, _ := other[key].([]any)
			if isMap && len(item) > 0 && len(theirs) > 0 && rnd.IntN(6) > 0 {
				tree = item
				other, _ = pick(rnd, theirs).(map[string]any)
				continue
			}
		}
		if len(other) == 0 || rnd.IntN(4) == 0 {
			delete(tree, key)
			return
		}
		key = pick(rnd, slices.Sorted(maps.Keys(other)))
		tree[key] = runtime.DeepCopyJSONValue(other[key])
		return
	}
}

func pick[T any](rnd *rand.Rand, from []T) T { return from[rnd.IntN(len(from))] }

// TestRulesCanBeAsked: none of the rules that are served is left to the library, whose validator is slower.
func TestRulesCanBeAsked(t *testing.T) {
	var visit func(at string, r *rules) int
	visit = func(at string, r *rules) int {
		if r == nil {
			return 0
		}
		if r.once.Do(r.compile); r.unsure {
			t.Errorf("%s has a rule that is left to the library", at)
		}
		n := len(r.programs) + visit(at+"[]", r.items) + visit(at+"{}", r.additional)
		for name, below := range r.properties {
			n += visit(at+"."+name, below)
		}
		return n
	}
	for _, k := range Kinds() {
		for _, v := range k.Versions {
			if v.schema == nil {
				continue
			}
			if err := v.schema.compile(); err != nil {
				t.Fatal(err)
			}
			t.Log(k.Kind, v.Name, visit(k.Kind, v.schema.rules))
		}
	}
}

// TestDearRulesAreTheLibrarys: what would cost more than an API server allows is no yes.
func TestDearRulesAreTheLibrarys(t *testing.T) {
	version := KindOf(object.GroupKind{Group: gatewayGroup, Kind: "HTTPRoute"}).Versions[0]
	if err := version.schema.compile(); err != nil {
		t.Fatal(err)
	}
	d, err := readDocument(chunk{text: []byte(benchRoute)}, defaultLimits)
	if err != nil {
		t.Fatal(err)
	}
	tree := d.value.(map[string]any)
	defaulting.Default(tree, version.schema.structural)
	enough := int64(celconfig.RuntimeCELCostBudget)
	if !version.schema.rules.holdFor(t.Context(), tree, &enough) {
		t.Fatal("the rules do not hold")
	}
	spent := celconfig.RuntimeCELCostBudget - enough
	if exactly := spent; version.schema.rules.holdFor(t.Context(), tree, &exactly) {
		t.Errorf("they hold for %d, which leaves nothing", spent)
	}
	if more := spent + 1; !version.schema.rules.holdFor(t.Context(), tree, &more) {
		t.Errorf("they do not hold for more than the %d that they cost", spent)
	}
}
