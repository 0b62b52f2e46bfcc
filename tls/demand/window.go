// So many in any hour, or second: not so many since it struck, which would let twice as many through around the stroke.

package demand

import "time"

// window remembers when the last ones were: a ring of as many times as may fall into its length.
type window struct {
	length time.Duration
	times  []time.Time
	oldest int
}

func newWindow(most int, length time.Duration) window {
	return window{length: length, times: make([]time.Time, most)}
}

// full says whether no more may come now.
func (w *window) full(now time.Time) bool {
	at := w.times[w.oldest]
	return !at.IsZero() && now.Sub(at) < w.length
}

// take counts one, unless the window is full.
func (w *window) take(now time.Time) bool {
	if w.full(now) {
		return false
	}
	w.times[w.oldest] = now
	w.oldest = (w.oldest + 1) % len(w.times)
	return true
}
