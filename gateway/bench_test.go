// Benchmarks of Build and Statuses with many routes.

package gateway

import (
	"fmt"
	"testing"

	"github.com/wicketgate/wicketgate/object"
)

// BenchmarkBuild is a whole Build; its time is to grow with the number of routes and no faster.
func BenchmarkBuild(b *testing.B) {
	for _, n := range []int{1000, 10000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			set := object.NewSet(parseObjects(b, manyRoutes(n))...)
			b.ReportAllocs()
			for b.Loop() {
				Build(set, Options{DNSBackends: true})
			}
		})
	}
}

// BenchmarkStatuses is a whole projection after the first.
func BenchmarkStatuses(b *testing.B) {
	for _, n := range []int{1000, 10000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			g := Build(object.NewSet(parseObjects(b, manyRoutes(n))...), Options{DNSBackends: true})
			previous := Statuses(g, Bound{}, nil, testTime)
			b.ReportAllocs()
			for b.Loop() {
				Statuses(g, Bound{}, previous, testTime)
			}
		})
	}
}
