// How the connections of a server end: gracefully, as a drain tells them, and at once. Servers of every version of HTTP use it.
//
// A drain looks every few milliseconds for what is left of the connections that it concerns, and tells each that it ends (again: some were
// busy and could not be told, some have only now been accepted). With three connections, of which one rests, one is in an exchange and one
// hangs: the first look tells all three, the resting one goes; a later look finds the second gone as its exchange is over; when the context
// ends, the third is killed.

package wire

import (
	"context"
	"time"
)

const (
	drainTick = 10 * time.Millisecond
	killTick  = time.Millisecond
	// killPatience is how long a handler may take to notice that its connection was killed.
	killPatience = time.Second
)

// Ending ends connections of type C. Its functions may be called from any goroutine.
type Ending[C any] struct {
	Left  func() []C // the connections that are to end and have not
	Drain func(C)    // lets one finish what it is at; called again on every look
	Kill  func(C)    // ends one at once
}

// Gracefully returns when nothing is left. When ctx ends it kills what is.
func (e Ending[C]) Gracefully(ctx context.Context) {
	tick := time.NewTicker(drainTick)
	defer tick.Stop()
	for {
		left := e.Left()
		if len(left) == 0 {
			return
		}
		for _, c := range left {
			e.Drain(c)
		}
		select {
		case <-ctx.Done():
			e.AtOnce()
			return
		case <-tick.C:
		}
	}
}

// AtOnce kills what is left, and waits until it is gone, for a second at the most.
func (e Ending[C]) AtOnce() {
	for _, c := range e.Left() {
		e.Kill(c)
	}
	tick := time.NewTicker(killTick)
	defer tick.Stop()
	for patience := time.Now().Add(killPatience); time.Now().Before(patience) && len(e.Left()) > 0; {
		<-tick.C
	}
}
