// The real program over a restart: what was in force before is what is in force after.

package cli

import (
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
)

// kept reads everything in a state directory.
func kept(t *testing.T, dir string) string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "admitted", "*"))
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		all.Write(text)
	}
	return all.String()
}

func TestABrokenFileKeepsServingOverARestart(t *testing.T) {
	port, one, two := freePort(t), newBackend(t, saying("one")), newBackend(t, saying("two"))
	dir := t.TempDir()
	g := startGate(t, map[string]string{"gateway.yaml": gatewayYAML(port), "one.yaml": routeYAML("one", "/one", one), "two.yaml": routeYAML("two", "/two", two)},
		"--state-dir", dir)
	served := func(path, want string) {
		t.Helper()
		if code, body := fetch(t, client, at(port, path)); code != http.StatusOK || body != want {
			t.Errorf("%s: %d %q, want %q", path, code, body, want)
		}
	}
	// The end writes what is in force; a process that is killed has written it a moment after each load.
	g.edit(map[string]string{"one.yaml": "a: \"never closed\n"})
	g.signal(syscall.SIGTERM)
	if code := g.exit(); code != 0 {
		t.Fatalf("exit status %d", code)
	}
	g.put(map[string]string{"two.yaml": strings.Replace(routeYAML("two", "/two", two), "backendRefs", "backends", 1)})
	for _, end := range []syscall.Signal{syscall.SIGKILL, syscall.SIGTERM} {
		g.start()
		served("/one", "one")
		served("/two", "two")
		if code, _ := fetch(t, client, at(port, "/three")); code != http.StatusNotFound {
			t.Errorf("/three: %d", code)
		}
		if r := g.reload("GET /reload"); r.Errors != 2 {
			t.Errorf("problems: %q", r.Problems)
		}
		g.signal(end)
		g.exit()
	}
	// A directory that is not there, perhaps because it is mounted late, is served from what is known of it.
	if err := os.Rename(g.dir, g.dir+".away"); err != nil {
		t.Fatal(err)
	}
	g.start()
	served("/one", "one")
	if err := os.Rename(g.dir+".away", g.dir); err != nil {
		t.Fatal(err)
	}
	g.edit(map[string]string{"one.yaml": routeYAML("one", "/new", one), "two.yaml": ""})
	served("/new", "one")
	if code, _ := fetch(t, client, at(port, "/two")); code != http.StatusNotFound {
		t.Errorf("a deleted route: %d", code)
	}
	eventually(t, "what is in force is kept while the program runs", func() bool {
		text := kept(t, dir)
		return strings.Contains(text, `"/new"`) && !strings.Contains(text, `"two"`)
	})
}

func TestAGatewayWithoutAStateDirectoryServes(t *testing.T) {
	port, one := freePort(t), newBackend(t, saying("one"))
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	g := startGate(t, map[string]string{"gateway.yaml": gatewayYAML(port), "one.yaml": routeYAML("one", "/", one)}, "--state-dir", filepath.Join(file, "state"))
	if code, body := fetch(t, client, at(port, "/")); code != http.StatusOK || body != "one" {
		t.Errorf("%d %q", code, body)
	}
	g.logs("there is no state directory")
}

func TestTwoGatewaysShareAStateDirectory(t *testing.T) {
	dir, backend := t.TempDir(), newBackend(t, saying("one"))
	var ports [2]int
	var gates [2]*gate
	for i := range gates {
		ports[i] = freePort(t)
		gates[i] = startGate(t, map[string]string{"gateway.yaml": gatewayYAML(ports[i]), "one.yaml": routeYAML("one", "/", backend)}, "--state-dir", dir)
	}
	for _, g := range gates {
		g.edit(map[string]string{"one.yaml": "a: \"never closed\n"})
		g.signal(syscall.SIGTERM)
		g.exit()
	}
	for i, g := range gates {
		g.start()
		if code, body := fetch(t, client, at(ports[i], "/")); code != http.StatusOK || body != "one" {
			t.Errorf("gateway %d: %d %q", i, code, body)
		}
	}
}

func TestTheStateDirectoryIsItsOwnersAlone(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("modes are Unix's")
	}
	dir := filepath.Join(t.TempDir(), "state")
	g := startGate(t, map[string]string{"gateway.yaml": gatewayYAML(freePort(t))}, "--state-dir", dir)
	g.signal(syscall.SIGTERM)
	g.exit()
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %o", path, info.Mode().Perm())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
