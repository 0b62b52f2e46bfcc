// What rules say of requests and calls over HTTP/2, from clients and to backends that speak nothing else: mirrors, weights, timeouts.

package cli

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// newH2CBackend speaks HTTP/2 with prior knowledge, and nothing else.
func newH2CBackend(t *testing.T, h http.HandlerFunc) int {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.Config.Protocols = protocols(true)
	s.Start()
	t.Cleanup(s.Close)
	return s.Listener.Addr().(*net.TCPAddr).Port
}

// h2cSliceYAML is a Service whose port speaks HTTP/2.
func h2cSliceYAML(name string, port int) string {
	return strings.Replace(sliceYAML(name, port), "port: 80", "port: 80, appProtocol: kubernetes.io/h2c", 1)
}

// callsYAML is a GRPCRoute for a service.
func callsYAML(name, service, rule string) string {
	return fmt.Sprintf("apiVersion: gateway.networking.k8s.io/v1\nkind: GRPCRoute\nmetadata: {name: %s}\nspec:\n  parentRefs: [{name: web}]\n  rules:\n"+
		"  - matches: [{method: {service: %s}}]\n%s", name, service, rule)
}

func TestMirrorsOverHTTP2(t *testing.T) {
	port, copies := freePort(t), make(chan string, 8)
	sum := func(r *http.Request) string {
		hash := sha256.New()
		n, err := io.Copy(hash, r.Body)
		return fmt.Sprintf("%s %s %s, %d bytes %x, %v, %s", r.Proto, r.Method, r.URL.Path, n, hash.Sum(nil), err, r.Trailer.Get("X-End"))
	}
	copied := func(w http.ResponseWriter, r *http.Request) {
		copies <- sum(r)
		w.WriteHeader(http.StatusInternalServerError) // which nobody is told
	}
	startGate(t, map[string]string{
		"gateway.yaml": gatewayYAML(port),
		"app.yaml":     h2cSliceYAML("app", newH2CBackend(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, sum(r)) })),
		"copy.yaml":    h2cSliceYAML("copy", newH2CBackend(t, copied)),
		"old.yaml":     sliceYAML("old", newBackend(t, copied)),
		"route.yaml": ruleYAML("main", "    filters:\n    - {type: RequestMirror, requestMirror: {backendRef: {name: copy, port: 80}}}\n"+
			"    - {type: RequestMirror, requestMirror: {backendRef: {name: old, port: 80}}}\n    backendRefs: [{name: app, port: 80}]\n"),
		"calls.yaml": callsYAML("calls", "a.B", "    filters: [{type: RequestMirror, requestMirror: {backendRef: {name: copy, port: 80}}}]\n    backendRefs: [{name: app, port: 80}]\n"),
	})
	c := twoClient()
	defer c.CloseIdleConnections()
	for _, step := range []struct {
		path, contentType string
		size              int
		protos            []string // of the copies, in any order
	}{
		{"/main", "text/plain", 0, []string{"HTTP/2.0", "HTTP/1.1"}},
		{"/main", "text/plain", 1000, []string{"HTTP/2.0", "HTTP/1.1"}},
		{"/main", "text/plain", 20 << 10, []string{"HTTP/2.0", "HTTP/1.1"}},
		{"/a.B/C", "application/grpc", 20 << 10, []string{"HTTP/2.0"}},
	} {
		content := bytes.Repeat([]byte("0123456789"), step.size/10)
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, at(port, step.path), io.MultiReader(bytes.NewReader(content)))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", step.contentType)
		req.Trailer = http.Header{"X-End": {"here"}}
		code, body := do(t, c, req)
		want := fmt.Sprintf(" POST %s, %d bytes %x, <nil>, here", step.path, len(content), sha256.Sum256(content))
		if code != http.StatusOK || body != "HTTP/2.0"+want {
			t.Errorf("%d %q, want HTTP/2.0%s", code, body, want)
		}
		left := map[string]int{}
		for _, proto := range step.protos {
			left[proto+want]++
		}
		for range step.protos {
			left[<-copies]--
		}
		for text, n := range left {
			if n != 0 {
				t.Errorf("%d copies missing of %q", n, text)
			}
		}
	}
}

func TestCallsByWeightAndInTime(t *testing.T) {
	port := freePort(t)
	answer := func(name string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			w.Header().Set("Content-Type", "application/grpc")
			w.Header().Set("Trailer", "Grpc-Status")
			_, _ = io.WriteString(w, name)
			w.Header().Set("Grpc-Status", "0")
		}
	}
	stuck := func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	startGate(t, map[string]string{
		"gateway.yaml": gatewayYAML(port),
		"a.yaml":       sliceYAML("a", newH2CBackend(t, answer("a"))), // without appProtocol: a GRPCRoute's backend speaks HTTP/2
		"b.yaml":       sliceYAML("b", newH2CBackend(t, answer("b"))),
		"stuck.yaml":   h2cSliceYAML("stuck", newH2CBackend(t, stuck)),
		"calls.yaml":   callsYAML("calls", "a.B", "    backendRefs: [{name: a, port: 80, weight: 3}, {name: b, port: 80, weight: 1}]\n"),
		"hangs.yaml":   callsYAML("hangs", "a.Stuck", "    backendRefs: [{name: stuck, port: 80}]\n"),
		"slow.yaml":    ruleYAML("slow", "    timeouts: {request: 100ms}\n    backendRefs: [{name: stuck, port: 80}]\n"),
	})
	c := twoClient()
	defer c.CloseIdleConnections()
	call := func(path string, header ...string) (int, string, string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, at(port, path), strings.NewReader("\x00\x00\x00\x00\x00"))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/grpc")
		for i := 0; i < len(header); i += 2 {
			req.Header.Set(header[i], header[i+1])
		}
		res, err := c.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, string(body), res.Header.Get("Grpc-Status") + res.Trailer.Get("Grpc-Status")
	}
	counts := map[string]int{}
	for range 40 {
		code, body, status := call("/a.B/C")
		if code != http.StatusOK || status != "0" {
			t.Fatalf("%d %q, grpc-status %q", code, body, status)
		}
		counts[body]++
	}
	if counts["a"] != 30 || counts["b"] != 10 {
		t.Errorf("calls by weights 3 and 1: %v", counts)
	}
	if code, body, status := call("/a.Stuck/C", "Grpc-Timeout", "100m"); code != http.StatusOK || status != "4" {
		t.Errorf("beyond its deadline: %d %q, grpc-status %q", code, body, status)
	}
	if code, body, _ := call("/slow", "Content-Type", "text/plain"); code != http.StatusGatewayTimeout {
		t.Errorf("beyond the rule's timeout: %d %q", code, body)
	}
}
