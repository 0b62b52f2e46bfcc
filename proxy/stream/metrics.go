// Metrics of connections, by gateway, listener, route and backend.
//
// A Series is made when a route is compiled, and held by the snapshots that have it and by every connection that it counts, so that a connection
// that outlives its route is still to be seen. Bytes are counted on the connection itself, which no other core fights over, and summed up when they are asked for.

package stream

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
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

// Labels name a Series. Backend is empty where the connection did not come to one, Route where there was none for its server name.
type Labels struct{ Gateway, Listener, Route, Backend string }

// bounds are the upper bounds of the duration histogram's buckets: connections last from an instant to weeks.
var bounds = [...]time.Duration{
	10 * time.Millisecond, 100 * time.Millisecond, time.Second, 10 * time.Second, time.Minute, 10 * time.Minute, time.Hour,
	6 * time.Hour, 24 * time.Hour,
}

// Series counts the connections of one backend of one route on one listener. It may be used concurrently.
type Series struct {
	labels  Labels
	metrics *metrics
	refs    int // guarded by metrics.mu

	active   atomic.Int64
	results  [outcomes]atomic.Int64
	up, down atomic.Int64 // of connections that are over
	nanos    atomic.Int64
	buckets  [len(bounds) + 1]atomic.Int64

	logged [outcomes]burst
}

// Series returns the series with these labels and holds it until Release.
func (s *Server) Series(l Labels) *Series {
	m := s.metrics
	m.mu.Lock()
	defer m.mu.Unlock()
	x := m.series[l]
	if x == nil {
		x = &Series{labels: l, metrics: m}
		m.series[l] = x
	}
	x.refs++
	return x
}

// Release gives up what Series got. With the last holder the series goes away.
func (x *Series) Release() {
	x.metrics.mu.Lock()
	defer x.metrics.mu.Unlock()
	if x.refs--; x.refs == 0 {
		delete(x.metrics.series, x.labels)
	}
}

// hold is for one who uses a series that somebody else holds.
func (x *Series) hold() {
	x.metrics.mu.Lock()
	defer x.metrics.mu.Unlock()
	x.refs++
}

func (x *Series) begin() { x.active.Add(1) }

// end counts a connection out and gives up its hold.
func (x *Series) end(c *conn, how Outcome) {
	took := time.Since(c.begun)
	at := 0
	for at < len(bounds) && took > bounds[at] {
		at++
	}
	x.metrics.mu.Lock()
	c.counted = true
	x.up.Add(c.up.Load())
	x.down.Add(c.down.Load())
	x.metrics.mu.Unlock()
	x.results[how].Add(1)
	x.nanos.Add(int64(took))
	x.buckets[at].Add(1)
	x.active.Add(-1)
	x.Release()
}

// metrics owns all series and is the prometheus.Collector of them.
type metrics struct {
	server *Server

	connections, active, bytes, duration *prometheus.Desc

	mu     sync.Mutex
	series map[Labels]*Series
}

func newMetrics(s *Server) *metrics {
	names := []string{"gateway", "listener", "route", "backend"}
	return &metrics{
		server: s,
		series: map[Labels]*Series{},
		connections: prometheus.NewDesc("wicketgate_stream_connections_total",
			"Connections of TCPRoutes and TLSRoutes that are over, by how they ended.", append(names, "outcome"), nil),
		active: prometheus.NewDesc("wicketgate_stream_connections_active", "Connections of TCPRoutes and TLSRoutes.", names, nil),
		bytes: prometheus.NewDesc("wicketgate_stream_bytes_total",
			"Bytes carried: sent by clients (in) and to them (out). What TLS adds on connections that it ends on is not counted.",
			append(names, "direction"), nil),
		duration: prometheus.NewDesc("wicketgate_stream_connection_duration_seconds", "How long connections lasted that are over.", names, nil),
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
	conns := m.server.list()
	m.mu.Lock()
	seen := make(map[*Series]*traffic, len(m.series))
	for _, x := range m.series {
		seen[x] = &traffic{up: x.up.Load(), down: x.down.Load()}
	}
	for _, c := range conns {
		if t := seen[c.counts.Load()]; t != nil && !c.counted {
			t.up += c.up.Load()
			t.down += c.down.Load()
		}
	}
	m.mu.Unlock()
	for x, t := range seen {
		x.send(m, t.up, t.down, out)
	}
}

func (x *Series) send(m *metrics, up, down int64, out chan<- prometheus.Metric) {
	l := x.labels
	names := []string{l.Gateway, l.Listener, l.Route, l.Backend}
	var total uint64
	for how := range outcomes {
		if n := x.results[how].Load(); n > 0 {
			out <- prometheus.MustNewConstMetric(m.connections, prometheus.CounterValue, float64(n), append(names, how.String())...)
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
	out <- prometheus.MustNewConstHistogram(m.duration, total, time.Duration(x.nanos.Load()).Seconds(), buckets, names...)
	out <- prometheus.MustNewConstMetric(m.active, prometheus.GaugeValue, float64(active), names...)
	out <- prometheus.MustNewConstMetric(m.bytes, prometheus.CounterValue, float64(up), append(names, "in")...)
	out <- prometheus.MustNewConstMetric(m.bytes, prometheus.CounterValue, float64(down), append(names, "out")...)
}
