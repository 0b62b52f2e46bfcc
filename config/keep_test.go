// What a Loader knows after a restart of the program.

package config

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/wicketgate/wicketgate/object"
)

// shelf is a Store in memory that can be made to fail.
type shelf struct {
	mu     sync.Mutex
	files  map[string][]byte
	err    error // of all writing
	writes int
}

func (s *shelf) Read(name string) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if text, ok := s.files[name]; ok {
		return text, nil
	}
	return nil, fs.ErrNotExist
}

func (s *shelf) Write(name string, content []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.writes++
	if s.err != nil {
		return s.err
	}
	s.files[name] = content
	return nil
}

func (s *shelf) Remove(name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.files, name)
	return s.err
}

func (s *shelf) text() string {
	var b strings.Builder
	for _, text := range s.files {
		b.Write(text)
	}
	return b.String()
}

// keeping is a directory whose Loader has a store.
type keeping struct {
	*directory
	store *shelf
	roots []Root
}

func newKeeping(t *testing.T) *keeping {
	k := &keeping{directory: newDirectory(t), store: &shelf{files: map[string][]byte{}}}
	k.roots = []Root{{Path: k.path}}
	return k.restart()
}

func (k *keeping) write(name, content string) *keeping {
	k.t.Helper()
	k.directory.write(name, content)
	return k
}

func (k *keeping) remove(name string) *keeping {
	k.t.Helper()
	k.directory.remove(name)
	return k
}

// restart begins anew with what was kept.
func (k *keeping) restart() *keeping {
	if k.loader.keeper != nil {
		k.loader.keeper.save()
	}
	k.loader = eager(Options{Roots: k.roots, Store: k.store})
	return k
}

func pathOf(t *testing.T, r *Result, name string) string {
	t.Helper()
	o := r.Objects.Get(key(name))
	if o == nil {
		t.Fatalf("%s is not in force", name)
	}
	return *o.Value.(*gatewayv1.HTTPRoute).Spec.Rules[0].Matches[0].Path.Value
}

func TestTheLastAdmittedVersionOutlivesARestart(t *testing.T) {
	k := newKeeping(t)
	k.write("a.yaml", route("a", "/1")+route("b", "/1")).write("c.yaml", route("c", "/1"))
	k.expect(k.load(), 0, "a", "b", "c")
	before := k.load().Objects.Get(key("c"))
	k.write("a.yaml", route("a", "relative")+route("b", "/2")).write("c.yaml", brokenText)
	k.expect(k.load(), 2, "a stale", "b", "c stale")
	for range 2 { // the second time from what was kept of what was kept
		k.restart()
		r := k.load()
		k.expect(r, 2, "a stale", "b", "c stale")
		if got := pathOf(t, r, "a"); got != "/1" {
			t.Errorf("a has %s", got)
		}
		after := r.Objects.Get(key("c"))
		if after.Digest != before.Digest || after.Position != before.Position || after.At("spec.rules[0]") != before.Position {
			t.Errorf("c changed: %v at %v, before %v at %v", after.Digest, after.Position, before.Digest, before.Position)
		}
	}
	k.write("a.yaml", route("a", "/3")+route("b", "/2")).write("c.yaml", route("c", "/1"))
	r := k.load()
	k.expect(r, 0, "a", "b", "c")
	for name, want := range map[string]int64{"a": 2, "b": 2, "c": 1} {
		if got := r.Objects.Get(key(name)).Meta.Generation; got != want {
			t.Errorf("%s has generation %d, want %d", name, got, want)
		}
	}
}

func TestBreakingAFileWhileNothingRunsLosesNothing(t *testing.T) {
	k := newKeeping(t)
	k.write("a.yaml", route("a", "/1")).write("b.yaml", route("b", "/1")).load()
	k.write("a.yaml", brokenText).remove("b.yaml").restart()
	k.expect(k.load(), 1, "a stale")
}

func TestGenerationsGoOnAfterARestart(t *testing.T) {
	k := newKeeping(t)
	for i, want := range []int64{1, 2, 3, 3} {
		k.write("a.yaml", route("a", fmt.Sprintf("/%d", min(i, 2))))
		if got := k.load().Objects.Get(key("a")).Meta.Generation; got != want {
			t.Errorf("version %d has generation %d, want %d", i, got, want)
		}
		k.restart()
	}
	k.remove("a.yaml").load()
	k.write("a.yaml", route("a", "/new")).restart()
	if got := k.load().Objects.Get(key("a")).Meta.Generation; got != 1 {
		t.Errorf("a new object begins with generation %d", got)
	}
}

func TestTheWinnerOfADuplicateOutlivesARestart(t *testing.T) {
	k := newKeeping(t)
	k.write("z.yaml", route("a", "/z")).load()
	k.write("a.yaml", route("a", "/a"))
	k.expect(k.load(), 1, "a")
	k.restart()
	r := k.load()
	k.expect(r, 1, "a")
	if got := pathOf(t, r, "a"); got != "/z" {
		t.Errorf("%s won", got)
	}
	k.store = &shelf{files: map[string][]byte{}}
	k.loader = eager(Options{Roots: k.roots, Store: k.store})
	if got := pathOf(t, k.load(), "a"); got != "/a" {
		t.Errorf("without state %s won, and not the first in the order of paths", got)
	}
}

const secretYAML = `
---
apiVersion: v1
kind: Secret
metadata: {name: token}
stringData: {key: hunter2}
`

func TestSecretsAreNeverKept(t *testing.T) {
	k := newKeeping(t)
	k.write("a.yaml", route("a", "/1")+secretYAML).load()
	k.write("a.yaml", brokenText).restart()
	text := k.store.text()
	if !strings.Contains(text, `"token"`) || strings.Contains(text, "aHVudGVyMg") || strings.Contains(text, "hunter2") {
		t.Errorf("kept: %s", text)
	}
	r := k.load()
	k.expect(r, 2, "a stale")
	if !strings.Contains(fmt.Sprint(r.Problems), "Secrets are not kept") {
		t.Errorf("problems: %v", r.Problems)
	}
	// Which of two files has the Secret is remembered all the same.
	k.write("a.yaml", secretYAML).write("0.yaml", secretYAML).load()
	if got := k.restart().load().Objects.Keys(); len(got) != 1 {
		t.Fatalf("%v", got)
	}
}

func TestAMissingRootIsServedFromWhatWasKept(t *testing.T) {
	k := newKeeping(t)
	k.write("a.yaml", route("a", "/1")).load()
	k.restart()
	if err := os.Rename(k.path, k.path+".away"); err != nil {
		t.Fatal(err)
	}
	k.expect(k.load(), 1, "a stale")
	if err := os.Rename(k.path+".away", k.path); err != nil {
		t.Fatal(err)
	}
	k.expect(k.load(), 0, "a")
	other := eager(Options{Roots: []Root{{Path: k.path + ".other"}}, Store: k.store})
	if _, err := other.Load(t.Context()); err == nil || !strings.Contains(err.Error(), "does not exist") {
		t.Errorf("a root that was never read: %v", err)
	}
}

func TestARootThatIsAFileIsRestored(t *testing.T) {
	k := newKeeping(t)
	k.write("a.yaml", route("a", "/1"))
	k.roots = []Root{{Path: filepath.Join(k.path, "a.yaml")}}
	k.restart().load()
	k.write("a.yaml", brokenText).restart()
	k.expect(k.load(), 1, "a stale")
	k.write("a.yaml", route("a", "/1"))
	k.expect(k.load(), 0, "a")
}

func TestWhatIsKeptIsConfinedLikeTheFiles(t *testing.T) {
	k := newKeeping(t)
	k.write("a.yaml", route("a", "/1")).load()
	k.write("a.yaml", brokenText)
	k.roots = []Root{{Path: k.path, Namespaces: []string{"shop"}}}
	r := k.restart().load()
	k.expect(r, 2)
	if !strings.Contains(fmt.Sprint(r.Problems), "is refused today") {
		t.Errorf("problems: %v", r.Problems)
	}
}

func TestDamagedAndForeignFilesAreLeftOut(t *testing.T) {
	k := newKeeping(t)
	var yaml strings.Builder
	for i := range 20 {
		yaml.WriteString(route(fmt.Sprintf("r%02d", i), "/"))
	}
	k.write("a.yaml", yaml.String()).load()
	k.restart()
	whole := maps.Clone(k.store.files)
	for name, damage := range map[string]func([]byte) []byte{
		"empty":        func([]byte) []byte { return nil },
		"cut off":      func(text []byte) []byte { return text[:len(text)/2] },
		"foreign":      func([]byte) []byte { return []byte("\x7fELF\x00\n\x00\n\n") },
		"other schema": func(text []byte) []byte { return []byte(strings.Replace(string(text), schemaDigest(), "x", 1)) },
		"no content":   func(text []byte) []byte { return []byte(strings.ReplaceAll(string(text), "apiVersion", "")) },
	} {
		for file, text := range whole {
			k.store.files[file] = damage(text)
		}
		k.write("a.yaml", yaml.String())
		k.loader = eager(Options{Roots: k.roots, Store: k.store})
		if r := k.load(); r.Objects.Len() != 20 || len(r.Problems) > 0 {
			t.Errorf("%s: %d objects, %v", name, r.Objects.Len(), r.Problems)
		}
		k.loader.keeper.save()
		if !maps.EqualFunc(k.store.files, whole, func(a, b []byte) bool { return string(a) == string(b) }) {
			t.Errorf("%s: was not written anew", name)
		}
		k.write("a.yaml", brokenText)
		for file, text := range whole {
			k.store.files[file] = damage(text)
		}
		k.loader = eager(Options{Roots: k.roots, Store: k.store})
		k.load() // must not panic; what is served depends on the damage
	}
}

func TestOnlyWhatChangedIsWritten(t *testing.T) {
	k := newKeeping(t)
	for i := range 50 {
		k.write(fmt.Sprintf("%d.yaml", i), route(fmt.Sprintf("r%d", i), "/"))
	}
	k.load()
	k.restart().load()
	k.store.writes = 0
	k.restart().load()
	if k.store.writes != 0 {
		t.Errorf("%d writes after a restart without a change", k.store.writes)
	}
	k.write("7.yaml", route("r7", "/new")).load()
	k.loader.keeper.save()
	if k.store.writes != 1 {
		t.Errorf("%d writes after one edit", k.store.writes)
	}
	k.remove("7.yaml").load()
	k.restart()
	if strings.Contains(k.store.text(), `"r7"`) {
		t.Error("a deleted object is still kept")
	}
}

func TestAProvenObjectIsAdmittedAlike(t *testing.T) {
	for i := range 2 {
		text := fmt.Appendf(nil, benchRoute, i)
		admitted := func(proven bool) *outcome {
			d, err := readDocument(chunk{text: text}, defaultLimits)
			if err != nil {
				t.Fatal(err)
			}
			return admit(t.Context(), d.value.(map[string]any), Root{}, proven)
		}
		a, b := admitted(false), admitted(true)
		if !a.admitted() || !b.admitted() || a.digest != b.digest || a.spec != b.spec {
			t.Errorf("%v and %v", a.findings, b.findings)
		}
	}
}

func TestAFullDiskIsToldOnceAndTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		store := &shelf{files: map[string][]byte{}, err: errors.New("no space left on device")}
		l := New(Options{Roots: []Root{{Path: "a.yaml"}}, Store: store, Log: slog.New(slog.NewTextHandler(&log, nil))})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			l.Keep(ctx)
		}()
		put := func(generation int64) {
			o := &object.Object{Key: key("a"), Content: map[string]any{"generation": generation}}
			l.keeper.hand(map[object.Key]inForce{key("a"): {object: o, item: &item{outcome: &outcome{}}}})
			time.Sleep(2 * keepPause)
			synctest.Wait()
		}
		put(1)
		put(2)
		if n := strings.Count(log.String(), "cannot be written"); n != 1 || l.KeepFailures() != 2 {
			t.Errorf("%d warnings, %d failures", n, l.KeepFailures())
		}
		store.mu.Lock()
		store.err = nil
		store.mu.Unlock()
		time.Sleep(2 * keepRetry)
		synctest.Wait()
		if !strings.Contains(store.text(), `{"generation":2}`) || !strings.Contains(log.String(), "written again") {
			t.Errorf("kept %q, log %s", store.text(), log.String())
		}
		l.keeper.hand(map[object.Key]inForce{})
		cancel()
		<-ended
		if len(store.files) != 0 {
			t.Error("what was in force last was not kept at the end")
		}
	})
}

// FuzzParseRecords: what stands in the state directory, whoever wrote it, ends no program.
func FuzzParseRecords(f *testing.F) {
	f.Add([]byte(`{"root":"/x","schemas":""}` + "\n" + `{"kind":"HTTPRoute","group":"gateway.networking.k8s.io","name":"a","file":"a.yaml"}` + "\n" + `{"kind":"HTTPRoute"}`))
	f.Add([]byte("{}\n{}\n[]\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		list, _ := parseRecords(text, 0, Root{Path: "/x"})
		for _, r := range list {
			if f, err := r.revive(t.Context(), Root{Path: "/x"}); err == nil && (f.object == nil || f.object.Key != r.key || !f.object.Stale) {
				t.Errorf("%v became %v", r.key, f.object)
			}
		}
	})
}
