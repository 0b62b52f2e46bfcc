// Package proxy answers requests: it compiles a gateway.Graph into a Snapshot, finds the rule for each request, applies its filters, forwards to
// a backend or answers itself, and counts.
//
// # A request, from top to bottom
//
//	serve.go     the way of a request: capture a snapshot, find socket, listener, rule; metrics at the end
//	resolve.go   host -> listener, 421 for a host of another listener; memory of a connection
//	forwarded.go X-Forwarded-* and names with '_': what a client may not say, what a backend is told
//	filters.go   redirects, rewrites and header changes of a rule and of a backendRef
//	forward.go   to the backend and back; tunnel.go after an upgrade; retry.go for rules with a retry stanza
//	answer.go    answers of our own; errorlog.go their log lines; record.go the access log
//
// Connections that carry no requests, those of TCP and TLS listeners, go by streams.go to package stream; datagrams go by datagrams.go to package
// datagram.
//
// # Snapshots
//
// A Snapshot is immutable and stands behind one atomic pointer, certificates included, so that a change of the configuration is one
// store. A request captures it once and finishes on it; the next request of the same connection sees the new one. What a snapshot
// holds elsewhere (backends, metric series) it gives back when it has been replaced and its last request is done: lifetime.go says how that
// is known for two uncontended additions a request.
package proxy

import (
	"context"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/wicketgate/wicketgate/accesslog"
	"github.com/wicketgate/wicketgate/message"
	"github.com/wicketgate/wicketgate/proxy/backend"
	"github.com/wicketgate/wicketgate/proxy/datagram"
	"github.com/wicketgate/wicketgate/proxy/stream"
	"github.com/wicketgate/wicketgate/tls"
	"github.com/wicketgate/wicketgate/wire"
)

// Underscore says what becomes of header fields with '_' in their name, which many backends cannot tell from '-'.
type Underscore uint8

// The policies for names with '_'.
const (
	DropUnderscore   Underscore = iota // remove the field
	AllowUnderscore                    // forward it
	RejectUnderscore                   // answer 400
)

// Options are a proxy's settings.
type Options struct {
	// Registry is where backends come from.
	Registry *backend.Registry
	// Log gets a line for each error answer, of a flood a summary. Nil: none.
	Log *slog.Logger
	// AccessLog gets a line for each request. Nil: there is none.
	AccessLog *accesslog.Log
	// Metrics is where the proxy registers its collector. Nil: it counts for nobody.
	Metrics prometheus.Registerer
	// TrustedProxies are the addresses of peers whose Forwarded, X-Forwarded-* and X-Real-IP fields are believed.
	TrustedProxies []netip.Prefix
	// Streams carries the connections of TCP and TLS listeners. Nil: one with defaults, and the proxy's Log and Metrics.
	Streams *stream.Server
	// SessionKey proves that sessions' tokens are ours. It is the registry's, too. With another one, sessions begin anew.
	SessionKey []byte
	// Datagrams carries those of UDP listeners. Nil: one with defaults, and the proxy's Log and Metrics; there are no sockets of it.
	Datagrams *datagram.Server
	// KeepSlashes leaves several slashes in a row in paths as they are, for backends that are object stores.
	KeepSlashes bool
	// Challenge, if set, gives the answer to a certificate authority that asks for a path below /.well-known/acme-challenge/ of a host in plain
	// HTTP. False: the request is like any other. It may block a little.
	Challenge  func(ctx context.Context, host, path string) (string, bool)
	Underscore Underscore
	// HTTP3 says whether HTTP/3 is served on the socket bound to an address: answers over TCP then tell clients of it (Alt-Svc, RFC 7838).
	// Nil: nowhere. It is asked once for each connection and snapshot.
	HTTP3 func(bind netip.AddrPort) bool
}

// Proxy answers requests by the current snapshot. It implements wire.Handler and may be used concurrently.
type Proxy struct {
	opt     Options
	acquire func(backend.Config) upstream
	metrics *metrics
	errors  *errorLog

	current    atomic.Pointer[Snapshot]
	generation atomic.Uint64 // of the latest compiled snapshot
	noFilters  *filters      // of all rules and backendRefs without filters
	shards     uint32        // of every snapshot's and series' counters; a power of two
	nextShard  atomic.Uint32 // deals shards to connections
	calls      sync.Pool     // *call

	reflections reflections
}

// upstream is what the proxy needs of a backend.Backend.
type upstream interface {
	stream.Upstream
	datagram.Upstream
	RoundTrip(x wire.Exchange, req *message.Head, body message.Body, t backend.Timeouts, res *backend.Response) error
	Release()
}

var _ wire.Prompt = (*Proxy)(nil)

// New returns a proxy with an empty snapshot, by which every request is answered with 404. It panics if Options.Metrics has a
// collector of the same names already, which is a mistake of the program.
func New(o Options) *Proxy {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Streams == nil {
		o.Streams = stream.NewServer(stream.Options{Log: o.Log, Metrics: o.Metrics})
	}
	if o.Datagrams == nil {
		o.Datagrams = datagram.NewServer(datagram.Options{Log: o.Log, Metrics: o.Metrics})
	}
	p := &Proxy{opt: o, noFilters: new(filters), shards: shardCount()}
	o.Datagrams.Use(p.enterDatagrams)
	p.acquire = func(c backend.Config) upstream { return o.Registry.Acquire(c) }
	p.metrics = newMetrics(p.shards)
	p.errors = newErrorLog(o.Log)
	p.calls.New = func() any { return &call{proxy: p} }
	if o.Metrics != nil {
		o.Metrics.MustRegister(p.metrics)
	}
	p.current.Store(p.empty())
	return p
}

// Swap makes s the snapshot of all requests that begin from now on. Requests that began earlier finish on theirs, and the last of them
// releases it.
func (p *Proxy) Swap(s *Snapshot) {
	if old := p.current.Swap(s); old != s {
		p.opt.Streams.Keep(s.streamKeys())
		p.opt.Datagrams.Refresh()
		old.life.retire()
	}
}

// Current is the snapshot in force.
func (p *Proxy) Current() *Snapshot { return p.current.Load() }

// Certificates are those of the snapshot in force: what tls.Options.Current wants.
func (p *Proxy) Certificates() *tls.Certificates { return p.current.Load().certs }

// Close breaks off what goes to mirrors, releases the current snapshot and writes the summaries that the log still owes. Requests that come all the same are answered with 404.
func (p *Proxy) Close() {
	p.reflections.close()
	p.Swap(p.empty())
	p.errors.close()
}
