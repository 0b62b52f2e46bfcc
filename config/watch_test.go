// Tests of the watch on real directories.

package config

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/wicketgate/wicketgate/internal/patient"
)

// watched is a directory tree, and the signals about a root in it.
type watched struct {
	t       *testing.T
	dir     string
	signals <-chan struct{}
}

func newWatched(t *testing.T, prepare func(dir string), roots ...string) *watched {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	prepare(dir)
	var rs []Root
	for _, r := range roots {
		rs = append(rs, Root{Path: filepath.Join(dir, r)})
	}
	signals, err := New(Options{Roots: rs}).Watch(t.Context(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return &watched{t: t, dir: dir, signals: signals}
}

// expect waits for a signal after a change.
func (w *watched) expect(what string, change func() error) {
	w.t.Helper()
	if err := change(); err != nil {
		w.t.Fatal(err)
	}
	select {
	case <-w.signals:
	case <-time.After(patient.Limit):
		w.t.Fatalf("no signal: %s", what)
	}
	w.quiet()
}

// quiet drains the signals of one change: late events may bring another one.
func (w *watched) quiet() {
	for {
		select {
		case <-w.signals:
		case <-time.After(2 * defaultDebouncing.limit):
			return
		}
	}
}

func (w *watched) path(elem string) string { return filepath.Join(w.dir, elem) }

func (w *watched) put(name, content string) func() error {
	return func() error { return os.WriteFile(w.path(name), []byte(content), 0o644) }
}

func (w *watched) rename(from, to string) func() error {
	return func() error { return os.Rename(w.path(from), w.path(to)) }
}

func TestWatchNoticesEveryKindOfChange(t *testing.T) {
	t.Parallel()
	w := newWatched(t, func(dir string) { write(t, filepath.Join(dir, "conf", "sub", "a.yaml"), "a") }, "conf")
	w.expect("an edit in place", w.put("conf/sub/a.yaml", "b"))
	w.expect("a new file", w.put("conf/b.yaml", "b"))
	w.expect("an atomic save", func() error {
		if err := w.put("conf/.b.yaml.tmp", "c")(); err != nil {
			return err
		}
		return w.rename("conf/.b.yaml.tmp", "conf/b.yaml")()
	})
	w.expect("a deleted file", func() error { return os.Remove(w.path("conf/b.yaml")) })
	w.expect("a new directory with a file in it", func() error {
		if err := os.MkdirAll(w.path("conf/new/deep"), 0o755); err != nil {
			return err
		}
		return w.put("conf/new/deep/x.yaml", "x")()
	})
	w.expect("an edit in the new directory", w.put("conf/new/deep/x.yaml", "y"))
	w.expect("a directory that is moved away", w.rename("conf/new", "gone"))
	w.expect("a directory that is moved in", w.rename("gone", "conf/back"))
	w.expect("an edit in it", w.put("conf/back/deep/x.yaml", "z"))
}

func TestWatchFollowsADirectoryMadeAnewUnderItsName(t *testing.T) {
	t.Parallel()
	w := newWatched(t, func(dir string) { write(t, filepath.Join(dir, "conf", "sub", "deep", "a.yaml"), "a") }, "conf")
	// Several file systems give the new directory the number of the one before. Some rounds, because not each of them does it always.
	for range 3 {
		w.expect("a directory removed and made anew", func() error {
			if err := os.RemoveAll(w.path("conf/sub")); err != nil {
				return err
			}
			if err := os.MkdirAll(w.path("conf/sub/deep"), 0o755); err != nil {
				return err
			}
			return w.put("conf/sub/deep/a.yaml", "b")()
		})
		w.expect("an edit in it", w.put("conf/sub/deep/a.yaml", "c"))
	}
}

func TestWatchFollowsARootThatComesAndGoes(t *testing.T) {
	t.Parallel()
	w := newWatched(t, func(dir string) { write(t, filepath.Join(dir, "a", "conf", "x.yaml"), "a") }, "a/conf", "later/conf")
	w.expect("the root is swapped by mv", func() error {
		write(t, w.path("a/conf.new/x.yaml"), "b")
		if err := w.rename("a/conf", "a/conf.old")(); err != nil {
			return err
		}
		return w.rename("a/conf.new", "a/conf")()
	})
	w.expect("an edit in the new root", w.put("a/conf/x.yaml", "c"))
	w.expect("the root is removed", func() error { return os.RemoveAll(w.path("a/conf")) })
	w.expect("the root is made again", func() error { return os.Mkdir(w.path("a/conf"), 0o755) })
	w.expect("an edit in it", w.put("a/conf/x.yaml", "d"))
	w.expect("a root that was never there", func() error { return os.MkdirAll(w.path("later/conf"), 0o755) })
	w.expect("an edit in that", w.put("later/conf/x.yaml", "d"))
}

func TestWatchFollowsSymlinks(t *testing.T) {
	t.Parallel()
	link := func(target, name string) error {
		if err := os.Symlink(target, name+".new"); err != nil {
			return err
		}
		return os.Rename(name+".new", name)
	}
	w := newWatched(t, func(dir string) {
		write(t, filepath.Join(dir, "conf", "..1", "a.yaml"), "a")
		write(t, filepath.Join(dir, "conf", "..2", "a.yaml"), "b")
		write(t, filepath.Join(dir, "shared", "s.yaml"), "a")
		for target, name := range map[string]string{
			"..1": "conf/..data", "..data/a.yaml": "conf/a.yaml", "../shared": "conf/shared", "conf": "current", "../shared/s.yaml": "conf/s.yaml",
		} {
			if err := link(target, filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
		}
		write(t, filepath.Join(dir, "other", "a.yaml"), "a")
	}, "current")
	w.expect("..data is swapped", func() error { return link("..2", w.path("conf/..data")) })
	w.expect("an edit in a linked directory", w.put("shared/s.yaml", "b"))
	w.expect("the root's link is turned", func() error { return link("other", w.path("current")) })
	w.expect("an edit where it leads now", w.put("other/a.yaml", "b"))
}

func TestWatchOfASingleFile(t *testing.T) {
	t.Parallel()
	w := newWatched(t, func(dir string) { write(t, filepath.Join(dir, "gw.yaml"), "a") }, "gw.yaml")
	w.expect("an edit", w.put("gw.yaml", "b"))
	w.expect("an atomic save", func() error {
		if err := w.put("tmp", "c")(); err != nil {
			return err
		}
		return w.rename("tmp", "gw.yaml")()
	})
	w.expect("an edit after it", w.put("gw.yaml", "d"))
}

func TestIsRelevant(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "notes.txt"), "")
	w := newWishes()
	w.names[dir], w.names["/parent"], w.names[dir+"/sub"], w.links[dir+"/link"] = nil, map[string]bool{"conf": true}, nil, true
	for name, want := range map[string]bool{
		dir: true, dir + "/a.yaml": true, dir + "/a.YML": true, dir + "/a.json": true, dir + "/..data": true, dir + "/gone.yaml": true,
		dir + "/gone": false, dir + "/sub": true, dir + "/link": true,
		dir + "/notes.txt": false, dir + "/.a.yaml.swp": false, "/parent/conf": true, "/parent/other.yaml": false, "/elsewhere/a.yaml": false,
	} {
		if got := w.isRelevant(name); got != want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// TestAnEditIsLoadedSoon shows the whole way from the last write to the new objects. It asserts no time, but logs it.
func TestAnEditIsLoadedSoon(t *testing.T) {
	d := newDirectory(t).write("a.yaml", route("a", "/1"))
	signals, err := d.loader.Watch(t.Context(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	d.loader.settle = defaultSettling
	d.load()
	start := time.Now()
	d.write("a.yaml", route("a", "/2"))
	for {
		<-signals
		r, err := d.loader.Update(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		if r.Objects.Get(key("a")).Meta.Generation == 2 {
			t.Log("loaded after", time.Since(start))
			return
		}
	}
}
