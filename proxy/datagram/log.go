// Log lines for datagrams that are dropped: each names what to look at in the YAML, and of a flood only the first are written.

package datagram

import (
	"context"
	"log/slog"
	"time"
)

// drop counts a datagram that goes nowhere, and says so.
func (k *Socket) drop(x *Series, r *Route, why Drop, from *key, err error) {
	x.Counts.drops[why].Add(1)
	log := k.server.log
	level := slog.LevelWarn
	if why == Forged || why == ClientFailed {
		level = slog.LevelDebug // what clients do
	}
	if !log.Enabled(context.Background(), level) {
		return
	}
	ok, before := x.Counts.logged[why].Allow(time.Now())
	if !ok {
		return
	}
	attrs := []slog.Attr{
		slog.String("reason", why.String()), slog.String("gateway", x.Labels.Gateway), slog.String("listener", x.Labels.Listener),
		slog.String("route", x.Labels.Route), slog.String("backend", x.Labels.Backend), slog.String("at", r.At),
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
