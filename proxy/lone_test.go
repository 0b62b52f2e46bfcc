// Requests that come alone on a connection of HTTP/2 are served by the goroutine that reads it, until they may have to wait.

package proxy

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/wicketgate/wicketgate/internal/patient"
	"github.com/wicketgate/wicketgate/wire/h2"
)

// loneRules are by path: all but the first wait for something.
var loneRules = map[string]string{
	"/redirect": "filters: [{type: RequestRedirect, requestRedirect: {statusCode: 302}}]",
	"/quick":    "backendRefs: [{name: shared, port: 80}]",
	"/dialled":  "backendRefs: [{name: silent2, port: 80}]", // for SETTINGS
	"/http1":    "backendRefs: [{name: silent, port: 80}]",
	"/asked":    "filters: [{type: ExternalAuth, externalAuth: {protocol: HTTP, backendRef: {name: silent, port: 80}, http: {path: /}}}]\n    backendRefs: [{name: shared, port: 80}]",
	"/asked2":   "filters: [{type: ExternalAuth, externalAuth: {protocol: GRPC, backendRef: {name: silent2, port: 80}, grpc: {}}}]\n    backendRefs: [{name: shared, port: 80}]",
	"/coded":    "retry: {attempts: 1, backoff: 1h, codes: [503]}\n    backendRefs: [{name: shared, port: 80}]",
	"/later":    "retry: {attempts: 1, backoff: 1h}\n    backendRefs: [{name: refused, port: 80}]",
	"/pieces":   "backendRefs: [{name: shared, port: 80}]",
	"/mirrored": "filters: [{type: RequestMirror, requestMirror: {backendRef: {name: silent2, port: 80}}}]\n    backendRefs: [{name: silent, port: 80}]",
	"/never":    "backendRefs: [{name: shared, port: 80}]", // answered
}

func loneConfig() string {
	var b strings.Builder
	b.WriteString(plainYAML)
	b.WriteString("---\napiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: lone, namespace: default}\n" +
		"spec:\n  parentRefs: [{name: public}]\n  hostnames: [lone.example.com]\n  rules:\n")
	for path, rule := range loneRules {
		fmt.Fprintf(&b, "  - matches: [{path: {value: %s}}]\n    %s\n", path, rule)
	}
	for name, endpoint := range map[string]struct {
		port     int
		protocol string
	}{
		"shared": {8080, "kubernetes.io/h2c"}, "silent": {portSilent, "http"}, "silent2": {portSilent, "kubernetes.io/h2c"}, "refused": {portRefused, "http"},
	} {
		fmt.Fprintf(&b, `---
apiVersion: v1
kind: Service
metadata: {name: %[1]s, namespace: default}
spec: {ports: [{port: 80, appProtocol: %[3]s}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: %[1]s-1, namespace: default, labels: {kubernetes.io/service-name: %[1]s}}
addressType: IPv4
ports: [{port: %[2]d}]
endpoints: [{addresses: [10.9.0.2]}]
`, name, endpoint.port, endpoint.protocol)
	}
	return b.String()
}

// loneClient writes and reads frames.
type loneClient struct {
	*http2.Framer
	conn net.Conn
	next uint32
}

func (s *http2Clients) dial(t *testing.T) *loneClient {
	t.Helper()
	nc := s.open(t, &tableCase{scheme: "http", port: 80})
	t.Cleanup(func() { nc.Close() })
	c := &loneClient{Framer: http2.NewFramer(nc, nc), conn: nc, next: 1}
	c.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	_, _ = io.WriteString(nc, http2.ClientPreface)
	if err := c.WriteSettings(); err != nil {
		t.Fatal(err)
	}
	return c
}

// ask sends a request and returns its stream.
func (c *loneClient) ask(t *testing.T, path string) uint32 {
	t.Helper()
	var block bytes.Buffer
	enc := hpack.NewEncoder(&block)
	enc.SetMaxDynamicTableSize(0)
	(&tableCase{method: "GET", scheme: "http", target: path, authority: "lone.example.com"}).headerSection(func(name, value string) {
		_ = enc.WriteField(hpack.HeaderField{Name: name, Value: value})
	})
	id := c.next
	c.next += 2
	if err := c.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block.Bytes(), EndHeaders: true, EndStream: true}); err != nil {
		t.Fatal(err)
	}
	return id
}

// head reads up to the head of a stream's response, and returns its status.
func (c *loneClient) head(t *testing.T, id uint32) string {
	t.Helper()
	for {
		f, err := c.ReadFrame()
		if err != nil {
			t.Fatalf("waiting for the answer on stream %d: %v", id, err)
		}
		if h, ok := f.(*http2.MetaHeadersFrame); ok && h.StreamID == id {
			return h.PseudoValue("status")
		}
	}
}

func newLoneStand(t *testing.T, o Options) *http2Clients {
	s := &http2Clients{loopback: newLoopback(t, o)}
	s.server = h2.NewServer(h2.Options{Handler: s.proxy})
	t.Cleanup(func() {
		s.server.Close()
		s.served.Wait()
	})
	s.swap(graphOf(t, "lone.yaml", loneConfig()))
	return s
}

// Whatever a request waits for, the next one on its connection is served meanwhile: by us, and by a backend that both share.
func TestRequestsThatWaitHoldUpNoOther(t *testing.T) {
	ended := make(chan struct{})
	defer close(ended)
	s := newLoneStand(t, Options{Challenge: func(ctx context.Context, _, _ string) (string, bool) {
		<-ctx.Done()
		return "", false
	}})
	s.origin.respond(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/pieces":
			_, _ = io.WriteString(w, "piece")
			_ = http.NewResponseController(w).Flush()
			<-ended
		case "/never":
			<-ended
		case "/coded":
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	warm := s.dial(t)
	if status := warm.head(t, warm.ask(t, "/quick")); status != "200" {
		t.Fatalf("status %s", status)
	}
	paths := slices.DeleteFunc(slices.Collect(maps.Keys(loneRules)), func(path string) bool { return path == "/quick" || path == "/redirect" })
	for _, path := range append(paths, string(challengePath)+"token") {
		t.Run(path[1:], func(t *testing.T) {
			c := s.dial(t)
			before := serving(s)
			slow := c.ask(t, path)
			patient.Until(t, "the request is being served", func() bool { return serving(s) > before })
			if path == "/pieces" {
				c.head(t, slow)
			}
			for quick, want := range map[string]string{"/redirect": "302", "/quick": "200"} {
				if status := c.head(t, c.ask(t, quick)); status != want {
					t.Errorf("%s beside it: status %s", quick, status)
				}
			}
			if serving(s) == before {
				t.Error("the others waited for its end")
			}
			_ = c.conn.Close()
			patient.Until(t, "the request is over", func() bool { return serving(s) == before })
		})
	}
}

// serving is how many requests are under way.
func serving(s *http2Clients) int {
	_, streams := s.server.Active()
	return streams
}

// stuck is a log that nobody reads.
type stuck struct{ entered, release chan struct{} }

func (s stuck) Write(p []byte) (int, error) {
	s.entered <- struct{}{}
	<-s.release
	return len(p), nil
}

// To write a log line may take long.
func TestALogThatNobodyReadsHoldsUpNoOther(t *testing.T) {
	log := stuck{make(chan struct{}, 100), make(chan struct{})}
	s := newLoneStand(t, Options{Log: slog.New(slog.NewTextHandler(log, nil))})
	defer close(log.release)
	c := s.dial(t)
	c.ask(t, "/nowhere")
	<-log.entered
	if status := c.head(t, c.ask(t, "/redirect")); status != "302" {
		t.Errorf("status %s", status)
	}
}
