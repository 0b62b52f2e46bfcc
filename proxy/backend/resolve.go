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
	"sync/atomic"
	"time"
)

// Resolver finds addresses by name.
type Resolver interface {
	// Lookup tries absolute names in order and returns the first one's addresses that has any, and for how long they hold.
	Lookup(ctx context.Context, names []string) (addrs []netip.Addr, ttl time.Duration, err error)
}

const (
	minLookupPause = time.Second // between two lookups, whatever the time to live
	maxLookupPause = time.Hour
	maxRetryPause  = 30 * time.Second // between lookups that fail
)

var errNoResolver = errors.New("names are not looked up here: no resolver is configured")

// names keeps one backend's endpoints equal to what its names resolve to.
type names struct {
	backend *Backend
	list    []string
	port    uint16
	first   chan struct{} // closed when the first lookup is over
	wanted  chan struct{} // a lookup is wanted before its time
	err     atomic.Pointer[error]
	stop    context.CancelFunc // ends the loop
}

// follow begins to look the names up, until stop.
func follow(b *Backend, list []string, port uint16) *names {
	n := &names{backend: b, list: list, port: port, first: make(chan struct{}), wanted: make(chan struct{}, 1)}
	ctx, stop := context.WithCancel(context.Background())
	n.stop = stop
	go n.loop(ctx)
	return n
}

// hurry asks for a lookup soon. It does not block.
func (n *names) hurry() {
	select {
	case n.wanted <- struct{}{}:
	default:
	}
}

func (n *names) loop(ctx context.Context) {
	failures := 0
	timer := time.NewTimer(0)
	defer timer.Stop()
	<-timer.C
	for first := true; ; first = false {
		ttl, err := n.lookup(ctx)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			n.report(err, failures)
			ttl = min(minLookupPause<<min(failures, 10), maxRetryPause)
			failures++
		} else {
			failures = 0
			n.err.Store(nil)
		}
		if first {
			close(n.first)
		}
		if !n.pause(ctx, timer, min(max(ttl, minLookupPause), maxLookupPause)) {
			return
		}
	}
}

// pause waits until the next lookup is due and reports whether there is one.
func (n *names) pause(ctx context.Context, timer *time.Timer, d time.Duration) bool {
	timer.Reset(minLookupPause)
	select {
	case <-timer.C:
	case <-ctx.Done():
		return false
	}
	timer.Reset(d - minLookupPause)
	select {
	case <-timer.C:
	case <-n.wanted:
	case <-ctx.Done():
		return false
	}
	return true
}

// lookup asks once and applies the answer.
func (n *names) lookup(ctx context.Context) (time.Duration, error) {
	resolver := n.backend.registry.opt.Resolver
	if resolver == nil {
		return 0, errNoResolver
	}
	ctx, cancel := context.WithTimeout(ctx, n.backend.registry.opt.LookupTimeout)
	defer cancel()
	found, ttl, err := resolver.Lookup(ctx, n.list)
	if err != nil {
		return 0, err
	}
	if len(found) == 0 {
		return 0, errors.New("the answer has no usable address")
	}
	addrs := make([]netip.AddrPort, len(found))
	for i, a := range found {
		addrs[i] = netip.AddrPortFrom(a, n.port)
	}
	n.backend.resolved(n, addrs)
	return ttl, nil
}

// resolved applies an answer unless the backend has other names by now.
func (b *Backend) resolved(n *names, addrs []netip.AddrPort) {
	b.registry.mu.Lock()
	defer b.registry.mu.Unlock()
	if b.names.Load() == n {
		b.setEndpoints(addrs)
	}
}

// report keeps the error for requests' answers, and logs the first of several.
func (n *names) report(err error, failures int) {
	err = fmt.Errorf("%s does not resolve: %w", strings.Join(n.list, " or "), err)
	n.err.Store(&err)
	if failures > 0 {
		return
	}
	n.backend.registry.opt.Log.Warn("name of a backend does not resolve; the last good addresses are kept",
		slog.String("backend", n.backend.key), slog.Bool("has_addresses", n.backend.Ready()), slog.Any("error", err))
}

// await waits for the first lookup, until ctx ends, and then says why there is no address.
func (n *names) await(ctx context.Context) error {
	select {
	case <-n.first:
	case <-ctx.Done():
		return fmt.Errorf("%s is still being looked up: %w", strings.Join(n.list, " or "), context.Cause(ctx))
	}
	if err := n.err.Load(); err != nil {
		n.hurry()
		return *err
	}
	return nil
}
