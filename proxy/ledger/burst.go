// How often lines of one kind are logged: of a flood only the first.

package ledger

import (
	"sync"
	"time"
)

// LogBurst lines are written in logWindow. The first line after that says how many were not.
const (
	LogBurst  = 5
	logWindow = 10 * time.Second
)

// Burst counts lines of one kind. Its zero value has seen none. It may be used concurrently.
type Burst struct {
	mu           sync.Mutex
	since        time.Time
	lines, quiet int
}

// Allow reports whether a line may be written now, and how many were held back before it.
func (b *Burst) Allow(now time.Time) (ok bool, before int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if now.Sub(b.since) >= logWindow {
		before, b.since, b.lines, b.quiet = b.quiet, now, 0, 0
	}
	if b.lines == LogBurst {
		b.quiet++
		return false, 0
	}
	b.lines++
	return true, before
}
