// What every source file must look like: it says what it is for, stays short enough to be read, and speaks of the project alone.

package policy

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Bounds on what a reader has to hold in mind at once.
const (
	maxFileLines     = 500
	maxFunctionLines = 60
	tinyFile         = 10 // lines that explain themselves, such as a constant behind a build constraint
)

// source is one parsed Go file of the module.
type source struct {
	path string // relative to the module's root, with slashes
	dir  string // its package's directory, "." for the root
	test bool
	text string
	set  *token.FileSet
	tree *ast.File
}

// imports returns the import paths of the file.
func (s *source) imports() []string {
	var paths []string
	for _, spec := range s.tree.Imports {
		paths = append(paths, strings.Trim(spec.Path.Value, `"`))
	}
	return paths
}

// sources parses every Go file of the module that was written by hand; nested modules have rules of their own.
func sources(t *testing.T) []*source {
	t.Helper()
	root := filepath.Join("..", "..")
	var list []*source
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			name := d.Name()
			_, nested := os.Stat(filepath.Join(path, "go.mod"))
			if name == "testdata" || name == "bin" || strings.HasPrefix(name, ".") && name != ".." || path != root && nested == nil {
				return filepath.SkipDir
			}
			return nil
		}
		if filepath.Ext(path) != ".go" {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		set := token.NewFileSet()
		tree, err := parser.ParseFile(set, path, text, parser.ParseComments)
		if err != nil {
			return err
		}
		if ast.IsGenerated(tree) {
			return nil
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		list = append(list, &source{
			path: rel,
			dir:  filepath.ToSlash(filepath.Dir(rel)),
			test: strings.HasSuffix(rel, "_test.go"),
			text: string(text), set: set, tree: tree,
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(list) < 10 {
		t.Fatalf("found only %d files: is this the module's root?", len(list))
	}
	return list
}

func TestFilesSayWhatTheyAreFor(t *testing.T) {
	for _, f := range sources(t) {
		opening := false
		for _, group := range f.tree.Comments {
			directive := strings.HasPrefix(group.List[0].Text, "//go:") && len(group.List) == 1
			if group.Pos() < f.tree.Package && !directive {
				opening = true
			}
		}
		if !opening && strings.Count(f.text, "\n") > tinyFile {
			t.Errorf("%s: opens without a comment that says what it is for", f.path)
		}
	}
}

func TestFilesAreShort(t *testing.T) {
	for _, f := range sources(t) {
		if lines := strings.Count(f.text, "\n"); lines > maxFileLines && !f.test {
			t.Errorf("%s: %d lines, more than %d", f.path, lines, maxFileLines)
		}
	}
}

func TestFunctionsAreShort(t *testing.T) {
	for _, f := range sources(t) {
		if f.test {
			continue
		}
		for _, decl := range f.tree.Decls {
			fn, ok := decl.(*ast.FuncDecl)
			if !ok {
				continue
			}
			first, last := f.set.Position(fn.Pos()).Line, f.set.Position(fn.End()).Line
			if lines := last - first + 1; lines > maxFunctionLines {
				t.Errorf("%s:%d: %s has %d lines, more than %d", f.path, first, fn.Name.Name, lines, maxFunctionLines)
			}
		}
	}
}

// unfinished matches marks of work that was put off, which belong in the tracker.
var unfinished = regexp.MustCompile(`\b(TODO` + `|FIXME` + `|XXX` + `)\b`)

func TestNothingIsPutOff(t *testing.T) {
	for _, f := range sources(t) {
		for i, line := range strings.Split(f.text, "\n") {
			if unfinished.MatchString(line) && f.dir != "internal/policy" {
				t.Errorf("%s:%d: %s", f.path, i+1, strings.TrimSpace(line))
			}
		}
	}
}

// vague are package names that say nothing of what is inside.
var vague = []string{"util", "utils", "helper", "helpers", "common", "misc", "shared"}

func TestPackagesHaveNamesThatSaySomething(t *testing.T) {
	for _, f := range sources(t) {
		for _, name := range vague {
			if f.tree.Name.Name == name {
				t.Errorf("%s: package %s says nothing of what it is for", f.path, name)
			}
		}
	}
}
