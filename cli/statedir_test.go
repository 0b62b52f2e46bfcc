// Which directory is the state directory.

package cli

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

func TestDefaultStateDirs(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("the paths are Unix's")
	}
	at := func(dir string) func() (string, error) { return func() (string, error) { return dir, nil } }
	homeless := func() (string, error) { return "", errors.New("$HOME is not defined") }
	for name, c := range map[string]struct {
		env  map[string]string
		home func() (string, error)
		want []string
	}{
		"systemd first":            {map[string]string{"STATE_DIRECTORY": "/var/lib/wg:/var/lib/other"}, at("/root"), []string{"/var/lib/wg", "/root/.local/state/wicketgate"}},
		"XDG":                      {map[string]string{"XDG_STATE_HOME": "/xdg"}, at("/root"), []string{"/xdg/wicketgate"}},
		"a relative XDG directory": {map[string]string{"XDG_STATE_HOME": "xdg"}, at("/root"), []string{"/root/.local/state/wicketgate"}},
		"no home":                  {nil, homeless, nil},
	} {
		if got := defaultStateDirs(func(k string) string { return c.env[k] }, c.home); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func TestStateDirIsMadeForItsOwnerAlone(t *testing.T) {
	var out bytes.Buffer
	log := slog.New(slog.NewTextHandler(&out, nil))
	want := filepath.Join(t.TempDir(), "a", "state")
	if got := stateDir(want, log); got != want {
		t.Fatalf("got %q, want %q", got, want)
	}
	info, err := os.Stat(want)
	if err != nil {
		t.Fatal(err)
	}
	if mode := info.Mode().Perm(); runtime.GOOS != "windows" && mode != 0o700 {
		t.Errorf("mode %o", mode)
	}
	if left, err := os.ReadDir(want); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	t.Setenv("STATE_DIRECTORY", filepath.Join(want, "of-systemd"))
	if got := stateDir("", log); got != filepath.Join(want, "of-systemd") {
		t.Errorf("without the flag: %q", got)
	}
	if got := stateDir(noStateDir, log); got != "" || out.Len() > 0 {
		t.Errorf("asked for none: %q, %s", got, out.String())
	}
}

func TestWithoutAUsableStateDirThereIsAWarning(t *testing.T) {
	var out bytes.Buffer
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("STATE_DIRECTORY", t.TempDir()) // would be usable, but the flag names another
	if got := stateDir(filepath.Join(file, "state"), slog.New(slog.NewTextHandler(&out, nil))); got != "" {
		t.Errorf("got %q", got)
	}
	if n := strings.Count(out.String(), "no state directory"); n != 1 {
		t.Errorf("%d warnings: %s", n, out.String())
	}
}
