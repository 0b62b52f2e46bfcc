// Tests of reading documents: splitting, positions, dangerous YAML, and that values and positions have one shape.

package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/quick"
)

func TestSplit(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       []string // line: text
	}{
		{"one document", "a: 1\n", []string{"0: a: 1\n"}},
		{"markers", "a: 1\n---\nb: 2\n---\n", []string{"0: a: 1\n", "1: ---\nb: 2\n"}},
		{"comments are no document", "# a\n---\n# b\n\n--- # c\nx: 1\n", []string{"4: --- # c\nx: 1\n"}},
		{"content beside the marker", "--- {a: 1}\n--- {b: 2}", []string{"0: --- {a: 1}\n", "1: --- {b: 2}"}},
		{"an end marker", "a: 1\n...\nb: 2\n...\n", []string{"0: a: 1\n...\n", "2: b: 2\n...\n"}},
		{"directives belong to the next document", "a: 1\n...\n%YAML 1.1\n---\nb: 2\n", []string{"0: a: 1\n...\n", "2: %YAML 1.1\n---\nb: 2\n"}},
		{"dashes that are no marker", "a: |\n  ---\n---x: 1\n----\n", []string{"0: a: |\n  ---\n---x: 1\n----\n"}},
		{"CRLF", "a: 1\r\n---\r\nb: 2\r\n", []string{"0: a: 1\r\n", "1: ---\r\nb: 2\r\n"}},
		{"byte order mark", "\ufeffa: 1\n", []string{"0: a: 1\n"}},
		{"nothing", "", nil},
		{"JSON objects", "{\"a\": 1}\n{\n\"b\": 2}\n", []string{"0: {\"a\": 1}", "1: {\n\"b\": 2}"}},
		{"YAML flow style", "{a: 1}\n", []string{"0: {a: 1}\n"}},
		{"JSON escapes", `{"a": "\/\ud83d\ude00\ud83d\u00e9\\ud83d\"\udead"}`, []string{`0: {"a": "/😀` + "\ufffd" + `\u00e9\\ud83d\"` + "\ufffd" + `"}`}},
	} {
		var got []string
		for _, c := range split([]byte(c.text)) {
			got = append(got, fmt.Sprintf("%d: %s", c.line, c.text))
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

// TestLocate walks paths as messages write them.
func TestLocate(t *testing.T) {
	text := `
metadata:
  labels: {app.kubernetes.io/name: x, "b": y}
spec:
  rules:
  - matches:
    - path: /
    - &m
      path: /b
  - matches: [*m]
    on: true
  <<: {merged: {deep: 1}}
`
	d, err := readDocument(chunk{text: []byte(text), line: 10}, defaultLimits)
	if err != nil {
		t.Fatal(err)
	}
	l := &locator{file: "a.yaml", tree: d.tree}
	for path, want := range map[string]string{
		"":                              "a.yaml:12:1",
		"metadata":                      "a.yaml:12:1",
		"metadata.labels.b":             "a.yaml:13:39",
		"metadata.name":                 "a.yaml:12:1", // the nearest there is
		"spec.rules":                    "a.yaml:15:3",
		"spec.rules[0].matches[1]":      "a.yaml:18:7",
		"spec.rules[0].matches[1].xyz":  "a.yaml:18:7",
		"spec.rules[1].matches[0].path": "a.yaml:19:7",
		"spec.rules[1].true":            "a.yaml:21:5",
		"spec.rules[7].true":            "a.yaml:15:3",
		"spec.merged.deep":              "a.yaml:22:17",
		"spec.rules[x":                  "a.yaml:15:3",
		"metadata.labels[app.kubernetes.io/name]": "a.yaml:13:12",
		"metadata.labels.app.kubernetes.io/name":  "a.yaml:13:12",
		".spec.rules[-1]":                         "a.yaml:15:3",
		"..[":                                     "a.yaml:12:1",
	} {
		if got := l.Locate(path).String(); got != want {
			t.Errorf("%q: %s, want %s", path, got, want)
		}
	}
	if err := quick.Check(func(path string) bool { return l.Locate(path).Line > 0 }, nil); err != nil {
		t.Error(err)
	}
}

// TestDangerousDocuments are refused with a reason, and quickly.
func TestDangerousDocuments(t *testing.T) {
	var bomb strings.Builder
	bomb.WriteString("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n")
	for i := 1; i < 12; i++ {
		fmt.Fprintf(&bomb, "a%d: &a%d [%s]\n", i, i, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d,", i-1), 10), ","))
	}
	merges := strings.Builder{}
	merges.WriteString("a0: &a0 {k: 1}\n")
	for i := 1; i < 40; i++ {
		fmt.Fprintf(&merges, "a%d: &a%d {x%d: 1, l: *a%d, r: *a%d, <<: *a%d}\n", i, i, i, i-1, i-1, i-1)
	}
	for _, c := range []struct{ name, text, want string }{
		{"aliases of aliases", bomb.String(), "expand to more than"},
		{"merges of merges", merges.String(), "expand to more than"},
		{"a long text many times", "a: &a " + strings.Repeat("x", 1<<20) + "\nb: [" + strings.Repeat("*a,", 100) + "]", "expand to more than"},
		{"an anchor in itself", "a: &a [*a]", "contains itself"},
		{"an anchor in itself, merged", "a: &a {<<: *a}", "contains itself"},
		{"depth in flow style", strings.Repeat("[", 9000) + strings.Repeat("]", 9000), "levels of values"},
		{"more depth than the parser allows", strings.Repeat("[", 1<<20), "max depth"},
		{"depth in block style", strings.Repeat("- ", 5000), "levels of values"},
		{"depth by aliases", deepAliases(), "levels of values"},
		{"a key twice", "a: 1\nb:\n  c: 1\n  c: 2", `4:3: key "c" is given twice: first on line 3`},
		{"a key twice, spelt otherwise", "on: 1\ntrue: 2", "given twice"},
		{"a key with a tag", "!!int 5: 1", "cannot have a tag"},
		{"a key with a hidden tag", "! 05: 1", "cannot be a key"},
		{"a null key", "~: 1", "cannot be a key"},
		{"a mapping as a key", "{a: b}: 1", "must be a single word"},
		{"a merge of a text", "<<: x", "takes a mapping"},
		{"two documents", "a\n--- b\n", "more than one document"},
		{"not a number", "a: .nan", "1:4: not a number"},
		{"binary", "a: \x00", "control characters"},
		{"not UTF-8", "a: \xff\xfe", "UTF-8"},
	} {
		_, err := readDocument(chunk{text: []byte(c.text)}, defaultLimits)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

// deepAliases nests ten levels fifteen times by aliases.
func deepAliases() string {
	var b strings.Builder
	inner := "x"
	for i := range 15 {
		fmt.Fprintf(&b, "- &a%d %s%s%s\n", i, strings.Repeat("[", 10), inner, strings.Repeat("]", 10))
		inner = fmt.Sprintf("*a%d", i)
	}
	return b.String()
}

func TestValuesAreWhatKubectlReads(t *testing.T) {
	d, err := readDocument(chunk{text: []byte("a: yes\nb: 0o17\nc: 017\nd: 1e3\ne: 9007199254740993\nf: 2026-01-31\ng: ~\nh: 1.0\ni: '5'\nj: 1_000\nk: 12:30\nl: !!str 5\n")}, defaultLimits)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"a": true, "b": int64(15), "c": int64(15), "d": int64(1000), "e": int64(9007199254740993), "f": "2026-01-31", "g": nil, "h": int64(1), "i": "5",
		"j": int64(1000), "k": "12:30", "l": "5",
	}
	got := d.value.(map[string]any)
	for k, w := range want {
		if got[k] != w {
			t.Errorf("%s: %T %v, want %T %v", k, got[k], got[k], w, w)
		}
	}
}

// sameShape compares a decoded value with the places of its document.
func sameShape(v any, tree places, i int, path string) error {
	switch v := v.(type) {
	case map[string]any:
		if tree[i].list || int(tree[i].count) != len(v) {
			return fmt.Errorf("%s: keys %q, and places for %d", path, slices.Sorted(maps.Keys(v)), tree[i].count)
		}
		for k, child := range v {
			at := tree.child(i, k)
			if at < 0 {
				return fmt.Errorf("%s: no place for key %q", path, k)
			}
			if err := sameShape(child, tree, at, path+"."+k); err != nil {
				return err
			}
		}
	case []any:
		if len(v) > 0 && !tree[i].list || int(tree[i].count) != len(v) {
			return fmt.Errorf("%s: %d items, and %d places", path, len(v), tree[i].count)
		}
		for n, child := range v {
			if err := sameShape(child, tree, tree.item(i, n), fmt.Sprintf("%s[%d]", path, n)); err != nil {
				return err
			}
		}
	default:
		if tree[i].count != 0 {
			return fmt.Errorf("%s: a plain value with %d places in it", path, tree[i].count)
		}
	}
	return nil
}

// FuzzDocument: whatever the text, nothing panics, and values and places have the same shape.
func FuzzDocument(f *testing.F) {
	for _, seed := range []string{
		route("a", "/"), brokenText, "a: &a {b: 1}\nc: {<<: *a, b: 2}\n", "on: [y, ~]\n0x10: a\n1.5: b\n", "{\"a\": \"\\ud83d\\ude00\"}",
		"? a\n: b\n", "- - a\n  - b\n-\n", "a: !!binary aGk=\n", "&a a: *a", "!!str 5: x", "a: |\n  x\n   y\n", "%YAML 1.1\n--- a", "<<: [{a: 1}, {a: 2, b: 3}]",
		"a: 1\n<<: {a: 2}", "{a, b: }", "[a: b]", "\"<<\": {a: 1}", "a: *a", "2001-01-01: x", "1_0: a\n10: b",
	} {
		f.Add([]byte(seed))
	}
	lim := defaultLimits
	lim.aliasValues, lim.aliasBytes = 1000, 10_000
	f.Fuzz(func(t *testing.T, text []byte) {
		for _, c := range split(text) {
			d, err := readDocument(c, lim)
			if err != nil || len(d.tree) == 0 {
				continue
			}
			if err := sameShape(d.value, d.tree, 0, ""); err != nil {
				t.Errorf("%v\n%s", err, c.text)
			}
		}
	})
}

// FuzzParse: whatever a file holds, admission ends, and every message has the file's name and, unless there is nothing, a line.
func FuzzParse(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte(route("a", "/")))
	f.Add([]byte("kind: List\napiVersion: v1\nitems: [{kind: Service, apiVersion: v1, metadata: {name: x}, spec: {ports: [{port: 5}]}}]"))
	f.Add([]byte("kind: Secret\napiVersion: v1\nmetadata: {name: x}\ndata: {a: 5}\nstringData: {a: ~}"))
	f.Add([]byte("kind: EndpointSlice\napiVersion: discovery.k8s.io/v1\nmetadata: {name: x}\naddressType: IPv4\nendpoints: [~]\nports: [~]"))
	f.Add([]byte("kind: Gateway\napiVersion: gateway.networking.k8s.io/v1\nmetadata: {name: x}\nspec: {listeners: [~], gatewayClassName: ~}\nstatus: []"))
	f.Fuzz(func(t *testing.T, text []byte) {
		objects, problems := Parse("x.yaml", text)
		for _, p := range problems {
			if p.Position.File != "x.yaml" || p.Position.Line == 0 && len(text) > 0 || p.Message == "" || strings.Contains(p.Message, "admission failed") {
				t.Errorf("%+v\n%s", p, text)
			}
		}
		for _, o := range objects {
			if o.Value == nil || o.Content == nil || o.Name == "" {
				t.Errorf("%+v", o)
			}
		}
	})
}
