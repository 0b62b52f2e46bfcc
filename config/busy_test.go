// A tree that is written to in every way that editors, version control and mounts know, while it is watched and loaded: once it is quiet, what is in force
// is what a process that starts then would load. Nothing polls.

package config

import (
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wicketgate/wicketgate/internal/patient"
)

// TestWhatIsInForceInTheEndIsWhatIsThere does a few rounds by seeds that are always the same, or, for as long as WICKETGATE_TEST_LOAD says ("5m"), rounds by
// seeds of chance.
func TestWhatIsInForceInTheEndIsWhatIsThere(t *testing.T) {
	var until time.Time
	var first uint64
	if text := os.Getenv("WICKETGATE_TEST_LOAD"); text != "" {
		period, err := time.ParseDuration(text)
		if err != nil {
			t.Fatal(err)
		}
		until, first = time.Now().Add(period), rand.Uint64()
	}
	for _, arrangement := range []string{"one root", "a confined root in another", "two roots", "a root by a link"} {
		seed := first
		first++
		t.Run(arrangement, func(t *testing.T) {
			t.Parallel()
			t.Log("seed", seed)
			b := newBusy(t, seed, arrangement)
			for round := 0; round < 5 || time.Now().Before(until); round++ {
				for range 1 + b.random.IntN(30) {
					b.change()
					if b.random.IntN(3) == 0 {
						time.Sleep(time.Duration(b.random.IntN(3000)) * time.Microsecond)
					}
				}
				b.expect(round, "changes")
				b.probe()
				b.expect(round, "a new file everywhere") // and so everything is watched
			}
		})
	}
}

// busy is a tree and who loads it.
type busy struct {
	t      *testing.T
	random *rand.Rand
	dir    string
	roots  []Root
	last   atomic.Pointer[Result]
	quiet  atomic.Bool // nothing is looked at but what was told of
	done   []string    // what was done since all was as it should be
	n      int
}

func newBusy(t *testing.T, seed uint64, arrangement string) *busy {
	t.Helper()
	base, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	b := &busy{t: t, random: rand.New(rand.NewPCG(seed, 5)), dir: filepath.Join(base, "conf")}
	b.roots = []Root{{Path: b.dir}}
	switch arrangement {
	case "a confined root in another":
		b.roots = append(b.roots, Root{Path: filepath.Join(b.dir, "b"), Namespaces: []string{"default"}})
	case "two roots":
		b.roots = append(b.roots, Root{Path: filepath.Join(base, "second")})
	case "a root by a link":
		if err := os.Symlink("conf", filepath.Join(base, "link")); err != nil {
			t.Skip(err)
		}
		b.roots = []Root{{Path: filepath.Join(base, "link")}}
	}
	write(t, filepath.Join(b.dir, "b", "0.yaml"), b.text())
	write(t, filepath.Join(base, "second", "0.yaml"), b.text())
	l := New(Options{Roots: b.roots})
	signals, err := l.Watch(t.Context(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Skip(err)
	}
	unsettled := l.Poll(t.Context(), 0)
	go func() {
		others := rand.New(rand.NewPCG(seed, 6))
		for t.Context().Err() == nil {
			select {
			case <-t.Context().Done():
				return
			case <-signals:
			case <-unsettled:
			case <-time.After(time.Duration(20+others.IntN(100)) * time.Millisecond): // somebody else asks for a run
			}
			load := l.Update
			if others.IntN(10) == 0 && !b.quiet.Load() {
				load = l.Load
			}
			if r, err := load(t.Context()); err == nil {
				b.last.Store(r)
			}
		}
	}()
	return b
}

// expect waits until what is in force is what is there.
func (b *busy) expect(round int, what string) {
	b.t.Helper()
	b.quiet.Store(true)
	defer b.quiet.Store(false)
	fresh := New(Options{Roots: b.roots})
	fresh.settle = settling{}
	r, err := fresh.Load(context.Background())
	if err != nil {
		b.t.Fatal(err)
	}
	describe := describeFiles
	if len(fresh.memory.lost) > 0 { // a link that leads nowhere: what was there before is in force
		describe = func(r *Result) string { return fmt.Sprint(r.Digest, r.Files) }
	}
	want := describe(r)
	for end := time.Now().Add(patient.Limit); ; time.Sleep(time.Millisecond) {
		got := ""
		if r := b.last.Load(); r != nil {
			got = describe(r)
		}
		if got == want {
			b.done = nil
			return
		}
		if time.Now().After(end) {
			b.t.Fatalf("round %d, after %s: in force\n%s\nthere\n%s\nwhat was done: %s", round, what, got, want, strings.Join(b.done, "; "))
		}
	}
}

// describeFiles leaves out what depends on what was there before.
func describeFiles(r *Result) string { return fmt.Sprint(r.Digest, r.Files, r.Objects.Keys()) }

// text is a file's new content.
func (b *busy) text() string {
	if b.n++; b.random.IntN(2) == 0 {
		return fmt.Sprintf("# %d\n", b.n)
	}
	return route(fmt.Sprintf("r%d", b.random.IntN(20)), fmt.Sprintf("/%d", b.n))
}

// directories are those in which changes are made.
func (b *busy) directories() []string { return []string{".", "a", "b", "a/c", "a/c/d", "b/e"} }

func (b *busy) directory() string {
	all := b.directories()
	return filepath.Join(b.dir, all[b.random.IntN(len(all))])
}

func (b *busy) file() string {
	return filepath.Join(b.directory(), fmt.Sprintf("%d.yaml", b.random.IntN(5)))
}

// put writes a file, where that is possible.
func (b *busy) put(name string) {
	_ = os.MkdirAll(filepath.Dir(name), 0o755)
	_ = os.WriteFile(name, []byte(b.text()), 0o644)
}

// probe makes a file in each directory.
func (b *busy) probe() {
	_ = filepath.WalkDir(b.dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && strings.HasPrefix(d.Name(), ".") {
			return filepath.SkipDir
		}
		if d.IsDir() {
			b.put(filepath.Join(name, fmt.Sprintf("probe%d.yaml", b.random.IntN(2))))
		}
		return nil
	})
	b.done = append(b.done, "probe")
}

// change does one thing. What is impossible as things stand does nothing.
func (b *busy) change() {
	ways := b.changes()
	i := b.random.IntN(len(ways))
	name := b.file()
	b.done = append(b.done, fmt.Sprint(i, " ", strings.TrimPrefix(name, b.dir)))
	ways[i](name)
}

func (b *busy) changes() []func(name string) {
	return append(b.changesOfFiles(), b.changesOfDirectories()...)
}

func (b *busy) changesOfFiles() []func(name string) {
	return []func(name string){
		b.put,
		func(name string) { _ = os.Remove(name) },
		func(name string) { // in pieces
			if f, err := os.OpenFile(name, os.O_APPEND|os.O_WRONLY, 0); err == nil {
				_, _ = f.WriteString("# and ")
				_, _ = f.WriteString("more\n")
				_ = f.Close()
			}
		},
		func(name string) { // an atomic save
			temporary := filepath.Join(filepath.Dir(name), []string{".save.tmp", "sedX1y2", "save.yaml"}[b.random.IntN(3)])
			b.put(temporary)
			_ = os.Rename(temporary, name)
		},
		func(name string) { // with a backup
			_ = os.Rename(name, name+"~")
			b.put(name)
			_ = os.Remove(name + "~")
		},
		func(name string) { _ = os.Rename(name, b.file()) },
		func(name string) { // size and time stay
			if info, err := os.Stat(name); err == nil && info.Mode().IsRegular() {
				_ = os.WriteFile(name, []byte(strings.Repeat("#", int(info.Size()))), 0o644)
				_ = os.Chtimes(name, info.ModTime(), info.ModTime())
			}
		},
		func(name string) { _ = os.Truncate(name, 0) },
		func(name string) { _ = os.Chmod(name, []fs.FileMode{0o600, 0o644}[b.random.IntN(2)]) },
		func(name string) { // by its other name, which may go away at once
			other := b.file()
			_ = os.Remove(name)
			if os.Link(other, name) == nil {
				b.put(other)
				if b.random.IntN(2) == 0 {
					_ = os.Remove(other)
				}
			}
		},
		func(name string) { // by a name that it has had for some time
			b.put(name)
			if b.random.IntN(2) == 0 {
				_ = os.Rename(b.file(), name)
			} else {
				_ = os.Remove(name)
			}
		},
		func(name string) { // a link
			target := filepath.Join(b.dir, ".data", fmt.Sprint(b.random.IntN(3)))
			b.put(target)
			_ = os.Remove(name)
			_ = os.Symlink(target, name)
		},
		func(name string) { // a link to another of the files
			target := b.file()
			if target == name {
				return
			}
			b.put(target)
			_ = os.Remove(name)
			_ = os.Symlink(target, name)
		},
		func(string) { b.put(filepath.Join(b.dir, ".data", fmt.Sprint(b.random.IntN(3)))) }, // what links may lead to
	}
}

func (b *busy) changesOfDirectories() []func(name string) {
	return []func(name string){
		func(name string) {
			_ = os.RemoveAll(filepath.Join(b.dir, []string{"a", "a/c", "b/e"}[b.random.IntN(3)]))
		},
		func(name string) { // made anew
			below := filepath.Dir(name)
			if below != b.dir && below != filepath.Join(b.dir, "b") {
				_ = os.RemoveAll(below)
				b.put(name)
			}
		},
		func(string) { // away and back under another name
			from, to := b.directory(), b.directory()
			if from != b.dir && from != filepath.Join(b.dir, "b") {
				_ = os.Rename(from, to)
			}
		},
		func(string) { // two change places
			x, y := filepath.Join(b.dir, "a", "c"), filepath.Join(b.dir, "b", "e")
			_ = os.Rename(x, x+".away")
			_ = os.Rename(y, x)
			_ = os.Rename(x+".away", y)
		},
		func(string) { // the root itself
			if os.Rename(b.dir, b.dir+".away") == nil {
				_ = os.Rename(b.dir+".away", b.dir)
			}
		},
		func(string) { // Kubernetes' generations
			generation := filepath.Join(b.dir, fmt.Sprintf("..%d", b.n))
			b.put(filepath.Join(generation, "k.yaml"))
			link := filepath.Join(b.dir, "..data")
			_ = os.Symlink(filepath.Base(generation), link+".new")
			_ = os.Rename(link+".new", link)
			_ = os.Symlink("..data/k.yaml", filepath.Join(b.dir, "k.yaml"))
		},
		func(string) { // a link to a directory is turned
			link := filepath.Join(b.dir, "a", "link")
			_ = os.Symlink([]string{"../b", "../../second", "c"}[b.random.IntN(3)], link+".new")
			_ = os.Rename(link+".new", link)
		},
		func(string) { // a whole tree, as by a copy
			for i := range 40 {
				b.put(filepath.Join(b.directory(), fmt.Sprintf("tree%d", i%4), fmt.Sprintf("%d", i/10), "x.yaml"))
			}
		},
		func(string) {
			for i := range 4 {
				_ = os.RemoveAll(filepath.Join(b.directory(), fmt.Sprintf("tree%d", i)))
			}
		},
	}
}
