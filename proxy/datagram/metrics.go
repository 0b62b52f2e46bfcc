// Metrics of datagrams, by gateway, listener, route and backend. A series is made when a route is compiled, and held by the snapshots that have it and by
// every session that it counts.

package datagram

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/wicketgate/wicketgate/proxy/ledger"
)

// Drop says why a datagram went nowhere.
type Drop uint8

// The reasons.
const (
	Unusable       Drop = iota // the route or the backendRef is
	Forged                     // no client can be where it claims to come from
	SessionLimit               // there are too many sessions, and none that may be ended
	NoEndpoint                 // none is ready, or its name does not resolve
	NoSocket                   // no socket could be had for the session
	BackendRefused             // nobody listens at any endpoint
	BackendFailed              // the system does not send it to the endpoint
	TooLarge                   // for the way to the endpoint
	ClientFailed               // the system does not send an answer to the client
	dropped
)

func (d Drop) String() string {
	return [...]string{
		"unusable", "forged", "session_limit", "no_endpoint", "no_socket", "backend_refused", "backend_failed", "too_large", "client_failed",
	}[d]
}

// End says how a session ended.
type End uint8

// The ends.
const (
	Expired End = iota // idle
	Evicted            // to make room
	Removed            // its listener or route is gone, or leads nowhere
	Closed             // with its socket
	ends
)

func (e End) String() string { return [...]string{"expired", "evicted", "removed", "closed"}[e] }

// Series counts the sessions of one backend of one route on one listener. It may be used concurrently.
type Series = ledger.Series[counts]

type counts struct {
	active atomic.Int64
	ended  [ends]atomic.Int64
	drops  [dropped]atomic.Int64
	packetsIn, bytesIn,
	packetsOut, bytesOut atomic.Int64

	logged [dropped]ledger.Burst
}

// Series returns the series with these labels and holds it until its Release.
func (s *Server) Series(l ledger.Labels) *Series { return s.metrics.series.Acquire(l) }

func (x *counts) begin() { x.active.Add(1) }

func (x *counts) end(how End) {
	x.active.Add(-1)
	x.ended[how].Add(1)
}

func (x *counts) received(n, size int) {
	x.packetsIn.Add(int64(n))
	x.bytesIn.Add(int64(size))
}

func (x *counts) sent(n, size int) {
	x.packetsOut.Add(int64(n))
	x.bytesOut.Add(int64(size))
}

// metrics owns all series and is the prometheus.Collector of them.
type metrics struct {
	server    *Server
	unclaimed atomic.Int64 // datagrams of sockets that no listener has any more

	sessions, active, limit, packets, bytes, drops, overflow *prometheus.Desc

	series ledger.Set[counts]
}

func newMetrics(s *Server) *metrics {
	names := ledger.Names
	return &metrics{
		server:   s,
		sessions: prometheus.NewDesc("wicketgate_udp_sessions_total", "Sessions of UDPRoutes that are over, by how they ended.", names("outcome"), nil),
		active:   prometheus.NewDesc("wicketgate_udp_sessions_active", "Sessions of UDPRoutes.", names(), nil),
		limit:    prometheus.NewDesc("wicketgate_udp_sessions_limit", "How many sessions of UDPRoutes there may be (--max-udp-sessions).", nil, nil),
		packets: prometheus.NewDesc("wicketgate_udp_datagrams_total",
			"Datagrams carried: sent by clients (in) and to them (out).", names("direction"), nil),
		bytes: prometheus.NewDesc("wicketgate_udp_bytes_total", "Bytes of these datagrams.", names("direction"), nil),
		drops: prometheus.NewDesc("wicketgate_udp_dropped_datagrams_total", "Datagrams of UDPRoutes that were dropped, by why.", names("reason"), nil),
		overflow: prometheus.NewDesc("wicketgate_udp_receive_buffer_drops_total",
			"Datagrams that the system dropped because the socket's buffer was full, since the socket was opened.", []string{"address"}, nil),
	}
}

// Describe implements prometheus.Collector.
func (m *metrics) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{m.sessions, m.active, m.limit, m.packets, m.bytes, m.drops, m.overflow} {
		out <- d
	}
}

// Collect implements prometheus.Collector. What has not been counted yet is left out.
func (m *metrics) Collect(out chan<- prometheus.Metric) {
	for _, x := range m.series.All() {
		m.send(x, out)
	}
	out <- prometheus.MustNewConstMetric(m.limit, prometheus.GaugeValue, float64(m.server.opt.MaxSessions))
	if n := m.unclaimed.Load(); n > 0 {
		out <- prometheus.MustNewConstMetric(m.drops, prometheus.CounterValue, float64(n), "", "", "", "", "no_listener")
	}
	for _, k := range m.server.list() {
		if n, ok := bufferDrops(k.conn); ok {
			out <- prometheus.MustNewConstMetric(m.overflow, prometheus.CounterValue, float64(n), k.addr.String())
		}
	}
}

func (m *metrics) send(of *Series, out chan<- prometheus.Metric) {
	x, names := &of.Counts, of.Labels.Values
	seen := false
	for how := range ends {
		if n := x.ended[how].Load(); n > 0 {
			seen = true
			out <- prometheus.MustNewConstMetric(m.sessions, prometheus.CounterValue, float64(n), names(how.String())...)
		}
	}
	for why := range dropped {
		if n := x.drops[why].Load(); n > 0 {
			out <- prometheus.MustNewConstMetric(m.drops, prometheus.CounterValue, float64(n), names(why.String())...)
		}
	}
	active := x.active.Load()
	if !seen && active == 0 {
		return
	}
	out <- prometheus.MustNewConstMetric(m.active, prometheus.GaugeValue, float64(active), names()...)
	out <- prometheus.MustNewConstMetric(m.packets, prometheus.CounterValue, float64(x.packetsIn.Load()), names("in")...)
	out <- prometheus.MustNewConstMetric(m.packets, prometheus.CounterValue, float64(x.packetsOut.Load()), names("out")...)
	out <- prometheus.MustNewConstMetric(m.bytes, prometheus.CounterValue, float64(x.bytesIn.Load()), names("in")...)
	out <- prometheus.MustNewConstMetric(m.bytes, prometheus.CounterValue, float64(x.bytesOut.Load()), names("out")...)
}
