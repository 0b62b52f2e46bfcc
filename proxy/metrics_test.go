// Counting, and how long counters live.

package proxy

import (
	"strings"
	"sync"
	"testing"
	"time"
	"unsafe"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"
)

func TestMetricsByGatewayListenerRouteRuleCode(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	p, _ := plainProxy(t, Options{Metrics: registry})
	for _, target := range []string{"/cart", "/cart", "/admin", "/tea"} {
		x := plainExchange()
		x.req.Target = []byte(target)
		if target == "/admin" {
			x.req.Fields.Add([]byte("X-Role"), []byte("admin"))
		}
		p.Serve(x)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	for _, f := range families {
		if _, err := expfmt.MetricFamilyToText(&text, f); err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []string{
		`wicketgate_http_requests_total{code="200",gateway="default/public",listener="http",route="default/shop",rule="0"} 2`,
		`wicketgate_http_requests_total{code="200",gateway="default/public",listener="http",route="default/shop",rule="admin"} 1`,
		`wicketgate_http_requests_total{code="404",gateway="default/public",listener="http",route="",rule=""} 1`,
		`wicketgate_http_request_duration_seconds_count{gateway="default/public",listener="http",route="default/shop",rule="0"} 2`,
		`wicketgate_http_request_duration_seconds_bucket{gateway="default/public",listener="http",route="default/shop",rule="admin",le="10"} 1`,
		`wicketgate_http_requests_in_flight{gateway="default/public",listener="http",route="default/shop",rule="0"} 0`,
	} {
		if !strings.Contains(text.String(), want+"\n") {
			t.Errorf("missing %s", want)
		}
	}
	if n := strings.Count(text.String(), "wicketgate_http_requests_total{"); n != 3 {
		t.Errorf("%d series of requests, want 3:\n%s", n, text.String())
	}
}

func TestMetricsOutliveReloadsAndEndWithTheirRule(t *testing.T) {
	p, _ := plainProxy(t, Options{})
	p.Serve(plainExchange())
	key := labels{"default/public", "http", "default/shop", "0"}
	p.Swap(p.Compile(graphOf(t, "plain.yaml", plainYAML), p.Current()))
	p.Serve(plainExchange())
	if n := p.metrics.series[key].read(); n.codes[200] != 2 {
		t.Errorf("counted %+v over a reload", n)
	}
	p.Swap(p.Compile(graphOf(t, "plain.yaml", strings.ReplaceAll(plainYAML, "name: shop", "name: other")), p.Current()))
	if p.metrics.series[key] != nil {
		t.Error("the series of a removed route is still there")
	}
	if p.metrics.series[labels{"default/public", "http", "default/other", "0"}] == nil {
		t.Error("the new route has no series")
	}
}

func TestHistogramBuckets(t *testing.T) {
	m := newMetrics(2)
	s := m.acquire(labels{})
	for i, took := range []time.Duration{0, time.Millisecond, time.Millisecond + 1, time.Minute} {
		s.start(uint32(i) % 2)
		s.done(uint32(i)%2, 200, took)
	}
	s.start(1)
	got := s.read()
	if got.buckets[0.001] != 2 || got.buckets[0.0025] != 3 || got.buckets[10] != 3 || got.finished != 4 || got.inFlight != 1 {
		t.Errorf("%+v", got)
	}
}

func TestCodesAreCountedWhenTheyComeTogether(t *testing.T) {
	m := newMetrics(1)
	s := m.acquire(labels{})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for code := 200; code < 260; code++ {
				s.start(0)
				s.done(0, code, 0)
			}
		})
	}
	wg.Wait()
	got := s.read()
	for code := 200; code < 260; code++ {
		if got.codes[code] != 8 {
			t.Fatalf("code %d was counted %d times, want 8", code, got.codes[code])
		}
	}
}

// TestCountersOfBusyRulesAddUp: the counters of a rule's first requests and those of the shards that take over.
func TestCountersOfBusyRulesAddUp(t *testing.T) {
	const each = busy
	s := &series{shards: 4}
	if s.start(1); len(s.cells()) != 1 {
		t.Errorf("%d cells after the first request, want 1", len(s.cells()))
	}
	s.done(2, 200, time.Millisecond)
	var wg sync.WaitGroup
	for shard := range s.shards {
		wg.Go(func() {
			for i := range each {
				s.start(shard)
				s.done(shard, 200+i%3, time.Millisecond)
			}
		})
	}
	wg.Wait()
	got := s.read()
	if want := uint64(4*each + 1); got.finished != want || got.inFlight != 0 || len(s.cells()) != 5 {
		t.Errorf("%d finished and %d in flight in %d cells, want %d, 0 and 5", got.finished, got.inFlight, len(s.cells()), want)
	}
	for i, want := range map[int]int64{200: 4*((each+2)/3) + 1, 201: 4 * ((each + 1) / 3), 202: 4 * (each / 3)} {
		if got.codes[i] != want {
			t.Errorf("code %d %d times, want %d", i, got.codes[i], want)
		}
	}
}

// What a request reads of a rule comes to the processor in as few lines as possible, and what it must not read stands behind that.
func TestWhatARequestReadsStandsInFewLines(t *testing.T) {
	if unsafe.Sizeof(uintptr(0)) != 8 {
		t.Skip("pointers are shorter here")
	}
	const line = 64
	if n := unsafe.Sizeof(cell{}); n != line {
		t.Errorf("a cell has %d bytes", n)
	}
	if n := unsafe.Sizeof(series{}); n > 2*line {
		t.Errorf("a series has %d bytes", n)
	}
	var r rule
	if n := unsafe.Offsetof(r.first); n != line {
		t.Errorf("the first share is %d bytes from the beginning of its rule", n)
	}
	if n := unsafe.Offsetof(r.others); n != 2*line {
		t.Errorf("what is seldom read is %d bytes from the beginning of its rule", n)
	}
	if n := unsafe.Sizeof(r); n != 3*line { // another size, and the allocator does not begin rules where lines begin
		t.Errorf("a rule has %d bytes", n)
	}
}
