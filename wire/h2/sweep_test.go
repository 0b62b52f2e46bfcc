// The sweeper's end.

package h2

import "testing"

func TestASweeperEndsWhenAnotherOneHasTakenOver(t *testing.T) {
	s := NewServer(Options{})
	defer s.Close()
	s.stop = make(chan struct{}) // the other one's
	before := s.clock.Load()
	s.sweep(make(chan struct{})) // returns, although nobody has closed its channel
	if s.clock.Load() != before {
		t.Error("it has looked at connections that are not its own")
	}
	s.stop = nil
}
