// Health: an endpoint that cannot be connected to is ejected, for 1 s at first and twice as long each time it fails again, up to 30 s. When
// its time is over one request at a time tries it; a connection restores it.

package backend

import (
	"crypto/tls"
	"log/slog"
	"sync/atomic"
	"time"
)

const (
	firstEjection = time.Second
	maxEjection   = 30 * time.Second
)

// endpoint is one address of a backend with what is known of it and its idle connections. It may be used concurrently.
type endpoint struct {
	backend *Backend
	place
	id    uint64 // what sessions know it by
	stats *Stats
	tls1  *tls.Config   // for connections of HTTP/1.1; nil: plaintext
	tls2  *tls.Config   // for those that may be shared; nil: plaintext
	chose atomic.Uint32 // choseNothing, ...
	lane                // the connections that are for anybody
	lanes lanes         // those that are not

	ejected atomic.Bool  // read by rebuild, and by restore as its quick way out
	gate    atomic.Int64 // registry time from which a request may try an ejected endpoint

	failures int   // dials in a row that failed; guarded by backend.mu
	until    int64 // end of the ejection; guarded by backend.mu
}

func newEndpoint(b *Backend, at place) *endpoint {
	e := &endpoint{backend: b, place: at, id: at.id(b.registry.opt.SessionKey), stats: &b.stats}
	e.endpoint = e
	e.pool.init(stacks(), b.registry.opt.IdlePerEndpoint)
	e.protocols()
	return e
}

// claim lets one caller through once the ejection is over, and the next one when that has had the time to find out.
func (e *endpoint) claim(now int64) bool {
	g := e.gate.Load()
	return now >= g && e.gate.CompareAndSwap(g, now+int64(e.backend.registry.opt.ConnectTimeout))
}

// failed records a failed dial. Dials that fail while the endpoint is ejected already (they began before, or nothing else was left to
// try) do not make it longer.
func (e *endpoint) failed(why error) {
	b := e.backend
	b.mu.Lock()
	now := b.registry.now()
	if e.ejected.Load() && now < e.until {
		b.mu.Unlock()
		return
	}
	d := min(firstEjection<<min(e.failures, 10), maxEjection)
	e.failures++
	e.until = now + int64(d)
	e.gate.Store(e.until)
	e.ejected.Store(true)
	e.chose.Store(choseNothing) // what listens there next may speak something else
	b.rebuild()
	b.mu.Unlock()
	e.stats.Ejected.Add(1)
	b.registry.opt.Log.Warn("endpoint does not accept connections", slog.String("backend", b.key),
		slog.String("endpoint", e.String()), slog.Duration("left_out_for", d), slog.Any("error", why))
}

// restore records that a connection works.
func (e *endpoint) restore() {
	if !e.ejected.Load() {
		return
	}
	b := e.backend
	b.mu.Lock()
	was := e.ejected.Swap(false)
	e.failures, e.until = 0, 0
	b.rebuild()
	b.mu.Unlock()
	if was {
		b.registry.opt.Log.Info("endpoint accepts connections again", slog.String("backend", b.key),
			slog.String("endpoint", e.String()))
	}
}
