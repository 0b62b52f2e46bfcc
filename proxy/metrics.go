// Metrics of requests, by gateway, listener, route, rule and (for the count) code.
//
// A series is made when a rule is compiled, so that a request finds it without a lookup; rules without traffic are not exposed. Where many requests come there
// are counters for each shard (lifetime.go), and counting a request is four additions that no other core fights over; until then one set is enough,
// so that thousands of rules with little traffic need little memory. That set fills one line of the processor's caches, and what is seldom
// counted is apart. Series outlive snapshots as long as a snapshot has their rule; those of removed
// rules go away with the last snapshot that had it.

package proxy

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/wicketgate/wicketgate/proxy/ledger"
)

// labels name a series. Empty ones mean that the request did not get that far: no listener for its host, no rule.
type labels struct{ gateway, listener, route, rule string }

// of are the labels under which connections and sessions of a backend are counted; backend is empty if they do not come to one.
func (l labels) of(backend string) ledger.Labels {
	return ledger.Labels{Gateway: l.gateway, Listener: l.listener, Route: l.route, Backend: backend}
}

// bounds are the upper bounds of the duration histogram's buckets.
var bounds = [...]time.Duration{
	time.Millisecond, 2500 * time.Microsecond, 5 * time.Millisecond, 10 * time.Millisecond, 25 * time.Millisecond,
	50 * time.Millisecond, 100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond, time.Second,
	2500 * time.Millisecond, 5 * time.Second, 10 * time.Second,
}

// busy is from how many requests on a series has counters for each shard.
const busy = 1024

// quick is how many buckets, the first, count what most requests take.
const quick = 3

// cell holds counters of one series: 64 bytes.
type cell struct {
	started atomic.Int64
	nanos   atomic.Int64 // sum of durations
	// code is the first that came, or 0, and answered how often. Most rules have no other.
	answered atomic.Int64
	code     atomic.Int32
	buckets  [quick]atomic.Int64
	rare     atomic.Pointer[rareCounts] // nil until any of them counts
}

// rareCounts are the counters of a cell that many rules never need.
type rareCounts struct {
	buckets [len(bounds) + 1 - quick]atomic.Int64
	retries [retryReasons]atomic.Int64 // by reason; under retryNone those that were withheld
	calls   atomic.Pointer[callCounts] // nil until the first gRPC call is over
	mu      sync.Mutex                 // held to replace codes
	// codes are those that are not the cell's, copied when one comes for the first time. It is short: a backend uses few codes.
	codes atomic.Pointer[[]*codeCount]
}

// ownCell is a cell that only one shard's connections add to. It fills the cache lines that processors fetch together.
type ownCell struct {
	cell
	_ [64]byte
}

// callCounts are gRPC calls by their grpc-status.
type callCounts [grpcCodes + 1]atomic.Int64

type codeCount struct {
	code int
	n    atomic.Int64
}

// series counts the requests of one rule on one listener.
type series struct {
	few    cell                      // of the first requests, whichever shard they come from
	own    atomic.Pointer[[]ownCell] // of the others, by shard
	shards uint32
	refs   int32   // snapshots; guarded by metrics.mu
	place  *labels // gateway and listener
	route  string
	rule   string
}

// labels are the series' own.
func (s *series) labels() labels {
	l := *s.place
	l.route, l.rule = s.route, s.rule
	return l
}

// start counts a request in.
func (s *series) start(shard uint32) { s.cell(shard).started.Add(1) }

// done counts a request that was started.
func (s *series) done(shard uint32, code int, took time.Duration) {
	c := s.cell(shard)
	at := 0
	for at < len(bounds) && took > bounds[at] {
		at++
	}
	c.nanos.Add(int64(took))
	c.count(code).Add(1)
	c.bucket(at).Add(1)
}

// called counts the outcome of a gRPC call.
func (s *series) called(shard uint32, code grpcCode) {
	c := s.cell(shard).others()
	if c.calls.Load() == nil {
		c.calls.CompareAndSwap(nil, new(callCounts))
	}
	c.calls.Load()[code].Add(1)
}

// retried counts a request that is sent again.
func (s *series) retried(shard uint32, why retryReason) { s.cell(shard).others().retries[why].Add(1) }

// retryWithheld counts a retry that the rule asks for and that was impossible.
func (s *series) retryWithheld(shard uint32) { s.cell(shard).others().retries[retryNone].Add(1) }

// cell returns counters for a shard's connections, and makes them if need be. One request may count in two cells: only sums are read.
func (s *series) cell(shard uint32) *cell {
	if s.few.started.Load() < busy {
		return &s.few
	}
	if own := s.own.Load(); own != nil {
		return &(*own)[shard].cell
	}
	own := make([]ownCell, s.shards)
	s.own.CompareAndSwap(nil, &own)
	return &(*s.own.Load())[shard].cell
}

// used says whether there was a request.
func (s *series) used() bool { return s.few.started.Load() > 0 }

// cells are all that there are.
func (s *series) cells() []*cell {
	all := []*cell{&s.few}
	if own := s.own.Load(); own != nil {
		for i := range *own {
			all = append(all, &(*own)[i].cell)
		}
	}
	return all
}

// others returns the cell's rare counters, and makes them if need be.
func (c *cell) others() *rareCounts {
	if c.rare.Load() == nil {
		c.rare.CompareAndSwap(nil, new(rareCounts))
	}
	return c.rare.Load()
}

// bucket returns the counter of a duration, by its place in bounds.
func (c *cell) bucket(at int) *atomic.Int64 {
	if at < quick {
		return &c.buckets[at]
	}
	return &c.others().buckets[at-quick]
}

// count returns the counter of a code.
func (c *cell) count(code int) *atomic.Int64 {
	if code != 0 && (c.code.Load() == int32(code) || c.code.CompareAndSwap(0, int32(code))) {
		return &c.answered
	}
	others := c.others()
	if list := others.codes.Load(); list != nil {
		for _, n := range *list {
			if n.code == code {
				return &n.n
			}
		}
	}
	return others.addCode(code)
}

func (c *rareCounts) addCode(code int) *atomic.Int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	var list []*codeCount
	if old := c.codes.Load(); old != nil {
		list = *old
	}
	for _, n := range list {
		if n.code == code {
			return &n.n
		}
	}
	n := &codeCount{code: code}
	list = append(slices.Clip(list), n)
	c.codes.Store(&list)
	return &n.n
}

// metrics owns all series and is the prometheus.Collector of them.
type metrics struct {
	shards uint32

	requests, duration, inFlight, retries, withheld, mirrored, calls *prometheus.Desc

	mirrors mirrorCounts

	mu     sync.Mutex
	series map[labels]*series
	at     *labels // the place of the latest series; guarded by mu
}

func newMetrics(shards uint32) *metrics {
	names := []string{"gateway", "listener", "route", "rule"}
	return &metrics{
		shards: shards,
		series: map[labels]*series{},
		requests: prometheus.NewDesc("wicketgate_http_requests_total",
			"Requests that were answered or given up, by the status code sent (499: the client left before).", append(names, "code"), nil),
		duration: prometheus.NewDesc("wicketgate_http_request_duration_seconds",
			"Time from a request's first byte to the end of its response.", names, nil),
		inFlight: prometheus.NewDesc("wicketgate_http_requests_in_flight",
			"Requests that have a rule and are not finished.", names, nil),
		retries: prometheus.NewDesc("wicketgate_http_retries_total",
			"Requests sent again because the rule's retry stanza asks for it, by what the try before came to.", append(names, "reason"), nil),
		withheld: prometheus.NewDesc("wicketgate_http_retries_withheld_total",
			"Retries that the rule asks for and that were impossible: too large a body, or no time left.", names, nil),
		calls: prometheus.NewDesc("wicketgate_grpc_calls_total",
			"gRPC calls of GRPCRoutes that were answered, by their grpc-status (none: no trailers came, or none with a code).",
			append(names, "grpc_status"), nil),
		mirrored: prometheus.NewDesc("wicketgate_mirror_requests_total",
			"Copies of requests for RequestMirror filters: sent and answered, dropped because the mirror fell behind, failed at the mirror, "+
				"aborted because the request itself broke off.", []string{"result"}, nil),
	}
}

// acquire returns the series with these labels and holds it until release.
func (m *metrics) acquire(l labels) *series {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.series[l]
	if s == nil {
		s = &series{place: m.place(l), route: l.route, rule: l.rule, shards: m.shards}
		m.series[l] = s
	}
	s.refs++
	return s
}

// place returns gateway and listener of labels: the same for series that are made one after the other.
func (m *metrics) place(l labels) *labels {
	l.route, l.rule = "", ""
	if m.at == nil || *m.at != l {
		m.at = &l
	}
	return m.at
}

// release gives series back; those that no snapshot holds disappear.
func (m *metrics) release(list []*series) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range list {
		if s.refs--; s.refs == 0 {
			delete(m.series, s.labels())
		}
	}
}
