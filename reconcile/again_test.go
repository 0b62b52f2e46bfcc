// Runs in which nothing is new.

package reconcile

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/wicketgate/wicketgate/gateway"
	"github.com/wicketgate/wicketgate/object"
)

// stable makes a world whose files do not change by themselves.
func stable(t *testing.T) *world {
	t.Helper()
	w := &world{yaml: gatewayOn(8080)}
	start(t, w, Options{})
	w.set(func() { w.before = w.loop.View().found.result })
	return w
}

// builds counts how often the stages after Load went through.
func (w *world) builds() int {
	calls := w.calls()
	return len(slices.DeleteFunc(calls, func(c string) bool { return c != "swap" }))
}

func TestARunThatFindsWhatIsInForceEndsThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := stable(t)
		defer w.stop()
		v := w.loop.View()
		w.loop.Trigger()
		synctest.Wait()
		if w.whole || w.builds() != 1 || w.loop.View() != v || w.metric(t, "wicketgate_config_reloads_total", "ok") != 2 {
			t.Errorf("%v", w.calls())
		}
		if n := w.logged("configuration served"); n != 1 {
			t.Errorf("%d lines:\n%s", n, w.log.String())
		}
		if got, err := w.loop.Await(t.Context(), v.Digest); err != nil || got != v {
			t.Errorf("what is served is waited for: %v %v", got, err)
		}
	})
}

func TestWhatMakesARunGoOn(t *testing.T) {
	for name, change := range map[string]func(w *world){
		"it is demanded": func(w *world) { w.loop.Demand() },
		"objects": func(w *world) {
			objects := w.before.Objects
			w.before.Objects = objects.With([]*object.Object{copied(objects)}, nil)
		},
		"an object less":     func(w *world) { w.before.Objects = object.NewSet() },
		"a refused object":   func(w *world) { w.before.Objects = w.before.Objects.WithRefused([]*object.Refused{{}}) },
		"another problem":    func(w *world) { w.before.Problems = []object.Problem{{Message: "new"}} },
		"what stands beside": func(w *world) { w.beside = new(int) },
		"the text":           func(w *world) { w.yaml += "# a comment\n" },
		"a number of files":  func(w *world) { w.before.Files++ },
	} {
		synctest.Test(t, func(t *testing.T) {
			w := stable(t)
			defer w.stop()
			w.set(func() { before := *w.before; w.before = &before; change(w) })
			w.loop.Trigger()
			synctest.Wait()
			if w.builds() != 2 || w.loop.View().Generation != 2 {
				t.Errorf("%s: %v", name, w.calls())
			}
			w.loop.Trigger()
			synctest.Wait()
			if same := name != "the text"; same && w.builds() != 2 { // that is read anew each time
				t.Errorf("%s: and once more %v", name, w.calls())
			}
		})
	}
}

func copied(set *object.Set) *object.Object {
	o := *set.Get(set.Keys()[0])
	return &o
}

func TestAReloadThatIsWaitedForLeavesNothingOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := stable(t)
		defer w.stop()
		if v, err := w.loop.Reload(t.Context()); err != nil || v.Generation != 2 || w.builds() != 2 || !w.whole {
			t.Errorf("%v %v", err, w.calls())
		}
	})
}

// A run that something else asks for in the same instant must not take the place of the one that leaves nothing out.
func TestAReloadLeavesNothingOutWhateverElseAsksForRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := stable(t)
		defer w.stop()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		for range 4 { // who asks also wants the lock
			go func() {
				for ctx.Err() == nil {
					w.loop.Trigger()
					w.loop.Changed()
					runtime.Gosched()
				}
			}()
		}
		for range 5_000 {
			before := w.wholeRuns()
			if _, err := w.loop.Reload(t.Context()); err != nil || w.wholeRuns() == before {
				t.Fatalf("the reload was answered by a run that left something out (%v)", err)
			}
		}
	})
}

func (w *world) wholeRuns() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.wholes
}

func TestARunThatFindsNothingNewTriesSocketsAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{yaml: gatewayOn(8080), failed: map[gateway.Binding]error{{AddrPort: onPort(8080)}: errors.New("in use")}}
		start(t, w, Options{})
		defer w.stop()
		w.set(func() { w.before, w.failed = w.loop.View().found.result, nil })
		w.loop.Trigger()
		synctest.Wait()
		if v := w.loop.View(); programmed(v) != "True" || v.Errors() != 0 || v.Generation != 2 || w.builds() != 1 {
			t.Errorf("Programmed=%s, %v, %v", programmed(v), v.Problems, w.calls())
		}
	})
}
