// Reading the counters of metrics.go when Prometheus scrapes.

package proxy

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Describe implements prometheus.Collector.
func (m *metrics) Describe(out chan<- *prometheus.Desc) {
	out <- m.requests
	out <- m.duration
	out <- m.inFlight
	out <- m.retries
	out <- m.withheld
	out <- m.mirrored
	out <- m.calls
}

// Collect implements prometheus.Collector.
func (m *metrics) Collect(out chan<- prometheus.Metric) {
	m.mu.Lock()
	list := make([]*series, 0, len(m.series))
	for _, s := range m.series {
		if s.used() {
			list = append(list, s)
		}
	}
	m.mu.Unlock()
	for _, s := range list {
		s.read().send(m, s.labels(), out)
	}
	mirrored := func(n int64, result string) {
		out <- prometheus.MustNewConstMetric(m.mirrored, prometheus.CounterValue, float64(n), result)
	}
	mirrored(m.mirrors.sent.Load(), "sent")
	mirrored(m.mirrors.dropped.Load(), "dropped")
	mirrored(m.mirrors.failed.Load(), "failed")
	mirrored(m.mirrors.aborted.Load(), "aborted")
}

// totals are a series' counters, summed over its cells.
type totals struct {
	codes    map[int]int64
	buckets  map[float64]uint64 // cumulative
	finished uint64
	seconds  float64
	inFlight int64
	retries  [retryReasons]int64
	calls    [grpcCodes + 1]int64
}

// read sums up. What finished is read before what started, so that a request in between is counted as in flight and never makes the
// gauge negative.
func (s *series) read() totals {
	t := totals{codes: map[int]int64{}, buckets: make(map[float64]uint64, len(bounds))}
	var each [len(bounds) + 1]int64
	cells := s.cells()
	var nanos, started int64
	for _, c := range cells {
		for b := range c.buckets {
			each[b] += c.buckets[b].Load()
		}
		if n := c.answered.Load(); n > 0 {
			t.codes[int(c.code.Load())] += n
		}
		if rare := c.rare.Load(); rare != nil {
			for b := range rare.buckets {
				each[quick+b] += rare.buckets[b].Load()
			}
			t.add(rare)
		}
		nanos += c.nanos.Load()
	}
	for _, c := range s.cells() { // there may be more by now
		started += c.started.Load()
	}
	for b, n := range each {
		t.finished += uint64(n)
		if b < len(bounds) {
			t.buckets[bounds[b].Seconds()] = t.finished
		}
	}
	t.seconds = time.Duration(nanos).Seconds()
	t.inFlight = started - int64(t.finished)
	return t
}

// add counts in what is rare, but for the buckets.
func (t *totals) add(c *rareCounts) {
	if list := c.codes.Load(); list != nil {
		for _, n := range *list {
			t.codes[n.code] += n.n.Load()
		}
	}
	for why := range c.retries {
		t.retries[why] += c.retries[why].Load()
	}
	if calls := c.calls.Load(); calls != nil {
		for code := range calls {
			t.calls[code] += calls[code].Load()
		}
	}
}

func (t totals) send(m *metrics, l labels, out chan<- prometheus.Metric) {
	for code, n := range t.codes {
		out <- prometheus.MustNewConstMetric(m.requests, prometheus.CounterValue, float64(n),
			l.gateway, l.listener, l.route, l.rule, strconv.Itoa(code))
	}
	out <- prometheus.MustNewConstHistogram(m.duration, t.finished, t.seconds, t.buckets, l.gateway, l.listener, l.route, l.rule)
	out <- prometheus.MustNewConstMetric(m.inFlight, prometheus.GaugeValue, float64(t.inFlight), l.gateway, l.listener, l.route, l.rule)
	for code, n := range t.calls {
		if n > 0 {
			out <- prometheus.MustNewConstMetric(m.calls, prometheus.CounterValue, float64(n),
				l.gateway, l.listener, l.route, l.rule, grpcCode(code).String())
		}
	}
	for why, n := range t.retries {
		switch {
		case n == 0:
		case retryReason(why) == retryNone:
			out <- prometheus.MustNewConstMetric(m.withheld, prometheus.CounterValue, float64(n), l.gateway, l.listener, l.route, l.rule)
		default:
			out <- prometheus.MustNewConstMetric(m.retries, prometheus.CounterValue, float64(n),
				l.gateway, l.listener, l.route, l.rule, retryReason(why).String())
		}
	}
}
