// The Gateway API module's own examples: the valid ones are admitted, the invalid ones refused.

package config

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// gatewayAPIDir is where the pinned gateway-api module is.
func gatewayAPIDir(t testing.TB) string {
	t.Helper()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "sigs.k8s.io/gateway-api").Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

// eachDocument calls f for every document of every YAML file below a directory.
func eachDocument(t *testing.T, dir string, f func(name string, text []byte)) {
	t.Helper()
	count := 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !configName(path) {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		for _, c := range split(data) {
			f(rel, c.text)
			count++
		}
		return err
	})
	if err != nil || count == 0 {
		t.Fatal(count, "documents", err)
	}
}

// TestUpstreamExamplesAreAdmitted: every object of the module's examples is in the Set, and nothing is wrong with any.
func TestUpstreamExamplesAreAdmitted(t *testing.T) {
	eachDocument(t, filepath.Join(gatewayAPIDir(t), "examples"), func(name string, text []byte) {
		objects, problems := Parse(name, text)
		for _, p := range problems {
			if p.Severity == 0 {
				t.Error(p)
			}
		}
		if len(objects) != 1 {
			t.Errorf("%s: %d objects in\n%s", name, len(objects), text)
		}
	})
}

// TestUpstreamInvalidExamplesAreRefused: no object of the module's invalid examples is admitted, and every refusal has a
// position.
func TestUpstreamInvalidExamplesAreRefused(t *testing.T) {
	eachDocument(t, filepath.Join(gatewayAPIDir(t), "hack", "invalid-examples"), func(name string, text []byte) {
		objects, problems := Parse(name, text)
		if len(objects) != 0 || len(problems) == 0 {
			t.Errorf("%s is admitted:\n%s", name, text)
		}
		for _, p := range problems {
			if p.Position.Line == 0 || p.Position.Column == 0 || p.Message == "" || p.Object.Name == "" {
				t.Errorf("a message without a place: %s", p)
			}
			t.Log(p)
		}
	})
}
