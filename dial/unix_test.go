// Unix sockets: only those below the directory.

package dial

import (
	"net"
	"os"
	"path/filepath"
	"testing"
)

func TestUnixSocketsAreDialledBelowTheDirectoryAlone(t *testing.T) {
	base := t.TempDir()
	listen := func(path string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		l, err := net.Listen("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
	}
	link := func(from, to string) {
		t.Helper()
		if err := os.Symlink(to, from); err != nil {
			t.Skip(err)
		}
	}
	dir := filepath.Join(base, "allowed")
	listen(filepath.Join(dir, "app.sock"))
	listen(filepath.Join(dir, "deep", "app.sock"))
	listen(filepath.Join(base, "docker.sock"))
	listen(filepath.Join(base, "allowed-not", "x.sock"))
	link(filepath.Join(dir, "out.sock"), filepath.Join(base, "docker.sock"))
	link(filepath.Join(dir, "in.sock"), filepath.Join(dir, "app.sock"))
	link(filepath.Join(dir, "up"), base)
	link(filepath.Join(base, "linked"), dir)
	for _, c := range []struct {
		dir, path string
		want      bool
	}{
		{dir, filepath.Join(dir, "app.sock"), true},
		{dir + "/", filepath.Join(dir, "deep", "app.sock"), true},
		{dir, filepath.Join(dir, "in.sock"), true},
		{filepath.Join(base, "linked"), filepath.Join(base, "linked", "app.sock"), true},
		{filepath.Join(base, "linked"), filepath.Join(dir, "app.sock"), true},
		{dir, filepath.Join(dir, "out.sock"), false},
		{dir, filepath.Join(dir, "up", "docker.sock"), false},
		{dir, dir + "/../docker.sock", false},
		{dir, filepath.Join(base, "docker.sock"), false},
		{dir, filepath.Join(base, "allowed-not", "x.sock"), false},
		{dir, filepath.Join(dir, "none.sock"), false},
		{filepath.Join(base, "none"), filepath.Join(dir, "app.sock"), false},
		{"", filepath.Join(dir, "app.sock"), false},
	} {
		d := &UnixDialer{Dir: c.dir}
		conn, err := d.Dial(t.Context(), c.path)
		if (err == nil) != c.want {
			t.Errorf("%s below %q: %v", c.path, c.dir, err)
		}
		if err == nil {
			conn.Close()
		}
	}
}
