// What was used and will be used again, and is given up when it was not needed for a while.

package h2

import "sync"

// spares is a stack: what waited least is used next, and what lies at the bottom is given up by trim. For example, if of ten that lay idle at the last
// trim never more than three were taken at a time, the next one gives up seven. The zero value is open. It may be used concurrently.
type spares[T any] struct {
	mu   sync.Mutex
	idle []T
	// unneeded is how many lay idle throughout the time since the last trim.
	unneeded int
	// closed: nothing is kept any more.
	closed bool
}

// maxIdle is how many are kept at most.
const maxIdle = 4096

// take returns one of them, if there is any.
func (s *spares[T]) take() (v T, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := len(s.idle)
	if n == 0 {
		return v, false
	}
	last := &s.idle[n-1]
	v, *last = *last, v
	s.idle = s.idle[:n-1]
	s.unneeded = min(s.unneeded, n-1)
	return v, true
}

// keep keeps v, or reports that v is of no use any more.
func (s *spares[T]) keep(v T) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || len(s.idle) >= maxIdle {
		return false
	}
	s.idle = append(s.idle, v)
	return true
}

// open lets things be kept.
func (s *spares[T]) open() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = false
}

// close gives all up, by calling end with each, and keeps nothing any more.
func (s *spares[T]) close(end func(T)) {
	s.mu.Lock()
	all := s.idle
	s.idle, s.unneeded, s.closed = nil, 0, true
	s.mu.Unlock()
	for _, v := range all {
		end(v)
	}
}

// trim gives those up that were not needed since the last call.
func (s *spares[T]) trim(end func(T)) {
	s.mu.Lock()
	n := s.unneeded
	old := append([]T(nil), s.idle[:n]...)
	kept := copy(s.idle, s.idle[n:])
	clear(s.idle[kept:])
	s.idle = s.idle[:kept]
	s.unneeded = kept
	s.mu.Unlock()
	for _, v := range old {
		end(v)
	}
}
