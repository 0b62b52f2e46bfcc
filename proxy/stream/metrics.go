// Metrics of connections, by gateway, listener, route and backend.
//
// A series is made when a route is compiled, and held by the snapshots that have it and by every connection that it counts, so that a connection
// that outlives its route is still to be seen. Bytes are counted on the connection itself, which no other core fights over, and summed up when they are asked for.

package stream

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/wicketgate/wicketgate/proxy/ledger"
)

// Outcome says how a connection ended.
type Outcome uint8

// The outcomes.
const (
	OK            Outcome = iota // both sides have said all
	ClientReset                  // the client failed or took no more
	BackendReset                 // the backend did
	Drained                      // ended from outside
	NoEndpoint                   // none is ready, or its name does not resolve
	ConnectFailed                // no endpoint accepts connections
	BackendTLS                   // no endpoint's handshake or certificate was good
	ClientGone                   // the client left while a backend was dialled
	ClientTLS                    // the client's handshake failed
	Unusable                     // the route or the backendRef is
	Failed                       // a fault of ours
	outcomes
)

func (o Outcome) String() string {
	return [...]string{
		"ok", "client_reset", "backend_reset", "drained", "no_endpoint", "connect_failed", "backend_tls_failed", "client_gone",
		"client_tls_failed", "unusable", "failed",
	}[o]
}

// bounds are the upper bounds of the duration histogram's buckets: connections last from an instant to weeks.
var bounds = [...]time.Duration{
	10 * time.Millisecond, 100 * time.Millisecond, time.Second, 10 * time.Second, time.Minute, 10 * time.Minute, time.Hour,
	6 * time.Hour, 24 * time.Hour,
}

// Series counts the connections of one backend of one route on one listener. It may be used concurrently.
type Series = ledger.Series[counts]

type counts struct {
	active   atomic.Int64
	results  [outcomes]atomic.Int64
	up, down atomic.Int64 // of connections that are over
	nanos    atomic.Int64
	buckets  [len(bounds) + 1]atomic.Int64

	logged [outcomes]ledger.Burst
}

// Series returns the series with these labels and holds it until its Release.
func (s *Server) Series(l ledger.Labels) *Series { return s.metrics.series.Acquire(l) }

// count counts a connection out and gives up its hold.
func (c *conn) count(how Outcome) {
	x, took := &c.series.Counts, time.Since(c.begun)
	at := 0
	for at < len(bounds) && took > bounds[at] {
		at++
	}
	m := c.server.metrics
	m.mu.Lock()
	c.counted = true
	x.up.Add(c.up.Load())
	x.down.Add(c.down.Load())
	m.mu.Unlock()
	x.results[how].Add(1)
	x.nanos.Add(int64(took))
	x.buckets[at].Add(1)
	x.active.Add(-1)
	c.series.Release()
}

// metrics owns all series and is the prometheus.Collector of them.
type metrics struct {
	server *Server

	connections, active, bytes, duration *prometheus.Desc

	mu     sync.Mutex // held while a connection's bytes become its series's
	series ledger.Set[counts]
}

func newMetrics(s *Server) *metrics {
	return &metrics{
		server: s,
		connections: prometheus.NewDesc("wicketgate_stream_connections_total",
			"Connections of TCPRoutes and TLSRoutes that are over, by how they ended.", ledger.Names("outcome"), nil),
		active: prometheus.NewDesc("wicketgate_stream_connections_active", "Connections of TCPRoutes and TLSRoutes.", ledger.Names(), nil),
		bytes: prometheus.NewDesc("wicketgate_stream_bytes_total",
			"Bytes carried: sent by clients (in) and to them (out). What TLS adds on connections that it ends on is not counted.",
			ledger.Names("direction"), nil),
		duration: prometheus.NewDesc("wicketgate_stream_connection_duration_seconds", "How long connections lasted that are over.", ledger.Names(), nil),
	}
}

// Describe implements prometheus.Collector.
func (m *metrics) Describe(out chan<- *prometheus.Desc) {
	out <- m.connections
	out <- m.active
	out <- m.bytes
	out <- m.duration
}

// Collect implements prometheus.Collector. Series that have not seen a connection are left out.
func (m *metrics) Collect(out chan<- prometheus.Metric) {
	type traffic struct{ up, down int64 }
	conns := m.server.list(m.server.conns)
	m.mu.Lock()
	all := m.series.All()
	seen := make(map[*Series]*traffic, len(all))
	for _, x := range all {
		seen[x] = &traffic{up: x.Counts.up.Load(), down: x.Counts.down.Load()}
	}
	for _, c := range conns {
		if t := seen[c.counts.Load()]; t != nil && !c.counted {
			t.up += c.up.Load()
			t.down += c.down.Load()
		}
	}
	m.mu.Unlock()
	for x, t := range seen {
		m.send(x, t.up, t.down, out)
	}
}

func (m *metrics) send(of *Series, up, down int64, out chan<- prometheus.Metric) {
	x, names := &of.Counts, of.Labels.Values
	var total uint64
	for how := range outcomes {
		if n := x.results[how].Load(); n > 0 {
			out <- prometheus.MustNewConstMetric(m.connections, prometheus.CounterValue, float64(n), names(how.String())...)
		}
	}
	buckets := make(map[float64]uint64, len(x.buckets))
	for i, limit := range bounds {
		total += uint64(x.buckets[i].Load())
		buckets[limit.Seconds()] = total
	}
	total += uint64(x.buckets[len(x.buckets)-1].Load())
	active := x.active.Load()
	if total == 0 && active == 0 {
		return
	}
	out <- prometheus.MustNewConstHistogram(m.duration, total, time.Duration(x.nanos.Load()).Seconds(), buckets, names()...)
	out <- prometheus.MustNewConstMetric(m.active, prometheus.GaugeValue, float64(active), names()...)
	out <- prometheus.MustNewConstMetric(m.bytes, prometheus.CounterValue, float64(up), names("in")...)
	out <- prometheus.MustNewConstMetric(m.bytes, prometheus.CounterValue, float64(down), names("out")...)
}
