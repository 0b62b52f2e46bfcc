// What a large configuration costs: the first load of a directory of routes, and an edit of one of them, stage by stage.

package reconcile_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/wicketgate/wicketgate/config"
	"github.com/wicketgate/wicketgate/gateway"
	"github.com/wicketgate/wicketgate/proxy"
	"github.com/wicketgate/wicketgate/proxy/backend"
)

const scaleBase = `apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: public}
spec:
  gatewayClassName: c
  listeners: [{name: http, port: 80, protocol: HTTP}]
`

const scaleRoute = `apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: r%[1]d, labels: {team: shop}}
spec:
  parentRefs: [{name: public}]
  hostnames: ["h%[2]d.example.com"]
  rules:
    - matches: [{path: {type: PathPrefix, value: /api/r%[1]d}, headers: [{name: x-env, value: prod}]}]
      filters: [{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: x-team, value: %[3]q}]}}]
      backendRefs: [{name: s%[2]d, port: 80, weight: 80}, {name: s%[4]d, port: 80, weight: 20}]
`

const scaleService = `apiVersion: v1
kind: Service
metadata: {name: s%[1]d}
spec: {ports: [{port: 80, targetPort: 8080}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: s%[1]d, labels: {kubernetes.io/service-name: s%[1]d}}
addressType: IPv4
ports: [{port: 8080}]
endpoints: [{addresses: [10.0.%[2]d.%[3]d]}]
`

// scaleDirectory writes n routes, one a file, over n/10 hostnames and Services.
func scaleDirectory(b *testing.B, n int) string {
	dir := b.TempDir()
	put := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			b.Fatal(err)
		}
	}
	put("base.yaml", scaleBase)
	for i := range n {
		put(fmt.Sprintf("r%d.yaml", i), fmt.Sprintf(scaleRoute, i, i%(n/10), "shop", (i+1)%(n/10)))
	}
	for i := range n / 10 {
		put(fmt.Sprintf("s%d.yaml", i), fmt.Sprintf(scaleService, i, i>>8, i&255))
	}
	old := time.Now().Add(-time.Minute)
	names, _ := filepath.Glob(filepath.Join(dir, "*"))
	for _, name := range names {
		if err := os.Chtimes(name, old, old); err != nil {
			b.Fatal(err)
		}
	}
	return dir
}

func noDial(context.Context, netip.AddrPort, bool) (net.Conn, error) {
	return nil, errors.ErrUnsupported
}

// BenchmarkEdit is what one edit among many routes costs after the debounce.
func BenchmarkEdit(b *testing.B) {
	for _, n := range []int{10, 1000, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) { benchmarkEdit(b, n) })
	}
}

func benchmarkEdit(b *testing.B, n int) {
	dir := scaleDirectory(b, n)
	loader := config.New(config.Options{Roots: []config.Root{{Path: dir}}})
	px := proxy.New(proxy.Options{Registry: backend.NewRegistry(backend.Options{Dial: noDial})})
	defer px.Close()
	var times [5]time.Duration
	var statuses *gateway.StatusSet
	var g *gateway.Graph
	run := func() {
		at := time.Now()
		lap := func(i int) {
			times[i] += time.Since(at)
			at = time.Now()
		}
		r, err := loader.Load(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		lap(0)
		g = gateway.Rebuild(g, r.Objects, gateway.Options{})
		lap(1)
		s := px.Compile(g, px.Current())
		lap(2)
		px.Swap(s)
		lap(3)
		statuses = gateway.Statuses(g, gateway.Bound{}, statuses, at)
		lap(4)
	}
	run()
	time.Sleep(2500 * time.Millisecond) // the stamps of files that were just written prove nothing
	run()
	first := times
	times = [5]time.Duration{}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		i++
		b.StopTimer()
		text := fmt.Sprintf(scaleRoute, 7, 7%(n/10), fmt.Sprint("team", i), 8%(n/10))
		name := filepath.Join(dir, "r7.yaml")
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			b.Fatal(err)
		}
		if err := os.Chtimes(name, at(i), at(i)); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		run()
	}
	for j, name := range []string{"load", "build", "compile", "swap", "statuses"} {
		b.ReportMetric(float64(times[j].Microseconds())/1000/float64(b.N), name+"-ms")
	}
	b.Logf("first: %v", first)
}

func at(i int) time.Time { return time.Now().Add(-time.Hour).Add(time.Duration(i) * time.Second) }
