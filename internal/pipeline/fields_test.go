// docs/fields.md, checked: it has every field, and what it says of each is so.
//
// A row says of one or several fields that they work, are refused, or have no meaning here. Braces stand for alternatives ("path.{type,value}"), ".*"
// for everything below. What "works" must have been seen to change a status or the data plane by a change of its value in one of the scenarios of
// testdata/fields, or have a test that the row names; so a field that the code ignores cannot be in the table as one that works. (A field that
// cannot be changed alone, such as the type of a union, need only be in a scenario.) What is
// "refused" must cause the condition that the row names, and removing it must remove the condition (or the row names a test of that). What has "no meaning" must be in a scenario
// and change nothing.

package pipeline

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/wicketgate/wicketgate/object"
)

// row is one row of the table.
type row struct {
	kind    string
	pattern string // of a field: its path, perhaps with ".*" at the end
	verdict string // the words before the first comma, colon or bracket
	cell    string
	matched bool
}

var (
	tableRow  = regexp.MustCompile("^\\| (`.*`) \\| (.*) \\|$")
	quoted    = regexp.MustCompile("`([^`]+)`")
	condition = regexp.MustCompile("`(\\w+)=(\\w+) (\\w+)`")
	testName  = regexp.MustCompile(`\bTest\w+`)
)

// readTable reads the rows of docs/fields.md. A heading of the second level begins a kind.
func readTable(t *testing.T) []*row {
	t.Helper()
	text, err := os.ReadFile("../../docs/fields.md")
	if err != nil {
		t.Fatal(err)
	}
	var rows []*row
	kind := ""
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if heading, ok := strings.CutPrefix(line, "## "); ok {
			kind = strings.Fields(heading)[0]
		}
		m := tableRow.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		verdict := m[2]
		if i := strings.IndexAny(verdict, ",:;("); i >= 0 {
			verdict = verdict[:i]
		}
		for _, q := range quoted.FindAllStringSubmatch(m[1], -1) {
			for _, pattern := range alternatives(q[1]) {
				rows = append(rows, &row{kind: kind, pattern: pattern, verdict: strings.TrimSpace(verdict), cell: m[2]})
			}
		}
	}
	return rows
}

// alternatives expands the first braces with something in them: "a.{b,c}" is a.b and a.c.
func alternatives(pattern string) []string {
	for i := range pattern {
		if pattern[i] != '{' || strings.HasPrefix(pattern[i:], "{}") {
			continue
		}
		end := i + strings.IndexByte(pattern[i:], '}')
		var all []string
		for word := range strings.SplitSeq(pattern[i+1:end], ",") {
			all = append(all, alternatives(pattern[:i]+word+pattern[end+1:])...)
		}
		return all
	}
	return []string{pattern}
}

// root is the field that a row is about, without ".*".
func (r *row) root() string { return strings.TrimSuffix(r.pattern, ".*") }

func (r *row) matches(field string) bool {
	rest, ok := strings.CutPrefix(field, r.root())
	return ok && (rest == "" || strings.HasSuffix(r.pattern, ".*") && strings.IndexByte(".[{", rest[0]) >= 0)
}

// effect is what changes of a field's values led to.
type effect struct {
	seen    bool   // in a scenario
	changed bool   // admission lets it have another value there, or none
	effect  string // a change that had one
}

func TestTableOfFields(t *testing.T) {
	fields, rows, effects := allFields(t), readTable(t), probe(t)
	scenarios := readScenarios(t)
	for _, kind := range slices.Sorted(maps.Keys(fields)) {
		for _, field := range fields[kind] {
			var found []*row
			for _, r := range rows {
				if r.kind == kind && r.matches(field) {
					r.matched = true
					found = append(found, r)
				}
			}
			if len(found) != 1 {
				t.Errorf("%s %s has %d rows in docs/fields.md, want one", kind, field, len(found))
				continue
			}
			checkField(t, found[0], field, effects[kind+" "+field])
		}
	}
	for _, r := range rows {
		if !r.matched {
			t.Errorf("docs/fields.md has %s %s, which is no field", r.kind, r.pattern)
		} else if test := testName.FindString(r.cell); r.verdict == "refused" && test != "" {
			if !hasTest(t, test) {
				t.Errorf("%s %s: there is no %s", r.kind, r.pattern, test)
			}
		} else if r.verdict == "refused" {
			checkRefused(t, scenarios, r)
		}
	}
}

// checkField compares what a row says of a field with what was seen of it.
func checkField(t *testing.T, r *row, field string, e effect) {
	t.Helper()
	name := r.kind + " " + field
	switch r.verdict {
	case "works":
		if test := testName.FindString(r.cell); test != "" {
			if !hasTest(t, test) {
				t.Errorf("%s: there is no %s", name, test)
			}
		} else if e.effect == "" && (e.changed || !e.seen) {
			t.Errorf("%s works, says docs/fields.md, and no change of it in a scenario has an effect (it is in one: %v)", name, e.seen)
		}
	case "no meaning":
		switch {
		case !e.seen:
			t.Errorf("%s has no meaning, says docs/fields.md, and no scenario has it", name)
		case e.effect != "":
			t.Errorf("%s has no meaning, says docs/fields.md, and a change of it has an effect: %s", name, e.effect)
		}
	case "refused":
	default:
		t.Errorf("%s: %q is none of works, refused, no meaning", name, r.verdict)
	}
}

// probe changes every value of every scenario, until a change has an effect.
func probe(t *testing.T) map[string]effect {
	t.Helper()
	fields, custom := allFields(t), schemas(t)
	effects := map[string]effect{}
	for _, s := range readScenarios(t) {
		for i, tree := range s.trees {
			kind := s.objects[i].Kind
			for _, n := range nodes(tree, node{}) {
				key := kind
				if strings.HasPrefix(n.field, "metadata") {
					key = "metadata"
				}
				if !slices.Contains(fields[key], n.field) || effects[key+" "+n.field].effect != "" {
					continue
				}
				e := effects[key+" "+n.field]
				e.seen = true
				s.mutations(i, n, enumOf(custom[kind], n.field))(func(what string, o *object.Object) bool {
					e.changed = true
					if out := s.changed(t, i, o); out.statuses != s.base.statuses || out.routes != s.base.routes || out.plan != s.base.plan {
						e.effect = fmt.Sprintf("%s: %s of %s = %s", s.name, n.field, s.objects[i].Key, what)
					}
					return e.effect == ""
				})
				effects[key+" "+n.field] = e
			}
		}
	}
	return effects
}

// enumOf gives the values that a schema enumerates for a field.
func enumOf(p *property, field string) []any {
	for step := range strings.SplitSeq(strings.NewReplacer("[]", ".[]", "{}", ".{}").Replace(field), ".") {
		switch {
		case p == nil:
			return nil
		case step == "[]":
			p = p.Items
		case step == "{}":
			p = p.AdditionalProperties
		default:
			p = p.Properties[step]
		}
	}
	if p == nil {
		return nil
	}
	return p.Enum
}

// checkRefused looks for a scenario with the field of a row in which the condition that the row names, or an error, is there, and is not
// without the field.
func checkRefused(t *testing.T, scenarios []*scenario, r *row) {
	t.Helper()
	found := false
	for _, s := range scenarios {
		for i, tree := range s.trees {
			if s.objects[i].Kind != r.kind {
				continue
			}
			for _, n := range nodes(tree, node{}) {
				if n.field != r.root() {
					continue
				}
				found = true
				o, _ := admitted(with(tree, n.steps, func(any) (any, bool) { return nil, false }).(map[string]any))
				if r.refusals(s.changed(t, i, o)) < r.refusals(s.base) {
					return
				}
			}
		}
	}
	if !found {
		t.Errorf("%s %s is refused, says docs/fields.md, and no scenario has it", r.kind, r.pattern)
		return
	}
	t.Errorf("%s %s: no scenario shows %q (what works now needs a row for each of its fields)", r.kind, r.pattern, r.cell)
}

// refusals counts what the row promises in an outcome: conditions, or errors if it names none.
func (r *row) refusals(out outcome) (n int) {
	m := condition.FindStringSubmatch(r.cell)
	if m == nil {
		for line := range strings.Lines(out.problems) {
			if !strings.HasPrefix(line, ": warning") && !strings.HasPrefix(line, ": ignored") {
				n++
			}
		}
		return n
	}
	for line := range strings.Lines(out.statuses) {
		_, text, _ := strings.Cut(line, ": ")
		var tree any
		if err := json.Unmarshal([]byte(text), &tree); err != nil {
			panic(err)
		}
		for _, at := range nodes(tree, node{}) {
			if c, ok := atNode(tree, at).(map[string]any); ok && c["type"] == m[1] && c["status"] == m[2] && c["reason"] == m[3] {
				n++
			}
		}
	}
	return n
}

func atNode(tree any, n node) any {
	if len(n.steps) == 0 {
		return tree
	}
	return at(tree, n.steps)
}

// hasTest says whether a test of that name is somewhere in the module.
func hasTest(t *testing.T, name string) bool {
	t.Helper()
	for _, pattern := range []string{"../../*/*_test.go", "../../*/*/*_test.go"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			text, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(string(text), "func "+name+"(") {
				return true
			}
		}
	}
	return false
}
