// Series come and go with who holds them; of a flood of lines the first are written.

package ledger

import (
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// A series is the same one for all who have it, and another one for who comes after the last has let go.
func TestSeriesLiveAsLongAsTheyAreHeld(t *testing.T) {
	var set Set[atomic.Int64]
	name := Labels{Gateway: "default/web", Listener: "tcp", Route: "default/db", Backend: "Service default/db:80"}
	first := set.Acquire(name)
	first.Counts.Add(1)
	first.Hold()
	if again := set.Acquire(name); again != first {
		t.Error("two series have the same labels")
	}
	if other := set.Acquire(Labels{}); other == first || len(set.All()) != 2 {
		t.Errorf("%d series", len(set.All()))
	}
	first.Release()
	first.Release()
	if got := set.Acquire(name); got.Counts.Load() != 1 {
		t.Error("a series that is held has lost its count")
	}
	first.Release()
	first.Release()
	if got := set.Acquire(name); got == first || got.Counts.Load() != 0 {
		t.Error("a series outlives its last holder")
	}
}

func TestSeriesMayBeHadConcurrently(t *testing.T) {
	var set Set[atomic.Int64]
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 1000 {
				x := set.Acquire(Labels{Route: "r"})
				x.Hold()
				x.Counts.Add(1)
				set.All()
				x.Release()
				x.Release()
			}
		})
	}
	all.Wait()
	if n := len(set.All()); n != 0 {
		t.Errorf("%d series are left", n)
	}
}

func TestValuesAreInTheOrderOfNames(t *testing.T) {
	l := Labels{Gateway: "gateway", Listener: "listener", Route: "route", Backend: "backend"}
	if names, values := Names("more"), l.Values("more"); !slices.Equal(names, values) {
		t.Errorf("%q, %q", names, values)
	}
}

func TestOfAFloodTheFirstLinesAreWritten(t *testing.T) {
	var b Burst
	now := time.Unix(1000, 0)
	for i := range 100 {
		if ok, before := b.Allow(now.Add(time.Duration(i) * time.Millisecond)); ok != (i < LogBurst) || before != 0 {
			t.Fatalf("line %d: %v, %d held back", i, ok, before)
		}
	}
	if ok, before := b.Allow(now.Add(logWindow)); !ok || before != 100-LogBurst {
		t.Errorf("a window later: %v, %d held back", ok, before)
	}
	if ok, before := b.Allow(now.Add(3 * logWindow)); !ok || before != 0 {
		t.Errorf("later still: %v, %d held back", ok, before)
	}
}
