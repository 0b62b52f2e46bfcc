// Backends given by name: looked up in the background when they are acquired and again when the answer's time to live is over. The
// last good addresses are kept for as long as lookups fail. A dial that fails asks for a new lookup, since a container that was
// replaced has a new address long before its name's time to live is over.

package backend

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Resolver finds addresses by name.
type Resolver interface {
	// Lookup tries absolute names in order and returns the first one's addresses that has any, and for how long they hold. public says that
	// addresses of any network are believed, and not only those of private ones.
	Lookup(ctx context.Context, names []string, public bool) (addrs []netip.Addr, ttl time.Duration, err error)
}

const (
	minLookupPause = time.Second // between two lookups, whatever the time to live
	maxLookupPause = time.Hour
	maxRetryPause  = 30 * time.Second // between lookups that fail
)

var errNoResolver = errors.New("names are not looked up here: no resolver is configured")

// names keeps one backend's endpoints equal to what its hosts resolve to: the addresses of all of them, in their order. Each host has a
// goroutine of its own.
type names struct {
	backend *Backend
	hosts   []*host
	first   chan struct{} // closed when one host has addresses, or the first lookups of all are over
	stop    context.CancelFunc
	ctx     context.Context //nolint:containedctx // of the goroutines, which belong to no request

	mu      sync.Mutex
	missing int  // hosts whose first lookup is not over
	opened  bool // first is closed
}

// host is one of a backend's hosts.
type host struct {
	Host
	names  *names
	wanted chan struct{} // a lookup is wanted before its time
	err    atomic.Pointer[error]
	addrs  []place // the last good ones; guarded by names.mu
}

// newNames makes the names of a backend, which follow begins to look up. Hosts that old, which may be nil, had as well keep their addresses.
func newNames(b *Backend, list []Host, old *names) *names {
	n := &names{backend: b, first: make(chan struct{}), missing: len(list)}
	n.ctx, n.stop = context.WithCancel(context.Background())
	for _, h := range list {
		one := &host{Host: h, names: n, wanted: make(chan struct{}, 1)}
		if old != nil {
			one.addrs = old.addressesOf(h)
		}
		n.hosts = append(n.hosts, one)
	}
	return n
}

// follow begins to look the names up, until stop.
func (n *names) follow() {
	for _, h := range n.hosts {
		go h.loop(n.ctx)
	}
}

// addressesOf gives the last good addresses of a host.
func (n *names) addressesOf(h Host) []place {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, one := range n.hosts {
		if one.equal(h) {
			return one.addrs
		}
	}
	return nil
}

// places gives the addresses of all hosts.
func (n *names) places() (all []place) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, h := range n.hosts {
		all = append(all, h.addrs...)
	}
	return all
}

// hurry asks for lookups soon. It does not block.
func (n *names) hurry() {
	for _, h := range n.hosts {
		select {
		case h.wanted <- struct{}{}:
		default:
		}
	}
}

// looked records that a lookup of a host is over.
func (n *names) looked(first, found bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if first {
		n.missing--
	}
	if !n.opened && (found || n.missing == 0) {
		n.opened = true
		close(n.first)
	}
}

func (h *host) loop(ctx context.Context) {
	failures := 0
	timer := time.NewTimer(0)
	defer timer.Stop()
	<-timer.C
	for first := true; ; first = false {
		ttl, err := h.lookup(ctx)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			h.report(err, failures)
			ttl = min(minLookupPause<<min(failures, 10), maxRetryPause)
			failures++
		} else {
			failures = 0
			h.err.Store(nil)
		}
		h.names.looked(first, err == nil)
		if !h.pause(ctx, timer, min(max(ttl, minLookupPause), maxLookupPause)) {
			return
		}
	}
}

// pause waits until the next lookup is due and reports whether there is one.
func (h *host) pause(ctx context.Context, timer *time.Timer, d time.Duration) bool {
	timer.Reset(minLookupPause)
	select {
	case <-timer.C:
	case <-ctx.Done():
		return false
	}
	timer.Reset(d - minLookupPause)
	select {
	case <-timer.C:
	case <-h.wanted:
	case <-ctx.Done():
		return false
	}
	return true
}

// lookup asks once and applies the answer.
func (h *host) lookup(ctx context.Context) (time.Duration, error) {
	o := &h.names.backend.registry.opt
	if o.Resolver == nil {
		return 0, errNoResolver
	}
	ctx, cancel := context.WithTimeout(ctx, o.LookupTimeout)
	defer cancel()
	found, ttl, err := o.Resolver.Lookup(ctx, h.Names, h.Public)
	if err != nil {
		return 0, err
	}
	if len(found) == 0 {
		return 0, errors.New("the answer has no usable address")
	}
	addrs := make([]place, len(found))
	for i, a := range found {
		addrs[i] = place{addr: netip.AddrPortFrom(a, h.Port)}
	}
	h.names.backend.resolved(h, addrs)
	return ttl, nil
}

// resolved applies an answer unless the backend has other names by now.
func (b *Backend) resolved(h *host, addrs []place) {
	b.registry.mu.Lock()
	defer b.registry.mu.Unlock()
	n := h.names
	n.mu.Lock()
	h.addrs = addrs
	n.mu.Unlock()
	if b.names.Load() == n {
		b.setEndpoints(n.places())
	}
}

// report keeps the error for requests' answers, and logs the first of several.
func (h *host) report(err error, failures int) {
	err = fmt.Errorf("%s does not resolve: %w", strings.Join(h.Names, " or "), err)
	h.err.Store(&err)
	if failures > 0 {
		return
	}
	b := h.names.backend
	b.registry.opt.Log.Warn("name of a backend does not resolve; the last good addresses are kept",
		slog.String("backend", b.key), slog.Bool("has_addresses", b.Ready()), slog.Any("error", err))
}

// await waits for the first lookup, until ctx ends, and then says why there is no address.
func (n *names) await(ctx context.Context) error {
	select {
	case <-n.first:
	case <-ctx.Done():
		var list []string
		for _, h := range n.hosts {
			list = append(list, strings.Join(h.Names, " or "))
		}
		return fmt.Errorf("%s is still being looked up: %w", strings.Join(list, ", "), context.Cause(ctx))
	}
	var all []error
	for _, h := range n.hosts {
		if err := h.err.Load(); err != nil {
			all = append(all, *err)
		}
	}
	if len(all) < len(n.hosts) {
		return nil
	}
	n.hurry()
	return errors.Join(all...)
}
