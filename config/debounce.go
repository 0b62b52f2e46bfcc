// Debouncing: many events of one edit become one signal, soon after the last of them and not much later than the first.

package config

import (
	"context"
	"time"
)

// debouncing says when a burst of events is over.
type debouncing struct {
	quiet time.Duration // without an event
	limit time.Duration // after the first event, whatever follows
}

// defaultDebouncing is quiet for as long as a load would give the file to become whole, so that it need not wait again (settle.go), and leaves an edit
// 150 ms of the 200 ms after which it should be served at the latest.
var defaultDebouncing = debouncing{quiet: defaultSettling.quiet, limit: 150 * time.Millisecond}

// run calls settled once after every burst of events, until ctx ends or events is closed. Events that arrive while settled runs begin
// the next burst, if the channel has room for one.
//
//	events   x x x      x x x x x x x x x
//	settled         |              |        |
//	                quiet          limit    quiet
func (d debouncing) run(ctx context.Context, events <-chan struct{}, settled func()) {
	timer := time.NewTimer(0)
	timer.Stop()
	defer timer.Stop()
	var last time.Time // when the burst ends at the latest; zero between bursts
	for {
		select {
		case <-ctx.Done():
			return
		case _, ok := <-events:
			if !ok {
				return
			}
			if last.IsZero() {
				last = time.Now().Add(d.limit)
			}
			timer.Reset(min(d.quiet, time.Until(last)))
		case <-timer.C:
			last = time.Time{}
			settled()
		}
	}
}
