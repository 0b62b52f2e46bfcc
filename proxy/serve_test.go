// Serve on fakes: options, failures, log lines, allocations.

package proxy

import (
	"bytes"
	"errors"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/wicketgate/wicketgate/message"
	"github.com/wicketgate/wicketgate/proxy/backend"
	"github.com/wicketgate/wicketgate/wire"
)

// plainYAML is a Gateway with two rules on one backend.
const plainYAML = `
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: public, namespace: default}
spec:
  gatewayClassName: wicketgate
  listeners: [{name: http, port: 80, protocol: HTTP}]
---
apiVersion: v1
kind: Service
metadata: {name: v1, namespace: default}
spec: {ports: [{port: 8080}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: v1-1, namespace: default, labels: {kubernetes.io/service-name: v1}}
addressType: IPv4
ports: [{port: 8080}]
endpoints: [{addresses: [10.9.0.1]}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: shop, namespace: default}
spec:
  parentRefs: [{name: public}]
  hostnames: [shop.example.com]
  rules:
  - matches: [{path: {value: /cart}}]
    backendRefs: [{name: v1, port: 8080}]
  - name: admin
    matches: [{path: {value: /admin}, headers: [{name: X-Role, value: admin}]}]
    backendRefs: [{name: v1, port: 8080}]
`

// plainExchange is GET http://shop.example.com/cart.
func plainExchange() *fakeExchange {
	c := &tableCase{
		method: "GET", target: "/cart", authority: "shop.example.com", scheme: "http", port: 80, minor: 1,
		client: netip.MustParseAddr("192.0.2.7"),
	}
	return c.exchange()
}

func plainProxy(t testing.TB, o Options) (*Proxy, *fakeBackend) {
	t.Helper()
	p, backends := fakes(o)
	t.Cleanup(p.Close)
	p.Swap(p.Compile(graphOf(t, "plain.yaml", plainYAML), nil))
	return p, backends["Service default/v1:8080"]
}

func TestServeDoesNotAllocate(t *testing.T) {
	p, b := plainProxy(t, Options{})
	b.quiet = true
	x := plainExchange()
	x.quiet = true
	x.req.Fields.Add([]byte("User-Agent"), []byte("test"))
	x.req.Fields.Add([]byte("X-Forwarded-For"), []byte("forged"))
	n := x.req.Fields.Len()
	serve := func() {
		for x.req.Fields.Len() > n {
			x.req.Fields.RemoveAt(x.req.Fields.Len() - 1)
		}
		p.Serve(x)
		if x.status != 204 {
			t.Fatalf("status %d", x.status)
		}
	}
	if allocs := testing.AllocsPerRun(200, serve); allocs != 0 {
		t.Errorf("%v allocations a request, want 0", allocs)
	}
}

func BenchmarkServe(b *testing.B) {
	p, upstream := plainProxy(b, Options{})
	upstream.quiet = true
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		x := plainExchange()
		x.quiet = true
		for _, name := range []string{"User-Agent", "Accept", "Accept-Encoding", "Cookie"} {
			x.req.Fields.Add([]byte(name), []byte("something"))
		}
		n := x.req.Fields.Len()
		for pb.Next() {
			for x.req.Fields.Len() > n {
				x.req.Fields.RemoveAt(x.req.Fields.Len() - 1)
			}
			p.Serve(x)
		}
	})
}

func TestUnderscorePolicies(t *testing.T) {
	for policy, want := range map[Underscore]struct {
		status int
		sent   bool
	}{DropUnderscore: {200, false}, AllowUnderscore: {200, true}, RejectUnderscore: {400, false}} {
		p, b := plainProxy(t, Options{Underscore: policy})
		x := plainExchange()
		x.req.Fields.Add([]byte("User_Id"), []byte("7"))
		p.Serve(x)
		if x.status != want.status || b.seen != nil && has(b.seen.header, "User_Id") != want.sent {
			t.Errorf("policy %d: status %d, backend saw %v", policy, x.status, b.seen)
		}
	}
}

func TestKeepSlashes(t *testing.T) {
	for keep, want := range map[bool]string{false: "/cart/a", true: "/cart//a"} {
		p, b := plainProxy(t, Options{KeepSlashes: keep})
		x := plainExchange()
		x.req.Target = []byte("/cart//a")
		p.Serve(x)
		if b.seen == nil || b.seen.target != want {
			t.Errorf("keep %v: backend saw %v, want %s", keep, b.seen, want)
		}
	}
}

func TestTimeoutsReachTheBackend(t *testing.T) {
	yaml := strings.Replace(plainYAML, "    backendRefs", "    timeouts: {request: 3s, backendRequest: 2s}\n    backendRefs", 1)
	p, backends := fakes(Options{})
	defer p.Close()
	p.Swap(p.Compile(graphOf(t, "plain.yaml", yaml), nil))
	var got backend.Timeouts
	backends["Service default/v1:8080"].answer = func(_ wire.Exchange, _ *message.Head, t backend.Timeouts, res *backend.Response) error {
		got = t
		res.Head.Status = 204
		return nil
	}
	x := plainExchange()
	p.Serve(x)
	if !got.Request.Equal(x.arrived.Add(3*time.Second)) || got.Backend != 2*time.Second {
		t.Errorf("timeouts %+v of a request that arrived at %v", got, x.arrived)
	}
}

// What goes wrong with a backend: what the client gets, what the log says, what is counted.
func TestBackendFailures(t *testing.T) {
	endpoint := netip.MustParseAddrPort("10.9.0.1:8080")
	for name, c := range map[string]struct {
		err    error
		status int // what the exchange gets; 0: it is aborted
		code   string
		reason string
	}{
		"no endpoint": {&backend.Error{Result: backend.NoEndpoint, Err: errors.New("cause")}, 503, "503", "no ready endpoint"},
		"connect":     {&backend.Error{Result: backend.ConnectFailed, Endpoint: endpoint, Err: errors.New("cause")}, 503, "503", "accepts connections"},
		"broken":      {&backend.Error{Result: backend.Broken, Endpoint: endpoint, Err: errors.New("cause")}, 502, "502", "broke off"},
		"timeout":     {&backend.Error{Result: backend.TimedOut, Endpoint: endpoint, Err: errors.New("cause")}, 504, "504", "in time"},
		"client gone": {&backend.Error{Result: backend.ClientGone, Endpoint: endpoint, Err: errors.New("cause")}, 0, "499", "client left"},
		"bad request": {&backend.Error{Result: backend.RequestFailed, Endpoint: endpoint, Err: errors.New("cause")}, 400, "400", "request's body"},
		"another":     {errors.New("cause"), 502, "502", "backend failed"},
	} {
		t.Run(name, func(t *testing.T) {
			var log bytes.Buffer
			p, b := plainProxy(t, Options{Log: slog.New(slog.NewTextHandler(&log, nil))})
			b.answer = func(wire.Exchange, *message.Head, backend.Timeouts, *backend.Response) error { return c.err }
			x := plainExchange()
			p.Serve(x)
			if x.status != c.status || x.aborted != (c.status == 0) || x.answers != 1 {
				t.Errorf("status %d, aborted %v, %d answers", x.status, x.aborted, x.answers)
			}
			if c.status != 0 && (len(x.content) == 0 || bytes.Contains(x.content, []byte("10.9"))) {
				t.Errorf("body %q", x.content)
			}
			for _, want := range []string{
				c.reason, "status=" + c.code, "error=cause", "route=default/shop", "rule=0", "at=plain.yaml:28:5",
				`backend="Service default/v1:8080"`, "gateway=default/public", "listener=http", "client=192.0.2.7:50000", "path=/cart",
			} {
				if !strings.Contains(log.String(), want) {
					t.Errorf("the log lacks %q: %s", want, &log)
				}
			}
			if strings.Count(log.String(), "\n") != 1 {
				t.Errorf("not one line: %s", &log)
			}
			var e *backend.Error
			if errors.As(c.err, &e) && e.Endpoint.IsValid() != strings.Contains(log.String(), "endpoint=10.9.0.1:8080") {
				t.Errorf("the log and the endpoint: %s", &log)
			}
			if n := p.metrics.series[labels{"default/public", "http", "default/shop", "0"}].read(); n.finished != 1 || n.inFlight != 0 {
				t.Errorf("counted %+v", n)
			}
		})
	}
}

func TestLogSaysWhyNothingMatched(t *testing.T) {
	for name, c := range map[string]struct {
		change func(x *fakeExchange)
		want   []string
	}{
		"host":      {func(x *fakeExchange) { x.req.Authority = []byte("other.example.com") }, []string{"nearest=", "shop.example.com", "at=plain.yaml:7:15"}},
		"path":      {func(x *fakeExchange) { x.req.Target = []byte("/tea") }, []string{"nearest=", `the path is \"/tea\"`}},
		"header":    {func(x *fakeExchange) { x.req.Target = []byte("/admin") }, []string{"nearest=", "header x-role is missing"}},
		"no socket": {func(x *fakeExchange) { x.peer.Socket = netip.MustParseAddrPort("127.0.0.1:81") }, []string{"no listener is configured", "at=127.0.0.1:81"}},
		"bad path":  {func(x *fakeExchange) { x.req.Target = []byte("/%00") }, []string{"status=400", "request target is malformed"}},
		"bad host":  {func(x *fakeExchange) { x.req.Authority = []byte("a/b") }, []string{"status=400", "host is missing or malformed"}},
	} {
		t.Run(name, func(t *testing.T) {
			var log bytes.Buffer
			p, _ := plainProxy(t, Options{Log: slog.New(slog.NewTextHandler(&log, nil))})
			x := plainExchange()
			c.change(x)
			p.Serve(x)
			for _, want := range c.want {
				if !strings.Contains(log.String(), want) {
					t.Errorf("the log lacks %q: %s", want, &log)
				}
			}
		})
	}
}

func TestResponseBrokenOffIsLoggedOnce(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		want string
	}{
		"by the backend": {&wire.BackendError{Kind: wire.BackendBroken, Err: errors.New("reset")}, "level=WARN msg=\"request failed\" status=200 reason=\"the backend broke off"},
		"by the client":  {errors.New("broken pipe"), "level=INFO msg=\"request failed\" status=200 reason=\"the client did not take"},
	} {
		t.Run(name, func(t *testing.T) {
			var log bytes.Buffer
			p, _ := plainProxy(t, Options{Log: slog.New(slog.NewTextHandler(&log, nil))})
			x := plainExchange()
			x.fail = c.err
			p.Serve(x)
			if strings.Count(log.String(), "\n") != 1 || !strings.Contains(log.String(), c.want) {
				t.Errorf("the log lacks %q: %s", c.want, &log)
			}
		})
	}
}

func TestRefusedIsCountedAndLogged(t *testing.T) {
	var log bytes.Buffer
	p, _ := plainProxy(t, Options{Log: slog.New(slog.NewTextHandler(&log, nil))})
	x := plainExchange()
	p.Refused(x.peer, 431, errors.New("too many fields"))
	p.Refused(x.peer, 0, errors.New("reset"))
	if n := p.metrics.series[labels{}].read(); n.codes[431] != 1 || n.finished != 1 {
		t.Errorf("counted %+v", n)
	}
	if !strings.Contains(log.String(), "status=431") || !strings.Contains(log.String(), "too many fields") {
		t.Errorf("log: %s", &log)
	}
}

// One connection, many hosts: what is remembered of a connection must not answer for another host or another snapshot.
func TestConnectionMemory(t *testing.T) {
	p, b := plainProxy(t, Options{})
	x := plainExchange()
	for i, c := range []struct {
		host   string
		status int
	}{{"shop.example.com", 200}, {"other.example.com", 404}, {"shop.example.com", 200}, {"", 400}, {"shop.example.com", 200}, {"SHOP.example.com:81", 200}} {
		again := plainExchange()
		again.peer = x.peer
		again.req.Authority = []byte(c.host)
		p.Serve(again)
		if again.status != c.status {
			t.Errorf("request %d for %q: status %d, want %d", i, c.host, again.status, c.status)
		}
	}
	if b.seen == nil {
		t.Fatal("no request reached the backend")
	}
	p.Swap(p.empty())
	again := plainExchange()
	again.peer = x.peer
	p.Serve(again)
	if again.status != 404 {
		t.Errorf("status %d after everything was removed", again.status)
	}
}

// Listeners have other numbers in the next snapshot: a connection that stays must not take them for the old ones.
func TestConnectionMemoryEndsWithTheSnapshot(t *testing.T) {
	listeners := func(names ...string) string {
		list := ""
		for _, n := range names {
			list += "{name: " + n + ", port: 80, protocol: HTTP, hostname: " + n + ".example.com}, "
		}
		return strings.Replace(plainYAML, "{name: http, port: 80, protocol: HTTP}", list, 1)
	}
	p, _ := fakes(Options{})
	t.Cleanup(p.Close)
	peer := plainExchange().peer
	for i, yaml := range []string{listeners("shop"), listeners("other", "shop"), listeners("shop", "other"), listeners("a", "b", "shop")} {
		p.Swap(p.Compile(graphOf(t, "plain.yaml", yaml), p.Current()))
		x := plainExchange()
		x.peer = peer
		p.Serve(x)
		if x.status != 200 {
			t.Errorf("snapshot %d: status %d", i, x.status)
		}
	}
}
