// A disk that is full: nothing that is served needs it, one line says so, and what is kept for the next start is written once there is room.

package cli

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestToolsFullDisk(t *testing.T) {
	if os.Getenv("WICKETGATE_TEST_TOOLS") == "" {
		t.Skip("it mounts a file system: make test-all")
	}
	disk := t.TempDir()
	if err := unix.Mount("tmpfs", disk, "tmpfs", 0, "size=256k"); err != nil {
		t.Fatal("this test makes a small disk, and needs to be root: ", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(disk, unix.MNT_DETACH) })
	filler := filepath.Join(disk, "filler")
	if err := os.WriteFile(filler, make([]byte, 1<<20), 0o600); err == nil {
		t.Fatal("the disk is not full")
	}

	port, backend := freePort(t), newBackend(t, saying("app"))
	g := startGate(t, map[string]string{
		"gateway.yaml": gatewayYAML(port), "app.yaml": routeYAML("app", "/", backend),
	}, "--state-dir", filepath.Join(disk, "state"), "--access-log", filepath.Join(disk, "access.log"))
	serves := func(path, want string) {
		t.Helper()
		if code, body := fetch(t, client, at(port, path)); code != http.StatusOK || body != want {
			t.Errorf("%s: %d %q, want %q", path, code, body, want)
		}
	}
	counts := func(sample string) bool {
		_, text := g.ask(http.MethodGet, "/metrics")
		return strings.Contains(text, "\n"+sample)
	}
	serves("/", "app")
	g.edit(map[string]string{"more.yaml": routeYAML("more", "/more", newBackend(t, saying("more")))})
	serves("/more", "more")
	g.logs("no space left on device")
	eventually(t, "the metric counts a failure", func() bool { return !counts("wicketgate_state_write_failures_total 0\n") })
	eventually(t, "lines of the access log are counted as lost", func() bool {
		serves("/", "app")
		return !counts("wicketgate_access_log_dropped_total 0\n")
	})

	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	g.edit(map[string]string{"late.yaml": routeYAML("late", "/late", newBackend(t, saying("late")))})
	serves("/late", "late")
	eventually(t, "the access log goes on", func() bool {
		serves("/late", "late")
		text, err := os.ReadFile(filepath.Join(disk, "access.log"))
		return err == nil && strings.Contains(string(text), "/late")
	})
	// What was kept is there after a restart, although the file is broken by then.
	g.signal(unix.SIGTERM)
	if code := g.exit(); code != 0 {
		t.Fatalf("exit status %d", code)
	}
	g.put(map[string]string{"late.yaml": "spec: ["})
	g.start()
	serves("/late", "late")
}
