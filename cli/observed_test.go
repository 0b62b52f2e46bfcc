// A status never tells of what is not served yet.

package cli

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
)

// generationYAML is a route whose answers tell its generation.
func generationYAML(n, port int) string {
	text := strings.Replace(routeYAML("main", "/", port), "metadata: {name: main}", fmt.Sprintf("metadata: {name: main, generation: %d}", n), 1)
	return strings.Replace(text, "    backendRefs:", fmt.Sprintf(
		"    filters: [{type: ResponseHeaderModifier, responseHeaderModifier: {set: [{name: X-Generation, value: %q}]}}]\n    backendRefs:", strconv.Itoa(n)), 1)
}

func TestObservedGenerationIsNeverAheadOfWhatIsServed(t *testing.T) {
	port, backend := freePort(t), newBackend(t, saying("x"))
	g := startGate(t, map[string]string{"gateway.yaml": gatewayYAML(port), "route.yaml": generationYAML(1, backend)})
	served := func() int {
		t.Helper()
		res, err := client.Get(at(port, "/"))
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		n, err := strconv.Atoi(res.Header.Get("X-Generation"))
		if err != nil || res.StatusCode != http.StatusOK {
			t.Fatalf("%s: %v", res.Status, err)
		}
		return n
	}
	observed := func() int {
		t.Helper()
		text, stderr, _ := g.get("httproute", "main", "-o", `jsonpath={.metadata.generation} {.status.parents[0].conditions[*].observedGeneration}`)
		words := strings.Fields(text)
		if len(words) < 3 {
			t.Fatalf("%q %s", text, stderr)
		}
		n, err := strconv.Atoi(words[0])
		for _, w := range words[1:] {
			if w != words[0] || err != nil {
				t.Fatalf("generations %q: a condition speaks of another one than the object that is shown", text)
			}
		}
		return n
	}
	const last = 30
	var written atomic.Int64
	written.Store(1)
	done, looked := make(chan struct{}), make(chan struct{}, 1)
	go func() {
		defer close(done)
		for n := 2; n <= last; n++ {
			written.Store(int64(n))
			g.put(map[string]string{"route.yaml": generationYAML(n, backend)})
			g.reload("POST /reload")
			if n%5 == 0 {
				<-looked // so that edits are not over before anybody has looked
			}
		}
	}()
	// The status is read first: what it tells must be served by then, and what is served must have been about to be written.
	seen := map[int]bool{}
	for newest := 0; newest < last; {
		status := observed()
		if n := served(); n < status {
			t.Errorf("the status tells of generation %d while %d is served", status, n)
		} else if limit := int(written.Load()); n > limit {
			t.Errorf("generation %d is served, and %d is the last one", n, limit)
		} else {
			newest = status
		}
		seen[newest] = true
		select {
		case looked <- struct{}{}:
		default:
		}
	}
	<-done
	if len(seen) < 3 {
		t.Errorf("only %d generations were seen", len(seen))
	}
}
