// Package ledger keeps what is counted of a route's backend for as long as anybody has it: the snapshots with the route, and the connections or sessions
// that were begun under it, which may outlive it.
//
//	var set ledger.Set[counts]             // of all that is counted in the same way
//	x := set.Acquire(ledger.Labels{...})   // held until Release
//	x.Hold()                               // once more, for a connection
//	x.Counts.received.Add(n)
//	x.Release()                            // the last one makes it go away
package ledger

import "sync"

// Labels name a series. Backend is empty where traffic did not come to one, Route where there was none for it.
type Labels struct{ Gateway, Listener, Route, Backend string }

// Names are those of the labels in metrics, and then more.
func Names(more ...string) []string {
	return append([]string{"gateway", "listener", "route", "backend"}, more...)
}

// Values are the labels' own in the order of Names, and then more.
func (l Labels) Values(more ...string) []string {
	return append([]string{l.Gateway, l.Listener, l.Route, l.Backend}, more...)
}

// Set has all series of one kind. Its zero value is empty. Its methods may be called concurrently.
type Set[C any] struct {
	mu  sync.Mutex
	all map[Labels]*Series[C]
}

// Series is what is counted under one set of labels. It may be used concurrently as far as Counts may.
type Series[C any] struct {
	Labels Labels
	Counts C
	set    *Set[C]
	refs   int // guarded by set.mu
}

// Acquire returns the series with these labels and holds it until Release.
func (s *Set[C]) Acquire(l Labels) *Series[C] {
	s.mu.Lock()
	defer s.mu.Unlock()
	x := s.all[l]
	if x == nil {
		if s.all == nil {
			s.all = map[Labels]*Series[C]{}
		}
		x = &Series[C]{Labels: l, set: s}
		s.all[l] = x
	}
	x.refs++
	return x
}

// All lists the series that somebody has, in no order.
func (s *Set[C]) All() []*Series[C] {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]*Series[C], 0, len(s.all))
	for _, x := range s.all {
		list = append(list, x)
	}
	return list
}

// Hold is for one who uses a series that somebody else holds.
func (x *Series[C]) Hold() {
	x.set.mu.Lock()
	defer x.set.mu.Unlock()
	x.refs++
}

// Release gives up what Acquire or Hold got.
func (x *Series[C]) Release() {
	x.set.mu.Lock()
	defer x.set.mu.Unlock()
	if x.refs--; x.refs == 0 {
		delete(x.set.all, x.Labels)
	}
}
