// The registry: backends by key, shared by the snapshots that use them.

package backend

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Defaults of Options.
const (
	DefaultConnectTimeout   = 5 * time.Second
	DefaultHandshakeTimeout = 5 * time.Second
	DefaultIdleTimeout      = 4 * time.Second
	DefaultIdlePerEndpoint  = 1024
	DefaultSharedIdle       = time.Minute
	DefaultLookupTimeout    = 5 * time.Second
)

// Options are a registry's settings. Zero durations and counts mean the defaults above.
type Options struct {
	// Dial opens a connection; it decides what may be dialled. loopback says that an address of this machine was named on purpose.
	// ctx ends with the request; its deadline, at most ConnectTimeout away, is to be kept whether or not it ends ctx (dial.Until). There are no
	// keep-alive probes on the connection yet.
	Dial func(ctx context.Context, to netip.AddrPort, loopback bool) (net.Conn, error)
	// Datagrams says whether datagrams may be sent to an address, as Dial does for connections. Nil: anywhere.
	Datagrams func(to netip.AddrPort, loopback bool) error
	// Resolver finds the addresses of named backends. Without one, they have none.
	Resolver Resolver
	// DialUnix connects to a Unix socket on this machine. Without it there are none.
	DialUnix func(ctx context.Context, path string) (net.Conn, error)
	// SessionKey makes the IDs of endpoints, so that they tell nobody the addresses. They are the same wherever the key is.
	SessionKey []byte
	// Log is told of endpoints that come and go. Nil: nobody is.
	Log *slog.Logger
	// Portable uses net.Conn's reads and writes where the raw transport would be available.
	Portable bool
	// ConnectTimeout bounds one dial.
	ConnectTimeout time.Duration
	// HandshakeTimeout bounds the TLS handshake after it.
	HandshakeTimeout time.Duration
	// IdleTimeout is how long an unused connection is kept (servers usually close theirs after 5 s), and IdlePerEndpoint how many.
	IdleTimeout     time.Duration
	IdlePerEndpoint int
	// SharedIdleTimeout is how long a connection of HTTP/2 is kept without a stream. One that ends meanwhile costs no request: what a backend did
	// not process is sent again.
	SharedIdleTimeout time.Duration
	// LookupTimeout bounds a name lookup, and how long a request waits for the first one.
	LookupTimeout time.Duration
}

func (o *Options) setDefaults() {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.ConnectTimeout == 0 {
		o.ConnectTimeout = DefaultConnectTimeout
	}
	if o.HandshakeTimeout == 0 {
		o.HandshakeTimeout = DefaultHandshakeTimeout
	}
	if o.IdleTimeout == 0 {
		o.IdleTimeout = DefaultIdleTimeout
	}
	if o.IdlePerEndpoint == 0 {
		o.IdlePerEndpoint = DefaultIdlePerEndpoint
	}
	if o.SharedIdleTimeout == 0 {
		o.SharedIdleTimeout = DefaultSharedIdle
	}
	if o.LookupTimeout == 0 {
		o.LookupTimeout = DefaultLookupTimeout
	}
}

// Registry owns the backends. It may be used concurrently.
type Registry struct {
	opt   Options
	start time.Time // of the clock that health is kept by
	sweep sweeper

	mu       sync.Mutex
	backends map[string]*Backend
}

// NewRegistry returns an empty registry. It starts no goroutine before there is something to do, and has none left when every backend
// was released and every response finished.
func NewRegistry(o Options) *Registry {
	o.setDefaults()
	r := &Registry{opt: o, start: time.Now(), backends: make(map[string]*Backend)}
	r.sweep.idle = o.IdleTimeout
	return r
}

func (r *Registry) now() int64 { return int64(time.Since(r.start)) }

// Acquire returns the backend of c.Key and holds it until Release. A backend that exists already is brought up to date in place, for all its
// holders: connections to endpoints that stay are kept, idle ones to endpoints that went are closed, requests in flight finish.
func (r *Registry) Acquire(c Config) *Backend {
	r.mu.Lock()
	defer r.mu.Unlock()
	b := r.backends[c.Key]
	if b == nil {
		b = &Backend{registry: r, key: c.Key, tls: c.TLS, protocol: c.Protocol, introduce: c.Introduce, endpoints: make(map[place]*endpoint)}
		b.view.Store(&view{})
		r.backends[c.Key] = b
	}
	b.refs++
	b.update(c)
	return b
}

// Backend is one destination of requests: a set of endpoints that are equals. All methods may be called concurrently.
type Backend struct {
	registry *Registry
	key      string
	tls      *TLS // nil: plaintext
	protocol Protocol
	// introduce is Config.Introduce.
	introduce int
	stats     Stats
	turn      atomic.Uint32 // round robin
	view      atomic.Pointer[view]
	loopback  atomic.Bool
	names     atomic.Pointer[names] // nil: the endpoints are given

	refs int // guarded by registry.mu

	mu        sync.Mutex // guards what follows and the making of views
	endpoints map[place]*endpoint
	order     []*endpoint // as configured or resolved
	released  bool
}

// Key is the key that the backend was acquired with.
func (b *Backend) Key() string { return b.key }

// Ready reports whether there is an endpoint to try.
func (b *Backend) Ready() bool { return len(b.view.Load().all) > 0 }

// Release gives up what Acquire got. With the last holder gone, idle connections are closed and lookups stop; requests still in flight
// finish.
func (b *Backend) Release() {
	r := b.registry
	r.mu.Lock()
	defer r.mu.Unlock()
	if b.refs--; b.refs > 0 {
		return
	}
	delete(r.backends, b.key)
	if n := b.names.Swap(nil); n != nil {
		n.stop()
	}
	b.mu.Lock()
	b.released = true
	b.mu.Unlock()
	b.setEndpoints(nil)
}

// update applies a configuration. registry.mu is held.
func (b *Backend) update(c Config) {
	b.loopback.Store(c.Loopback)
	old := b.names.Load()
	if len(c.Endpoints)+len(c.Sockets) > 0 || len(c.Hosts) == 0 {
		b.names.Store(nil)
		if old != nil {
			old.stop()
		}
		b.setEndpoints(places(c))
		return
	}
	if old != nil {
		if slices.EqualFunc(old.hosts, c.Hosts, func(h *host, o Host) bool { return h.equal(o) }) {
			return
		}
		old.stop()
	}
	n := newNames(b, c.Hosts, old)
	b.setEndpoints(n.places())
	b.names.Store(n)
	n.follow()
}

// setEndpoints replaces the set of endpoints, keeping those that are in both.
func (b *Backend) setEndpoints(addrs []place) {
	b.mu.Lock()
	gone := b.endpoints
	if b.released {
		addrs = nil
	}
	b.endpoints = make(map[place]*endpoint, len(addrs))
	b.order = make([]*endpoint, 0, len(addrs))
	for _, a := range addrs {
		if b.endpoints[a] != nil {
			continue // named twice
		}
		e := gone[a]
		if e == nil {
			e = newEndpoint(b, a)
		}
		delete(gone, a)
		b.endpoints[a] = e
		b.order = append(b.order, e)
	}
	b.rebuild()
	b.mu.Unlock()
	for _, e := range gone {
		e.retire()
	}
}
