// What the documents say of flags and files is compared with what is there.

package policy

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	flagName = regexp.MustCompile("`--([a-z][a-z0-9-]*[a-z0-9])")
	link     = regexp.MustCompile(`\]\(([^)#]+)[^)]*\)`)
)

// documents are the Markdown files that people read, relative to the module's root.
func documents(t *testing.T) []string {
	t.Helper()
	root := filepath.Join("..", "..")
	var list []string
	for _, pattern := range []string{"*.md", "docs/*.md", "examples/*.md", "examples/*/*.md"} {
		paths, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, paths...)
	}
	if len(list) < 8 {
		t.Fatalf("found only %d documents", len(list))
	}
	return list
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestDocumentedFlagsExist(t *testing.T) {
	var code strings.Builder
	for _, f := range sources(t) {
		if f.dir == "cli" && !f.test {
			code.WriteString(f.text)
		}
	}
	for _, path := range documents(t) {
		for _, m := range flagName.FindAllStringSubmatch(read(t, path), -1) {
			if m[1] != "help" && !strings.Contains(code.String(), `"`+m[1]+`"`) {
				t.Errorf("%s speaks of --%s, and no command has it", path, m[1])
			}
		}
	}
}

func TestLinksBetweenDocumentsLead(t *testing.T) {
	for _, path := range documents(t) {
		for _, m := range link.FindAllStringSubmatch(read(t, path), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			if _, err := os.Stat(filepath.Join(filepath.Dir(path), filepath.FromSlash(m[1]))); err != nil {
				t.Errorf("%s: link to %s: %v", path, m[1], err)
			}
		}
	}
}

// A merge that was not finished leaves its markers.
func TestDocumentsHaveNoMarkersOfMerges(t *testing.T) {
	marker := regexp.MustCompile(`(?m)^(<{7} |={7}$|>{7} )`)
	for _, path := range documents(t) {
		text := read(t, path)
		if at := marker.FindStringIndex(text); at != nil {
			t.Errorf("%s:%d: a merge was not finished", path, 1+strings.Count(text[:at[0]], "\n"))
		}
	}
}
