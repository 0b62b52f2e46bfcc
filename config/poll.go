// Polling: finding by looking what no notification tells. Bind mounts of single files, network file systems and some containers' mounts lose
// events; a place that could not be read may be readable later; and a file that was still being written when it was read gives no
// further event if that was its last write.

package config

import (
	"context"
	"slices"
	"time"
)

const (
	// DefaultPoll is how often the files are compared with what was read of them.
	DefaultPoll = 10 * time.Second
	// pollLost is how often, while something could not be read.
	pollLost = time.Second
	// pollShare bounds what polling costs: after each look there is a pause of at least this many times as long.
	pollShare = 100
	// unsettledPause is the time from a load that found files being written to the next.
	unsettledPause = 100 * time.Millisecond
)

// Poll signals, on the channel it returns, that the content of the files, or what of them can be read, is not what the last load found: about
// every so often, or, if every is 0, only after a load that met files which were being written. It ends with ctx; the channel is never closed.
func (l *Loader) Poll(ctx context.Context, every time.Duration) <-chan struct{} {
	signals := make(chan struct{}, 1)
	go func() {
		var took time.Duration
		for ctx.Err() == nil {
			var look <-chan time.Time
			if every > 0 {
				pause := every
				if l.lossy.Load() {
					pause = min(pause, pollLost)
				}
				look = time.After(max(pause, pollShare*took))
			}
			select {
			case <-ctx.Done():
			case <-l.unsettled:
				select {
				case <-ctx.Done():
				case <-time.After(unsettledPause):
					notify(signals)
				}
			case <-look:
				begun := time.Now()
				if l.differs(ctx) {
					notify(signals)
				}
				took = time.Since(begun)
			}
		}
	}()
	return signals
}

// differs reads all files and compares them with what the last load found. If they differ the next load reads them all, too: there may be no
// other sign of it than their content.
func (l *Loader) differs(ctx context.Context) bool {
	r := reader{lim: l.lim, deadline: time.Now(), known: func(string) bool { return true }, seen: seenBy(l.roots), found: listings{}, sumsOnly: true, confined: confinements(l.roots)}
	for i, root := range l.roots {
		if err := r.readRoot(ctx, i, root); err != nil {
			r.lose(i, root, err)
		}
	}
	if r.settled(ctx) != nil {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if ctx.Err() != nil || !l.memory.started {
		return false
	}
	differ := len(r.files) != len(l.memory.files) || !slices.Equal(r.lost, l.memory.lost) ||
		slices.ContainsFunc(r.files, func(f *file) bool {
			before := l.memory.files[f.name]
			return before == nil || before.sum != f.sum
		})
	if differ {
		l.memory.listings = nil
		notify(l.hints.doubts)
	}
	return differ
}
