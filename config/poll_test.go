// Changes that no notification tells: nothing here watches.

package config

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wicketgate/wicketgate/internal/patient"
)

// polled is a directory, a Loader that has read it, and the signals of its polling.
func polled(t *testing.T) (*directory, <-chan struct{}) {
	d := newDirectory(t).write("a.yaml", route("a", "/1"))
	d.expect(d.load(), 0, "a")
	return d, d.loader.Poll(t.Context(), 5*time.Millisecond)
}

// found waits for a signal, and loads.
func (d *directory) found(signals <-chan struct{}, what string) *Result {
	d.t.Helper()
	select {
	case <-signals:
	case <-time.After(patient.Limit):
		d.t.Fatalf("not found: %s", what)
	}
	return d.load()
}

func TestPollingFindsWhatNobodyTells(t *testing.T) {
	d, signals := polled(t)
	d.write("a.yaml", route("a", "/2"))
	d.expect(d.found(signals, "an edit"), 0, "a")
	d.write("sub/b.yaml", route("b", "/"))
	d.expect(d.found(signals, "a new file"), 0, "a", "b")
	d.remove("a.yaml")
	d.expect(d.found(signals, "a deleted file"), 0, "b")
	if err := os.Rename(d.path, d.path+".away"); err != nil {
		t.Fatal(err)
	}
	d.expect(d.found(signals, "a root that is gone"), 1, "b stale")
	if err := os.Rename(d.path+".away", d.path); err != nil {
		t.Fatal(err)
	}
	d.expect(d.found(signals, "a root that is back"), 0, "b")
	if err := errors.Join(os.RemoveAll(d.path), os.Mkdir(d.path, 0o755)); err != nil {
		t.Fatal(err)
	}
	if r := d.found(signals, "a root made anew"); r.Objects.Len() != 0 {
		t.Errorf("in force: %v", r.Objects.Keys())
	}
}

func TestPollingFindsAnEditThatKeepsTimeAndSize(t *testing.T) {
	d, signals := polled(t)
	old := time.Now().Add(-time.Hour)
	name := filepath.Join(d.path, "a.yaml")
	if err := os.Chtimes(name, old, old); err != nil {
		t.Fatal(err)
	}
	d.load()
	d.write("a.yaml", route("a", "/2"))
	if err := os.Chtimes(name, old, old); err != nil {
		t.Fatal(err)
	}
	if got := pathOf(t, d.found(signals, "the edit"), "a"); got != "/2" {
		t.Errorf("after the edit %s is in force", got)
	}
}

func TestPollingKeepsStillWithoutAChange(t *testing.T) {
	d, signals := polled(t)
	if err := os.Chtimes(filepath.Join(d.path, "a.yaml"), time.Time{}, time.Now()); err != nil {
		t.Fatal(err)
	}
	d.write("notes.txt", "x")
	if d.loader.differs(t.Context()) {
		t.Error("another time, or a file of another kind, counts as a change")
	}
	select {
	case <-signals:
		t.Error("a signal without a change")
	default:
	}
}

func TestWhatCannotBeReadIsTriedEverySecond(t *testing.T) {
	d := newDirectory(t).write("a.yaml", route("a", "/1"))
	link := filepath.Join(d.path, "b.yaml")
	if err := os.Symlink(filepath.Join(d.path, "target"), link); err != nil {
		t.Fatal(err)
	}
	d.expect(d.load(), 1, "a")
	synctest.Test(t, func(t *testing.T) {
		d.loader.unsettled = make(chan struct{}, 1)
		ctx, cancel := context.WithCancel(t.Context())
		signals := d.loader.Poll(ctx, time.Hour)
		time.Sleep(2 * pollLost)
		synctest.Wait()
		if len(signals) != 0 {
			t.Error("a signal although it still cannot be read")
		}
		if err := os.WriteFile(filepath.Join(d.path, "target"), []byte(route("b", "/")), 0o600); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * pollLost)
		synctest.Wait()
		if len(signals) != 1 {
			t.Error("no signal although it can be read now")
		}
		cancel()
	})
	d.expect(d.load(), 0, "a", "b")
}

func TestADirectoryThatChangesFasterThanItIsReadConverges(t *testing.T) {
	d := newDirectory(t).write("still.yaml", route("still", "/"))
	d.loader.settle = settling{quiet: 20 * time.Millisecond, limit: 10 * time.Millisecond} // no load can wait long enough
	var stop atomic.Bool
	var written atomic.Int64
	done := make(chan int)
	go func() {
		n := 0
		for ; !stop.Load(); n++ {
			name := filepath.Join(d.path, fmt.Sprintf("%d.yaml", n%8))
			_ = os.WriteFile(name, []byte(route(fmt.Sprintf("r%d", n%8), fmt.Sprintf("/%d", n))), 0o600)
			written.Add(1)
		}
		done <- n
	}()
	for loads := 0; loads < 20 || written.Load() < 20; loads++ {
		if r := d.load(); r.Objects.Get(key("still")) == nil {
			t.Error("a file that does not change is held up")
		}
	}
	signals := d.loader.Poll(t.Context(), 0)
	stop.Store(true)
	n := <-done
	last := fmt.Sprintf("/%d", n-1)
	for end := time.Now().Add(patient.Limit); ; {
		r := d.load()
		if o := r.Objects.Get(key(fmt.Sprintf("r%d", (n-1)%8))); o != nil && pathOf(t, r, o.Name) == last {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("the last write, %s, is not in force", last)
		}
		select {
		case <-signals:
		case <-time.After(patient.Limit):
			t.Fatal("no signal to read again what was being written")
		}
	}
}

func TestThousandsOfFilesAtOnce(t *testing.T) {
	d, signals := polled(t)
	for i := range 2000 {
		d.write(fmt.Sprintf("many/%d.yaml", i), fmt.Sprintf("kind: ConfigMap\napiVersion: v1\nmetadata: {name: c%d}\n", i))
	}
	for end := time.Now().Add(2 * patient.Limit); ; {
		if r := d.found(signals, "the files"); r.Objects.Len() == 2001 {
			return
		} else if time.Now().After(end) {
			t.Fatalf("%d objects", r.Objects.Len())
		}
	}
}
