// Golden tests of admission: files in, objects and problems out.

package config

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"
	"sigs.k8s.io/yaml"
)

var update = flag.Bool("update", false, "rewrite what the files of testdata expect")

// TestAdmission loads the files of every archive of testdata/admit and compares what comes out with its sections "problems", "objects" and, where
// it has one, "content": the objects with all defaults.
func TestAdmission(t *testing.T) {
	archives, err := filepath.Glob("testdata/admit/*.txtar")
	if err != nil || len(archives) == 0 {
		t.Fatal("no archives", err)
	}
	for _, name := range archives {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(name)
			if err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			for _, f := range archive.Files {
				if f.Name != "problems" && f.Name != "objects" && f.Name != "content" {
					write(t, filepath.Join(dir, f.Name), string(f.Data))
				}
			}
			t.Chdir(dir)
			result, err := eager(Options{Roots: []Root{{Path: "."}}}).Load(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			got := rendered(t, result)
			t.Chdir(wd)
			changed := false
			for i, f := range archive.Files {
				want, ok := got[f.Name]
				if !ok || bytes.Equal(want, f.Data) {
					continue
				}
				changed = true
				archive.Files[i].Data = want
				if !*update {
					t.Errorf("%s:\n%s\nwant:\n%s", f.Name, want, f.Data)
				}
			}
			if changed && *update {
				if err := os.WriteFile(name, txtar.Format(archive), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// wd is where the test's own files are.
var wd = func() string {
	dir, err := os.Getwd()
	if err != nil {
		panic(err)
	}
	return dir
}()

// rendered is a Result as the sections of an archive.
func rendered(t *testing.T, r *Result) map[string][]byte {
	t.Helper()
	var problems, objects, content bytes.Buffer
	for _, p := range r.Problems {
		fmt.Fprintln(&problems, p)
	}
	for i, k := range r.Objects.Keys() {
		o := r.Objects.Get(k)
		fmt.Fprintf(&objects, "%s: %s %s generation %d\n", o.Position, o.Key, o.Version, o.Meta.Generation)
		text, err := yaml.Marshal(o.Content)
		if err != nil {
			t.Fatal(err)
		}
		if i > 0 {
			content.WriteString("---\n")
		}
		content.Write(text)
	}
	return map[string][]byte{"problems": problems.Bytes(), "objects": objects.Bytes(), "content": content.Bytes()}
}

// eager is a Loader that does not wait for files to settle.
func eager(o Options) *Loader {
	l := New(o)
	l.settle = settling{}
	return l
}

// write makes a file and the directories it needs.
func write(t testing.TB, name, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}
