// Updates, which look at what the watch told of, find what loads find that look at everything.

package config

import (
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/wicketgate/wicketgate/internal/patient"
)

// noticing is a watch that is asked, instead of telling when a burst is over.
type noticing struct {
	t      *testing.T
	loader *Loader
	w      *watcher
	dir    string // of the roots
	marks  int
}

func newNoticing(t *testing.T, dir string, l *Loader) *noticing {
	t.Helper()
	w := newWatcher(l.roots, &l.hints, slog.New(slog.DiscardHandler))
	if err := w.rescan(); err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { _ = w.fs.Close() })
	n := &noticing{t: t, loader: l, w: w, dir: dir}
	return n
}

// wait returns when all that was done before has been told: notifications come in the order of what they tell of.
func (n *noticing) wait() {
	n.t.Helper()
	n.marks++
	mark := filepath.Join(n.dir, fmt.Sprintf("mark%d.yaml", n.marks))
	write(n.t, mark, "# nothing\n")
	for range n.w.events {
		n.loader.hints.mu.Lock()
		_, told := n.loader.hints.files[mark]
		told = told || n.loader.hints.everything
		n.loader.hints.mu.Unlock()
		if told {
			break
		}
	}
	n.w.follow()
}

// updates reports whether an Update looks at what was told only. It changes nothing.
func (n *noticing) updates() bool {
	n.loader.hints.mu.Lock()
	defer n.loader.hints.mu.Unlock()
	return n.loader.hints.trusted && !n.loader.hints.everything
}

func TestUpdatesFindWhatLoadsFind(t *testing.T) {
	for seed := range uint64(12) {
		random := rand.New(rand.NewPCG(seed, 11))
		dir, err := filepath.EvalSymlinks(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		clock, roots := t.TempDir(), []Root{{Path: dir}}
		write(t, filepath.Join(dir, "b", "0.yaml"), randomFile(random))
		switch seed % 4 {
		case 1: // one in the other, and confined
			roots = append(roots, Root{Path: filepath.Join(dir, "b"), Namespaces: []string{"default"}})
		case 2: // one in the other
			roots = append(roots, Root{Path: filepath.Join(dir, "b")})
		case 3: // by a link
			if err := os.Symlink(dir, dir+".link"); err != nil {
				t.Skip(err)
			}
			roots = []Root{{Path: dir + ".link"}}
		}
		one, all := eager(Options{Roots: roots}), eager(Options{Roots: roots})
		n := newNoticing(t, dir, one)
		few := 0
		for step := range 60 {
			for range random.IntN(4) {
				if random.IntN(3) == 0 {
					disturbMore(t, random, dir, step)
				} else {
					disturb(t, random, dir, step)
				}
			}
			n.wait()
			if n.updates() {
				few++
			}
			a, err := one.Update(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			b := expectAll(t, fmt.Sprintf("seed %d, step %d: by hints", seed, step), a, all)
			if got, want := one.memory.bytes, all.memory.bytes; got != want {
				t.Fatalf("seed %d, step %d: %d bytes by hints, %d without", seed, step, got, want)
			}
			trust(one)
			tick(t, clock)
			if random.IntN(8) == 0 { // what Updates have read and not read is a Load's to know
				again, err := one.Load(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if got, want := describeResult(again), describeResult(b); got != want {
					t.Fatalf("seed %d, step %d: a load after updates\n%s\nwithout\n%s", seed, step, got, want)
				}
			}
		}
		if few == 0 {
			t.Errorf("seed %d: everything was looked at each time", seed)
		}
	}
}

// disturbMore does what is rarer.
func disturbMore(t *testing.T, random *rand.Rand, dir string, step int) {
	t.Helper()
	below := filepath.Join(dir, []string{".", "a", "b", "a/c"}[random.IntN(4)])
	name := filepath.Join(below, fmt.Sprintf("%d.yaml", random.IntN(4)))
	other := filepath.Join(dir, "b", fmt.Sprintf("%d.yaml", random.IntN(4)))
	text := randomFile(random) + "\n#" + strings.Repeat("y", step) + "\n"
	fails := func(err error) {
		if err != nil && !errors.Is(err, os.ErrNotExist) && !errors.Is(err, os.ErrExist) {
			t.Fatal(err)
		}
	}
	switch random.IntN(11) {
	case 0: // a second name for the same file
		_ = os.Remove(name)
		_ = os.MkdirAll(below, 0o755)
		_ = os.Link(other, name)
	case 1: // a directory that is called like a file, and back
		name = filepath.Join(below, "5.yaml")
		if info, err := os.Lstat(name); err == nil && !info.IsDir() {
			fails(os.Remove(name))
			write(t, filepath.Join(name, "in.yaml"), text)
		} else if err == nil {
			fails(os.RemoveAll(name))
		}
	case 2: // two directories change places
		a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
		write(t, filepath.Join(a, "c", "9.yaml"), text)
		write(t, filepath.Join(b, "c", "9.yaml"), "# nothing")
		fails(os.Rename(a, a+".away"))
		fails(os.Rename(b, a))
		fails(os.Rename(a+".away", b))
	case 3: // what a link leads to is written to
		target := filepath.Join(dir, ".data", "shared")
		write(t, target, text)
		_ = os.RemoveAll(name)
		_ = os.MkdirAll(below, 0o755)
		fails(os.Symlink(target, name))
	case 4:
		write(t, filepath.Join(dir, ".data", "shared"), text)
	case 5: // Kubernetes' generations
		generation := filepath.Join(dir, fmt.Sprintf("..%d", step))
		write(t, filepath.Join(generation, "k.yaml"), text)
		link := filepath.Join(dir, "..data")
		_ = os.Remove(link + ".new")
		fails(os.Symlink(filepath.Base(generation), link+".new"))
		fails(os.Rename(link+".new", link))
		fails(os.Symlink("..data/k.yaml", filepath.Join(dir, "k.yaml")))
	case 6: // from outside
		from := filepath.Join(t.TempDir(), "x")
		write(t, from, text)
		_ = os.RemoveAll(name)
		_ = os.MkdirAll(below, 0o755)
		fails(os.Rename(from, name))
	case 7:
		fails(os.RemoveAll(filepath.Join(dir, "b", "c")))
	case 8: // written under one of its names, which goes away at once
		_ = os.Link(other, other+".yaml")
		write(t, other, text)
		fails(os.Remove(other))
	case 9: // written under one of its names, which then is another file's
		write(t, other, text)
		write(t, other+".new", text)
		fails(os.Rename(other+".new", other))
	case 10: // a link to a file that is read, too
		if name != other {
			_ = os.RemoveAll(name)
			_ = os.MkdirAll(below, 0o755)
			fails(os.Symlink(other, name))
		}
	}
}

// TestAnUpdateAsksForNothingElse: what is not told of is not looked at, and a Load finds it.
func TestAnUpdateAsksForNothingElse(t *testing.T) {
	d := newDirectory(t).write("a.yaml", route("a", "/1")).write("b.yaml", route("b", "/1"))
	d.loader.hints.trust(true)
	place := []dirPlace{{}}
	update := func() *Result {
		t.Helper()
		r, err := d.loader.Update(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	d.expect(update(), 0, "a", "b")
	d.write("a.yaml", route("a", "/2")).write("b.yaml", route("b", "/2")).write("c.yaml", route("c", "/2"))
	d.loader.hints.file(filepath.Join(d.path, "a.yaml"), place)
	r := update()
	if d.expect(r, 0, "a", "b"); pathOf(t, r, "a") != "/2" || pathOf(t, r, "b") != "/1" {
		t.Error("not what was told of, or more")
	}
	if again := update(); again != r {
		t.Error("without a hint there is another result")
	}
	d.loader.hints.file(filepath.Join(d.path, "c.yaml"), place)
	d.expect(update(), 0, "a", "b", "c")
	d.remove("c.yaml")
	d.loader.hints.file(filepath.Join(d.path, "c.yaml"), place)
	d.expect(update(), 0, "a", "b")
	d.loader.hints.all()
	if r := update(); pathOf(t, r, "b") != "/2" {
		t.Error("everything was told of")
	}
	d.write("b.yaml", route("b", "/3"))
	if r := d.load(); pathOf(t, r, "b") != "/3" {
		t.Error("a Load looks at what was told of only")
	}
}

// TestWhereHintsSayTooLittle: an Update is a Load.
func TestWhereHintsSayTooLittle(t *testing.T) {
	for name, spoil := range map[string]func(d *directory, h *hints, file string){
		"nobody watches any more":   func(_ *directory, h *hints, _ string) { h.trust(false) },
		"somebody watches again":    func(_ *directory, h *hints, _ string) { h.trust(false); h.trust(true) },
		"anything may have changed": func(_ *directory, h *hints, _ string) { h.all() },
		"a directory that no load has read": func(_ *directory, h *hints, file string) {
			h.file(file, []dirPlace{{rel: "elsewhere"}})
		},
		"very many files": func(_ *directory, h *hints, file string) {
			for i := range maxHints + 1 {
				h.file(fmt.Sprintf("%s%d.yaml", file, i), []dirPlace{{}})
			}
		},
		"a file with two names": func(d *directory, h *hints, file string) {
			if err := os.Link(file, filepath.Join(d.path, "z.yaml")); err != nil {
				t.Skip(err)
			}
			h.file(file, []dirPlace{{}})
		},
		"a directory by the name of a file": func(d *directory, h *hints, _ string) {
			d.write("y.yaml/in.yaml", "# nothing")
			h.file(filepath.Join(d.path, "y.yaml"), []dirPlace{{}})
		},
		"a load that was broken off": func(d *directory, h *hints, _ string) {
			if _, err := d.loader.load(func(map[string][]dirPlace) (*Result, error) { return nil, errors.New("broken off") }); err == nil {
				d.t.Error("no error")
			}
		},
	} {
		d := newDirectory(t).write("a.yaml", route("a", "/1")).write("b.yaml", route("b", "/1"))
		d.loader.hints.trust(true)
		d.load()
		d.write("b.yaml", route("b", "/2"))
		spoil(d, &d.loader.hints, filepath.Join(d.path, "a.yaml"))
		r, err := d.loader.Update(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if got := pathOf(t, r, "b"); got != "/2" {
			t.Errorf("%s: %s is in force", name, got)
		}
	}
}

// TestAnUpdateOfAFileThatIsBeingWritten keeps what it held, and leaves the rest to the next load.
func TestAnUpdateOfAFileThatIsBeingWritten(t *testing.T) {
	d := newDirectory(t).write("a.yaml", route("a", "/1"))
	d.loader.hints.trust(true)
	d.load()
	d.loader.settle = settling{quiet: 1 << 40}
	d.write("a.yaml", "kind: ")
	d.loader.hints.file(filepath.Join(d.path, "a.yaml"), []dirPlace{{}})
	r, err := d.loader.Update(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if d.expect(r, 0, "a"); len(d.loader.unsettled) != 1 {
		t.Error("no other load follows")
	}
	d.loader.settle = settling{}
	d.write("a.yaml", route("a", "/2"))
	if r, err = d.loader.Update(t.Context()); err != nil || pathOf(t, r, "a") != "/2" {
		t.Errorf("in force: %s, %v", pathOf(t, r, "a"), err)
	}
}

// TestWhatWasMissedIsDoubted: the poll makes the watch look again at what should be watched.
func TestWhatWasMissedIsDoubted(t *testing.T) {
	d := newDirectory(t).write("sub/a.yaml", route("a", "/1"))
	n := newNoticing(t, d.path, d.loader)
	d.load()
	if err := n.w.fs.Remove(filepath.Join(d.path, "sub")); err != nil {
		t.Fatal(err)
	}
	d.write("sub/a.yaml", route("a", "/2"))
	if !d.loader.differs(t.Context()) {
		t.Fatal("nothing differs")
	}
	patient.Until(t, "a doubt", n.w.moved.Load)
	n.w.follow()
	d.load()
	d.write("sub/a.yaml", route("a", "/3"))
	n.wait()
	r, err := d.loader.Update(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got := pathOf(t, r, "a"); got != "/3" {
		t.Errorf("%s is in force", got)
	}
}
