// Mirrors: what they get, and that nobody waits for them.

package proxy

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/wicketgate/wicketgate/internal/patient"
	"github.com/wicketgate/wicketgate/message"
	"github.com/wicketgate/wicketgate/proxy/backend"
	"github.com/wicketgate/wicketgate/wire"
)

const mirrorYAML = `
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: public, namespace: default}
spec:
  gatewayClassName: wicketgate
  listeners: [{name: http, port: 80, protocol: HTTP}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: mirrored, namespace: default}
spec:
  parentRefs: [{name: public}]
  rules:
  - matches: [{path: {value: /}}]
    filters:
    - {type: RequestMirror, requestMirror: {backendRef: {name: shadow, port: 8080}}}
    backendRefs: [{name: app, port: 8080}]
  - matches: [{path: {value: /changed}}]
    filters:
    - {type: URLRewrite, urlRewrite: {hostname: inside.example, path: {type: ReplaceFullPath, replaceFullPath: /inside}}}
    - {type: RequestMirror, requestMirror: {backendRef: {name: shadow, port: 8080}}}
    - {type: RequestMirror, requestMirror: {backendRef: {name: shadow, port: 8080}}}
    - {type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: X-Level, value: rule}], remove: [X-Secret]}}
    backendRefs:
    - name: app
      port: 8080
      filters:
      - {type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: X-Level, value: backendRef}]}}
      - {type: RequestMirror, requestMirror: {backendRef: {name: shadow, port: 8080}}}
  - matches: [{path: {value: /quarter}}]
    filters:
    - {type: RequestMirror, requestMirror: {backendRef: {name: shadow, port: 8080}, percent: 25}}
    - {type: RequestMirror, requestMirror: {backendRef: {name: silent, port: 3}, fraction: {numerator: 0}}}
    backendRefs: [{name: app, port: 8080}]
  - matches: [{path: {value: /silent}}]
    filters: [{type: RequestMirror, requestMirror: {backendRef: {name: silent, port: 3}}}]
    backendRefs: [{name: app, port: 8080}]
  - matches: [{path: {value: /retried}}]
    retry: {codes: [503], attempts: 3}
    filters: [{type: RequestMirror, requestMirror: {backendRef: {name: shadow, port: 8080}}}]
    backendRefs: [{name: app, port: 8080}]
  - matches: [{path: {value: /refusing}}]
    filters: [{type: RequestMirror, requestMirror: {backendRef: {name: refusing, port: 1}}}]
    backendRefs: [{name: app, port: 8080}]
`

// mirrorConfig adds the Services.
func mirrorConfig() string {
	text := mirrorYAML
	for i, s := range []struct {
		name string
		port int
	}{{"app", 8080}, {"shadow", 8080}, {"silent", portSilent}, {"refusing", portRefused}} {
		text += fmt.Sprintf(`---
apiVersion: v1
kind: Service
metadata: {name: %[1]s, namespace: default}
spec: {ports: [{port: %[2]d}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: %[1]s-1, namespace: default, labels: {kubernetes.io/service-name: %[1]s}}
addressType: IPv4
ports: [{port: %[2]d}]
endpoints: [{addresses: [10.9.0.%[3]d]}]
`, s.name, s.port, i+1)
	}
	return text
}

// mirrorStand is a proxy over loopback whose origin tells the shadow from the app.
func mirrorStand(t *testing.T, app, shadow http.HandlerFunc) *loopback {
	t.Helper()
	l := newLoopback(t, Options{Log: slog.New(slog.DiscardHandler)})
	l.swap(graphOf(t, "mirror.yaml", mirrorConfig()))
	l.origin.respond(func(w http.ResponseWriter, r *http.Request) {
		l.origin.mu.Lock()
		meant := l.origin.meant[r.RemoteAddr].Addr()
		l.origin.mu.Unlock()
		if meant == netip.MustParseAddr("10.9.0.1") {
			app(w, r)
		} else {
			shadow(w, r)
		}
	})
	return l
}

func (l *loopback) open(t *testing.T) (net.Conn, *bufio.Reader) {
	c := l.connect(t, anyOn80, netip.Addr{}, nil)
	return c, bufio.NewReader(c)
}

func statusOf(t *testing.T, r *bufio.Reader) (int, string) {
	t.Helper()
	res, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(body)
}

func TestMirrorGetsTheRequestBeforeItIsRewritten(t *testing.T) {
	got := make(chan string, 4)
	note := func(who string, w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		got <- fmt.Sprint(who, " ", r.Method, " ", r.Host, r.RequestURI, " ", r.Header.Get("X-Level"), " ", r.Header.Get("X-Secret"), " ",
			string(body), " ", r.Trailer.Get("X-Sum"), err)
		if who == "shadow" {
			w.WriteHeader(http.StatusTeapot)
		}
		io.WriteString(w, who)
	}
	l := mirrorStand(t, func(w http.ResponseWriter, r *http.Request) { note("app", w, r) },
		func(w http.ResponseWriter, r *http.Request) { note("shadow", w, r) })
	c, in := l.open(t)
	io.WriteString(c, "POST /changed/a?b=c HTTP/1.1\r\nHost: shop.example.com\r\nX-Secret: s\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n"+
		"5\r\nhello\r\n0\r\nX-Sum: 42\r\n\r\n")
	if status, body := statusOf(t, in); status != 200 || body != "app" {
		t.Errorf("the client got %d %q", status, body)
	}
	count := map[string]int{}
	for range 4 {
		count[<-got]++
	}
	for line, n := range map[string]int{
		"app POST inside.example/inside?b=c backendRef  hello 42<nil>":         1,
		"shadow POST shop.example.com/changed/a?b=c rule  hello 42<nil>":       2,
		"shadow POST shop.example.com/changed/a?b=c backendRef  hello 42<nil>": 1,
	} {
		if count[line] != n {
			t.Errorf("%d times %q, want %d; got %v", count[line], line, n, count)
		}
	}
	patient.Until(t, "counting the mirrored requests", func() bool { return l.proxy.metrics.mirrors.sent.Load() == 3 })
}

// counter reads a body and counts.
func counter(n *atomic.Int64, end chan<- error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		buf := make([]byte, 64<<10)
		for {
			k, err := r.Body.Read(buf)
			n.Add(int64(k))
			if err != nil {
				if end != nil {
					end <- err
				}
				return
			}
		}
	}
}

func TestMirrorGetsABodyLargerThanTheBuffer(t *testing.T) {
	var app, shadow atomic.Int64
	end := make(chan error, 1)
	l := mirrorStand(t, counter(&app, nil), counter(&shadow, end))
	c, in := l.open(t)
	const piece, pieces = 40 << 10, 20
	fmt.Fprintf(c, "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n", piece*pieces)
	for i := range int64(pieces) {
		io.WriteString(c, strings.Repeat("x", piece))
		patient.Until(t, "the arrival of a piece", func() bool { return app.Load() == (i+1)*piece && shadow.Load() == (i+1)*piece })
	}
	if status, _ := statusOf(t, in); status != 200 {
		t.Errorf("status %d", status)
	}
	if err := <-end; !errors.Is(err, io.EOF) {
		t.Errorf("the mirror saw the end %v", err)
	}
}

func TestMirrorThatTakesNothingIsDropped(t *testing.T) {
	var app atomic.Int64
	l := mirrorStand(t, counter(&app, nil), nil)
	c, in := l.open(t)
	const size = 32 << 20
	fmt.Fprintf(c, "PUT /silent HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n", size)
	for range size >> 20 {
		io.WriteString(c, strings.Repeat("x", 1<<20))
	}
	if status, _ := statusOf(t, in); status != 200 || app.Load() != size {
		t.Errorf("status %d, the app got %d bytes", status, app.Load())
	}
	patient.Until(t, "dropping", func() bool { return l.proxy.metrics.mirrors.dropped.Load() == 1 })
}

func TestMirrorSeesThatARequestBrokeOff(t *testing.T) {
	var app, shadow atomic.Int64
	end := make(chan error, 1)
	l := mirrorStand(t, counter(&app, nil), counter(&shadow, end))
	c, _ := l.open(t)
	io.WriteString(c, "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n")
	patient.Until(t, "the arrival of the half", func() bool { return shadow.Load() == 4 })
	c.Close()
	if err := <-end; errors.Is(err, io.EOF) {
		t.Error("half a body ended cleanly")
	}
	patient.Until(t, "counting", func() bool { return l.proxy.metrics.mirrors.aborted.Load() == 1 })
}

func TestMirrorThatCannotBeReachedHarmsNobody(t *testing.T) {
	l := mirrorStand(t, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "app") }, nil)
	c, in := l.open(t)
	for _, path := range []string{"/refusing", "/silent"} {
		fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: a\r\n\r\n", path)
		if status, body := statusOf(t, in); status != 200 || body != "app" {
			t.Errorf("%s: %d %q", path, status, body)
		}
	}
	patient.Until(t, "the failure", func() bool { return l.proxy.metrics.mirrors.failed.Load() == 1 })
	// The silent one is broken off by Close.
	l.proxy.Close()
	if n := l.proxy.metrics.mirrors.aborted.Load(); n != 1 {
		t.Errorf("%d broken off, want 1", n)
	}
}

// fakeMirror is a proxy on fakes whose shadow answers by f.
func fakeMirror(t *testing.T, f func()) *Proxy {
	p, backends := fakes(Options{})
	p.Swap(p.Compile(graphOf(t, "mirror.yaml", mirrorConfig()), nil))
	for key, b := range backends {
		b.quiet = true
		if strings.HasPrefix(key, "Service default/shadow") {
			b.answer = func(_ wire.Exchange, _ *message.Head, _ backend.Timeouts, res *backend.Response) error {
				f()
				return nil
			}
		}
	}
	return p
}

func serveGET(p *Proxy, path string) int {
	x := (&tableCase{method: "GET", target: path, authority: "a", port: 80, minor: 1, client: netip.MustParseAddr("127.0.0.1")}).exchange()
	x.quiet = true
	p.Serve(x)
	return x.status
}

func TestMirrorGetsItsShare(t *testing.T) {
	p := fakeMirror(t, func() {})
	const requests = 4000
	for range requests {
		serveGET(p, "/quarter")
	}
	p.Close() // none is under way any more
	m := &p.metrics.mirrors
	if got := m.sent.Load() + m.dropped.Load() + m.failed.Load() + m.aborted.Load(); got < requests*20/100 || got > requests*30/100 { // 7 standard deviations
		t.Errorf("%d of %d requests were mirrored, want about a quarter", got, requests)
	}
}

func TestMirrorWithTooManyRequestsUnderWay(t *testing.T) {
	block := make(chan struct{})
	var release sync.Once
	unblock := func() { release.Do(func() { close(block) }) }
	p := fakeMirror(t, func() { <-block })
	defer p.Close()
	defer unblock()
	for range maxReflections + 3 {
		if status := serveGET(p, "/"); status != 204 {
			t.Fatalf("status %d", status)
		}
	}
	if n := p.metrics.mirrors.dropped.Load(); n != 3 {
		t.Errorf("%d dropped, want 3", n)
	}
	// Those under way keep their snapshot.
	old := p.Current()
	p.Swap(p.empty())
	var held int64
	for i := range old.life.counts {
		held += old.life.counts[i].n.Load()
	}
	if held != maxReflections {
		t.Errorf("%d hold the snapshot, want %d", held, maxReflections)
	}
	unblock()
	patient.Until(t, "the end of all", func() bool { return p.metrics.mirrors.sent.Load() == maxReflections })
}
