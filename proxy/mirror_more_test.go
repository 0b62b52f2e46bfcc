// Mirrors together with what else a rule may ask for: retries, and TLS to the mirror.

package proxy

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wicketgate/wicketgate/internal/patient"
	"github.com/wicketgate/wicketgate/proxy/backend"
)

// A request that is sent three times has happened once: the mirror gets it once, whole.
func TestMirrorGetsARetriedRequestOnce(t *testing.T) {
	var tries atomic.Int64
	mirrored := make(chan string, 8)
	l := mirrorStand(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || string(body) != "hello" {
			t.Errorf("try %d got %q, %v", tries.Load(), body, err)
		}
		if tries.Add(1) < 3 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}, func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		mirrored <- fmt.Sprintf("%s %s %v", r.RequestURI, body, err)
	})
	c, r := l.open(t)
	for range 2 {
		tries.Store(0)
		fmt.Fprintf(c, "PUT /retried HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello")
		if status, _ := statusOf(t, r); status != http.StatusOK || tries.Load() != 3 {
			t.Errorf("%d after %d tries", status, tries.Load())
		}
	}
	patient.Until(t, "two copies are counted", func() bool { return l.proxy.metrics.mirrors.sent.Load() == 2 })
	l.proxy.Close() // no copy is under way any more
	close(mirrored)
	copies := 0
	for got := range mirrored {
		if copies++; got != "/retried hello <nil>" {
			t.Errorf("the mirror got %s", got)
		}
	}
	if copies != 2 {
		t.Errorf("the mirror got %d requests, want 2", copies)
	}
}

// secureMirrors is a proxy that mirrors what goes to /good and /bad over TLS, by policies that trust the mirror's authority and another.
func secureMirrors(t *testing.T, received chan<- string) *loopback {
	t.Helper()
	ours, others := newAuthority(t), newAuthority(t)
	mirror := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		received <- fmt.Sprint(r.RequestURI, " for ", r.TLS.ServerName, ": ", string(body), err)
	}))
	mirror.TLS = &tls.Config{Certificates: []tls.Certificate{ours.issue("mirror.example", "")}}
	mirror.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo)
	mirror.StartTLS()
	t.Cleanup(mirror.Close)
	app := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }))
	t.Cleanup(app.Close)
	port := func(s *httptest.Server) uint16 { return netip.MustParseAddrPort(s.Listener.Addr().String()).Port() }

	var y strings.Builder
	y.WriteString(`
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: public, namespace: default}
spec: {gatewayClassName: any, listeners: [{name: http, port: 80, protocol: HTTP}]}
`)
	for name, at := range map[string]uint16{"app": port(app), "good": port(mirror), "bad": port(mirror)} {
		fmt.Fprintf(&y, `---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: %[1]s, namespace: default}
spec:
  parentRefs: [{name: public}]
  rules:
  - matches: [{path: {value: /%[1]s}}]
    filters: [{type: RequestMirror, requestMirror: {backendRef: {name: %[1]s, port: 443}}}]
    backendRefs: [{name: app, port: 443}]
---
apiVersion: v1
kind: Service
metadata: {name: %[1]s, namespace: default}
spec: {ports: [{port: 443}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: %[1]s, namespace: default, labels: {kubernetes.io/service-name: %[1]s}}
addressType: IPv4
ports: [{port: %[2]d}]
endpoints: [{addresses: [127.0.0.1]}]
`, name, at)
	}
	for name, trusted := range map[string]*authority{"good": ours, "bad": others} {
		fmt.Fprintf(&y, `---
apiVersion: v1
kind: ConfigMap
metadata: {name: %[1]s, namespace: default}
data:
  ca.crt: |
    %[2]s
---
apiVersion: gateway.networking.k8s.io/v1
kind: BackendTLSPolicy
metadata: {name: %[1]s, namespace: default}
spec:
  targetRefs: [{group: "", kind: Service, name: %[1]s}]
  validation: {hostname: mirror.example, caCertificateRefs: [{group: "", kind: ConfigMap, name: %[1]s}]}
`, name, strings.ReplaceAll(strings.TrimSpace(trusted.pem), "\n", "\n    "))
	}
	l := newLoopback(t, Options{
		Log: slog.New(slog.DiscardHandler),
		Registry: backend.NewRegistry(backend.Options{IdleTimeout: 10 * time.Second, Dial: func(ctx context.Context, to netip.AddrPort, _ bool) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", to.String())
		}}),
	})
	l.swap(graphOf(t, "mirrors.yaml", y.String()))
	return l
}

func TestMirrorsFollowBackendTLSPolicies(t *testing.T) {
	received := make(chan string, 8)
	l := secureMirrors(t, received)
	c := l.connect(t, anyOn80, netip.Addr{}, nil)
	defer c.Close()
	in := bufio.NewReader(c)
	for _, path := range []string{"/bad", "/good", "/bad", "/good"} {
		fmt.Fprintf(c, "PUT %s HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", path)
		if status, _ := statusOf(t, in); status != http.StatusOK {
			t.Errorf("%s: %d", path, status)
		}
	}
	// Whom the policy does not trust gets nothing: neither over TLS nor, what would be worse, in plaintext.
	patient.Until(t, "all copies are counted", func() bool {
		return l.proxy.metrics.mirrors.failed.Load() == 2 && l.proxy.metrics.mirrors.sent.Load() == 2
	})
	close(received)
	copies := 0
	for got := range received {
		if copies++; got != "/good for mirror.example: hello<nil>" {
			t.Errorf("the mirror got %s", got)
		}
	}
	if copies != 2 {
		t.Errorf("the mirror got %d requests, want 2", copies)
	}
}
