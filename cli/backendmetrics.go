// Metrics of the connections to backends, read from the registry when they are asked for.

package cli

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/wicketgate/wicketgate/proxy/backend"
)

// backendMetrics is a prometheus.Collector over a registry's counters. Series come and go with the backends.
type backendMetrics struct {
	registry *backend.Registry
	events   []backendEvent
	states   []backendState
}

// backendEvent is one counter of backend.Stats.
type backendEvent struct {
	desc  *prometheus.Desc
	count func(s *backend.Stats) uint64
}

// backendState is one gauge of backend.Stats.
type backendState struct {
	desc  *prometheus.Desc
	value func(s *backend.Stats) int64
}

func newBackendMetrics(r *backend.Registry) *backendMetrics {
	event := func(name, help string, count func(s *backend.Stats) uint64) backendEvent {
		return backendEvent{prometheus.NewDesc("wicketgate_backend_"+name+"_total", help, []string{"backend"}, nil), count}
	}
	state := func(name, help string, value func(s *backend.Stats) int64) backendState {
		return backendState{prometheus.NewDesc("wicketgate_backend_"+name, help, []string{"backend"}, nil), value}
	}
	states := []backendState{
		state("connections_active", "Connections for requests that are open, idle ones included.",
			func(s *backend.Stats) int64 { return s.HTTP1.Load() + s.HTTP2.Open.Load() }),
		state("http2_streams_active", "Requests under way over HTTP/2.", func(s *backend.Stats) int64 { return s.HTTP2.Active.Load() }),
	}
	return &backendMetrics{registry: r, states: states, events: []backendEvent{
		event("connections_opened", "Connections dialled.", func(s *backend.Stats) uint64 { return s.Opened.Load() }),
		event("connections_reused", "Requests answered on a kept connection.", func(s *backend.Stats) uint64 { return s.Reused.Load() }),
		event("connections_failed", "Dials that failed.", func(s *backend.Stats) uint64 { return s.Failed.Load() }),
		event("connections_discarded", "Kept connections that were found closed, or with bytes nobody asked for.",
			func(s *backend.Stats) uint64 { return s.Discarded.Load() }),
		event("connections_excess", "Connections closed because bytes followed the end of a response.", func(s *backend.Stats) uint64 { return s.Excess.Load() }),
		event("retries", "Requests sent again because a kept connection turned out to be dead. Those of retry stanzas are in wicketgate_http_retries_total.", func(s *backend.Stats) uint64 { return s.Retried.Load() }),
		event("http2_streams", "Requests sent over HTTP/2.", func(s *backend.Stats) uint64 { return s.HTTP2.Streams.Load() }),
		event("http2_refused", "Requests that a backend said it did not process (GOAWAY, REFUSED_STREAM).", func(s *backend.Stats) uint64 { return s.HTTP2.Refused.Load() }),
		event("http2_resets", "Streams that a backend reset otherwise.", func(s *backend.Stats) uint64 { return s.HTTP2.Resets.Load() }),
		event("http2_cancelled", "Streams that the gateway reset: the client left, a timeout ran out, the response was malformed.",
			func(s *backend.Stats) uint64 { return s.HTTP2.Cancelled.Load() }),
		event("http2_malformed", "Responses that broke a rule of HTTP/2.", func(s *backend.Stats) uint64 { return s.HTTP2.Malformed.Load() }),
		event("http2_goaways", "Connections that a backend ended by GOAWAY.", func(s *backend.Stats) uint64 { return s.HTTP2.GoAways.Load() }),
		event("http2_faults", "Connections ended because a backend broke the rules of HTTP/2, sent a flood, or did not answer a PING.",
			func(s *backend.Stats) uint64 { return s.HTTP2.Faults.Load() }),
		event("ejections", "Times an endpoint was left out for a while after a failed dial.", func(s *backend.Stats) uint64 { return s.Ejected.Load() }),
	}}
}

// Describe tells the registry of the metrics' names.
func (m *backendMetrics) Describe(out chan<- *prometheus.Desc) {
	for _, e := range m.events {
		out <- e.desc
	}
	for _, g := range m.states {
		out <- g.desc
	}
}

// Collect reads the counters. Sending may wait for the receiver, so nothing is sent while the registry is locked.
func (m *backendMetrics) Collect(out chan<- prometheus.Metric) {
	var found []prometheus.Metric
	m.registry.Visit(func(key string, s *backend.Stats) {
		for _, e := range m.events {
			found = append(found, prometheus.MustNewConstMetric(e.desc, prometheus.CounterValue, float64(e.count(s)), key))
		}
		for _, g := range m.states {
			found = append(found, prometheus.MustNewConstMetric(g.desc, prometheus.GaugeValue, float64(g.value(s)), key))
		}
	})
	for _, metric := range found {
		out <- metric
	}
}
