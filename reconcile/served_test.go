// A status never speaks of what is not served yet.

package reconcile

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/wicketgate/wicketgate/gateway"
	"github.com/wicketgate/wicketgate/object"
)

// When a snapshot is about to be swapped in, the statuses that can be read are still those of the generation before; once a reload is answered
// they are those of the new one.
func TestObservedGenerationIsNeverAheadOfWhatIsServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		generation := func(n int64) string {
			return strings.Replace(gatewayOn(8080+int(n)), "name: web", fmt.Sprintf("name: web, generation: %d", n), 1)
		}
		w := &world{yaml: generation(1)}
		start(t, w, Options{})
		defer w.stop()
		key := object.Key{Group: "gateway.networking.k8s.io", Kind: "Gateway", Namespace: "default", Name: "web"}
		var served []int64
		compile := w.loop.stages.Compile
		w.loop.stages.Compile = func(g *gateway.Graph) (func(), []object.Problem) {
			swap, problems := compile(g)
			next := g.Objects.Get(key).Meta.Generation
			return func() {
				if seen := w.loop.View().Statuses.Generation(key); seen != next-1 {
					t.Errorf("the status is of generation %d before %d is served", seen, next)
				}
				swap()
				served = append(served, next)
			}, problems
		}
		for n := int64(2); n <= 4; n++ {
			w.set(func() { w.yaml = generation(n) })
			if _, err := w.loop.Reload(t.Context()); err != nil {
				t.Fatal(err)
			}
			if seen := w.loop.View().Statuses.Generation(key); seen != n || served[len(served)-1] != n {
				t.Errorf("the status is of generation %d, and %v were served", seen, served)
			}
		}
	})
}
