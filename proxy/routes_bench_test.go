// What many routes cost a request.

package proxy

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/wicketgate/wicketgate/config"
	"github.com/wicketgate/wicketgate/gateway"
	"github.com/wicketgate/wicketgate/object"
)

// BenchmarkRoutes is a request, without what reads and writes it, for a random one of a number of routes. Nothing of its route is in the processor's caches
// if there are many: what is compared is how much of it a request reads, and where that lies.
func BenchmarkRoutes(b *testing.B) {
	for _, n := range []int{10, 100_000} {
		b.Run(fmt.Sprint("routes=", n), func(b *testing.B) {
			p, backends := fakes(Options{})
			defer p.Close()
			p.Swap(p.Compile(manyRoutes(b, n), nil))
			for _, up := range backends {
				up.quiet = true
			}
			x := (&tableCase{
				method: "GET", target: "/", scheme: "http", port: 80, authority: "shop.example.com", minor: 1, client: netip.MustParseAddr("127.0.0.1"),
			}).exchange()
			x.quiet = true
			random := rand.New(rand.NewPCG(1, 2))
			path := make([]byte, 0, 16)
			fields := x.req.Fields.Len()
			serve := func(i int) {
				for x.req.Fields.Len() > fields {
					x.req.Fields.RemoveAt(x.req.Fields.Len() - 1)
				}
				x.arrived = time.Now()
				path = fmt.Appendf(path[:0], "/r%d", i)
				x.req.Target = path
				p.Serve(x)
				if x.status != 204 {
					b.Fatalf("status %d", x.status)
				}
			}
			for i := range n {
				serve(i) // which makes counters
			}
			b.ReportAllocs()
			for b.Loop() {
				serve(random.IntN(n))
			}
		})
	}
}

// manyRoutes is a graph with n rules, 16 to an HTTPRoute.
func manyRoutes(b *testing.B, n int) *gateway.Graph {
	b.Helper()
	const rules, routes = 16, 64 // to a route and to a text
	text := plainYAML
	var set []*object.Object
	for from := 0; from < n; from += rules {
		text += fmt.Sprintf("---\napiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: r%d}\nspec:\n  parentRefs: [{name: public}]\n  rules:\n", from)
		for i := from; i < min(n, from+rules); i++ {
			text += fmt.Sprintf("  - matches: [{path: {value: /r%d}}]\n    backendRefs: [{name: v1, port: 8080}]\n", i)
		}
		if from+rules < n && from/rules%routes != routes-1 {
			continue
		}
		objects, problems := config.Parse(fmt.Sprintf("routes%d.yaml", from), []byte(text))
		if len(problems) > 0 {
			b.Fatal(problems[0])
		}
		set, text = append(set, objects...), ""
	}
	return gateway.Build(object.NewSet(set...), gateway.Options{})
}
