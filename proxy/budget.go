// Retry budgets (GEP-3388): how many of a backend's requests may be retries, counted over a window of time, whichever rules they come from.
//
// A window is ten slots that each stand for a tenth of it; what is older than the window falls out a slot at a time. With 20 percent in 10 s, and 100
// requests in each of the last ten seconds, the 250th retry is allowed (250 of 1,250) and the 251st is not, and the client is answered with 503.

package proxy

import (
	"sync"
	"time"

	"github.com/wicketgate/wicketgate/gateway"
)

// tallySlots is how many parts a window has.
const tallySlots = 10

// tally counts what happened within a time. Its user locks it.
type tally struct {
	slot  time.Duration // the time that one slot stands for
	at    [tallySlots]int64
	count [tallySlots]int64
}

func newTally(span time.Duration) tally { return tally{slot: max(span/tallySlots, 1)} }

// add counts one at a time.
func (w *tally) add(now time.Duration) {
	at := int64(now / w.slot)
	i := at % tallySlots
	if w.at[i] != at {
		w.at[i], w.count[i] = at, 0
	}
	w.count[i]++
}

// sum counts what has not fallen out at a time.
func (w *tally) sum(now time.Duration) (n int64) {
	first := int64(now/w.slot) - tallySlots
	for i := range w.at {
		if w.at[i] > first {
			n += w.count[i]
		}
	}
	return n
}

// budget is a gateway.RetryBudget of one backend, with what was spent of it. It may be used concurrently.
type budget struct {
	spec  gateway.RetryBudget
	began time.Time

	mu                      sync.Mutex
	requests, retries, last tally // last has retries, too, over the shorter time
}

func newBudget(spec gateway.RetryBudget) *budget {
	return &budget{
		spec: spec, began: time.Now(), requests: newTally(spec.Interval), retries: newTally(spec.Interval), last: newTally(spec.MinInterval),
	}
}

// request counts a request of a client.
func (b *budget) request() {
	now := time.Since(b.began)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.requests.add(now)
}

// retry reports whether one more retry is allowed, and counts it if so.
func (b *budget) retry() bool {
	now := time.Since(b.began)
	b.mu.Lock()
	defer b.mu.Unlock()
	retries := b.retries.sum(now) + 1
	if b.last.sum(now) >= int64(b.spec.MinCount) && retries*100 > int64(b.spec.Percent)*(b.requests.sum(now)+retries) {
		return false
	}
	b.retries.add(now)
	b.last.add(now)
	return true
}

// budget goes on with that of the previous snapshot if it is the same.
func (c *compiler) budget(t *gateway.Target) *budget {
	if t.Budget == nil {
		return nil
	}
	b := c.budgets[t.Key]
	if b == nil {
		b = c.previousBudgets[t.Key]
	}
	if b == nil || b.spec != *t.Budget {
		b = newBudget(*t.Budget)
	}
	c.budgets[t.Key] = b
	return b
}
