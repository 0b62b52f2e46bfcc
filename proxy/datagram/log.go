// Log lines for datagrams that are dropped: each names what to look at in the YAML, and of a flood only the first are written.

package datagram

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// Of one reason of one series logBurst lines are written in logWindow. The first line after that says how many were not.
const (
	logBurst  = 5
	logWindow = 10 * time.Second
)

// burst counts lines of one kind.
type burst struct {
	mu           sync.Mutex
	since        time.Time
	lines, quiet int
}

// allow reports whether a line may be written now, and how many were held back before it.
func (b *burst) allow(now time.Time) (ok bool, before int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if now.Sub(b.since) >= logWindow {
		before, b.since, b.lines, b.quiet = b.quiet, now, 0, 0
	}
	if b.lines == logBurst {
		b.quiet++
		return false, 0
	}
	b.lines++
	return true, before
}

// drop counts a datagram that goes nowhere, and says so.
func (x *Series) drop(k *Socket, r *Route, why Drop, from *key, err error) {
	x.drops[why].Add(1)
	log := k.server.log
	level := slog.LevelWarn
	if why == Forged || why == ClientFailed {
		level = slog.LevelDebug // what clients do
	}
	if !log.Enabled(context.Background(), level) {
		return
	}
	ok, before := x.logged[why].allow(time.Now())
	if !ok {
		return
	}
	attrs := []slog.Attr{
		slog.String("reason", why.String()), slog.String("gateway", x.labels.Gateway), slog.String("listener", x.labels.Listener),
		slog.String("route", x.labels.Route), slog.String("backend", x.labels.Backend), slog.String("at", r.At),
		slog.String("client", from.peer().String()),
	}
	if err != nil {
		attrs = append(attrs, slog.Any("error", err))
	}
	if why == SessionLimit {
		attrs = append(attrs, slog.String("hint", "raise --max-udp-sessions"))
	}
	if before > 0 {
		attrs = append(attrs, slog.Int("not_logged_before", before))
	}
	log.LogAttrs(context.Background(), level, "datagram dropped", attrs...)
}
