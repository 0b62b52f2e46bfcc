// gRPC beside the table in testdata/grpc.txtar: deadlines, what is counted, trailers, mirrors.

package proxy

import (
	"errors"
	"io"
	"log/slog"
	"math"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/wicketgate/wicketgate/accesslog"
	"github.com/wicketgate/wicketgate/gateway"
	"github.com/wicketgate/wicketgate/message"
	"github.com/wicketgate/wicketgate/object"
	"github.com/wicketgate/wicketgate/proxy/backend"
	"github.com/wicketgate/wicketgate/wire"
)

// callGraph has a GRPCRoute for every call, to one backend and perhaps to a mirror, on one listener.
func callGraph(mirrored bool) *gateway.Graph {
	at := &gateway.Gateway{Object: &object.Object{Namespace: "default", Name: "public"}, Spec: &gatewayv1.Gateway{}, Usable: true}
	l := &gateway.Listener{Gateway: at, Name: "http", Port: 80, Protocol: gatewayv1.HTTPProtocolType, Usable: true}
	o := &object.Object{Group: gatewayv1.GroupName, Kind: "GRPCRoute", Namespace: "default", Name: "shop"}
	target := func(name string) *gateway.Target {
		return &gateway.Target{Key: "Service default/" + name + ":80", Endpoints: []netip.AddrPort{netip.MustParseAddrPort("10.9.0.1:8080")}}
	}
	r := &gateway.Route{Object: o}
	r.Rules = []*gateway.Rule{{
		Object: r.Object, GRPCMatches: []gatewayv1.GRPCRouteMatch{{}},
		Backends: []*gateway.Backend{{Weight: 1, Target: target("app")}},
	}}
	if mirrored {
		r.Rules[0].Mirrors = []*gateway.Mirror{{Target: target("shadow"), Numerator: 1, Denominator: 1}}
	}
	return &gateway.Graph{
		Routes:   []*gateway.Route{r},
		Attached: map[*gateway.Listener]gateway.Attached{l: {Routes: []*gateway.Attachment{{Route: r, Listener: l, Hostnames: []gateway.Hostname{{}}}}}},
		Sockets:  []*gateway.Socket{{Bind: netip.MustParseAddrPort("[::]:80"), Protocol: gatewayv1.HTTPProtocolType, Listeners: []*gateway.Listener{l}}},
	}
}

// rpcExchange is a call.
func rpcExchange(fields ...string) *fakeExchange {
	x := (&tableCase{
		method: "POST", target: "/shop.Cart/Get", scheme: "http", port: 80, authority: "shop.example.com", minor: 1, client: netip.MustParseAddr("127.0.0.1"),
		header: [][2]string{{"Content-Type", "application/grpc"}},
	}).exchange()
	x.req.Trailers = true
	for i := 0; i < len(fields); i += 2 {
		x.req.Fields.Add([]byte(fields[i]), []byte(fields[i+1]))
	}
	return x
}

// trailed is a body with trailers.
type trailed struct {
	message.Text
	trailers message.Fields
}

func (b *trailed) Trailers() *message.Fields { return &b.trailers }

// trailingExchange reads the trailers as a wire does, after the body.
type trailingExchange struct {
	*fakeExchange
	trailers [][2]string
}

func (x *trailingExchange) Respond(h *message.Head, body message.Body) error {
	err := x.fakeExchange.Respond(h, body)
	if body != nil {
		if t := body.Trailers(); t != nil {
			x.trailers = pairs(t)
		}
	}
	return err
}

func metricsText(t *testing.T, registry *prometheus.Registry) string {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	for _, f := range families {
		if _, err := expfmt.MetricFamilyToText(&text, f); err != nil {
			t.Fatal(err)
		}
	}
	return text.String()
}

func TestCallsAreCountedByTheirStatus(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	file := filepath.Join(t.TempDir(), "access.log")
	format, err := accesslog.ParseFormat("$status $grpc_status")
	if err != nil {
		t.Fatal(err)
	}
	access, err := accesslog.Open(accesslog.Options{Path: file, Format: format, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	p, backends := fakes(Options{Metrics: registry, AccessLog: access})
	defer p.Close()
	p.Swap(p.Compile(callGraph(false), nil))
	answer := func(fill func(res *backend.Response)) {
		backends["Service default/app:80 HTTP/2"].answer = func(_ wire.Exchange, _ *message.Head, _ backend.Timeouts, res *backend.Response) error {
			res.Head.Reset()
			res.Body, res.Head.Status = nil, 200
			fill(res)
			return nil
		}
	}
	// In the trailers.
	answer(func(res *backend.Response) {
		b := &trailed{Text: message.Text("content")}
		b.trailers.Add([]byte("grpc-status"), []byte("0"))
		res.Body = b
	})
	x := &trailingExchange{fakeExchange: rpcExchange()}
	p.Serve(x)
	if string(x.content) != "content" || joined(x.trailers, "grpc-status") != "0" {
		t.Errorf("the client got %q and %v", x.content, x.trailers)
	}
	// Trailers-only.
	answer(func(res *backend.Response) { res.Head.Fields.Add([]byte("Grpc-Status"), []byte("5")) })
	p.Serve(rpcExchange())
	// None, and one that is no code.
	answer(func(*backend.Response) {})
	p.Serve(rpcExchange())
	answer(func(res *backend.Response) { res.Head.Fields.Add([]byte("grpc-status"), []byte("17")) })
	p.Serve(rpcExchange())
	// Our own.
	backends["Service default/app:80 HTTP/2"].answer = func(wire.Exchange, *message.Head, backend.Timeouts, *backend.Response) error {
		return &backend.Error{Result: backend.NoEndpoint, Err: errors.New("none")}
	}
	p.Serve(rpcExchange())
	// Not a call: nothing is counted.
	plain := rpcExchange()
	plain.req.Fields.Reset()
	p.Serve(plain)

	access.Close()
	lines, err := os.ReadFile(file)
	if want := "200 OK\n200 NOT_FOUND\n200 none\n200 none\n200 UNAVAILABLE\n404 -\n"; err != nil || string(lines) != want {
		t.Errorf("the access log has %q (%v), want %q", lines, err, want)
	}
	got := metricsText(t, registry)
	for _, want := range []string{`"OK"} 1`, `"NOT_FOUND"} 1`, `"none"} 2`, `"UNAVAILABLE"} 1`} {
		want = `wicketgate_grpc_calls_total{gateway="default/public",grpc_status=` + strings.Replace(want, "}", `,listener="http",route="GRPCRoute/default/shop",rule="0"}`, 1)
		if !strings.Contains(got, want+"\n") {
			t.Errorf("missing %s in\n%s", want, got)
		}
	}
	if n := strings.Count(got, "wicketgate_grpc_calls_total{"); n != 4 {
		t.Errorf("%d series of calls, want 4", n)
	}
}

func TestTheClientsDeadlineBoundsACall(t *testing.T) {
	p, backends := fakes(Options{})
	defer p.Close()
	p.Swap(p.Compile(callGraph(false), nil))
	var got time.Time
	backends["Service default/app:80 HTTP/2"].answer = func(_ wire.Exchange, _ *message.Head, to backend.Timeouts, res *backend.Response) error {
		got = to.Request
		res.Head.Reset()
		res.Body, res.Head.Status = nil, 200
		return nil
	}
	for _, c := range []struct {
		timeout string
		want    time.Duration // 0: none
	}{{"", 0}, {"1500m", 1500 * time.Millisecond}, {"nonsense", 0}, {"0S", -1}} {
		x := rpcExchange()
		if c.timeout != "" {
			x.req.Fields.Add([]byte("grpc-timeout"), []byte(c.timeout))
		}
		p.Serve(x)
		switch {
		case c.want == 0 && !got.IsZero(), c.want > 0 && !got.Equal(x.arrived.Add(c.want)), c.want < 0 && !got.Equal(x.arrived):
			t.Errorf("%q: the deadline is %v after the request came", c.timeout, got.Sub(x.arrived))
		}
	}
}

func TestParseGRPCTimeout(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"1H": time.Hour, "2M": 2 * time.Minute, "30S": 30 * time.Second, "99999999m": 99999999 * time.Millisecond,
		"5u": 5 * time.Microsecond, "7n": 7, "00000001S": time.Second, "0n": 0, "99999999H": math.MaxInt64,
	} {
		if got, ok := parseGRPCTimeout([]byte(text)); !ok || got != want {
			t.Errorf("%q: got %v %t, want %v", text, got, ok, want)
		}
	}
	for _, text := range []string{"", "S", "1", "1s", "-1S", "1 S", "1.5S", "123456789S", "１S"} {
		if got, ok := parseGRPCTimeout([]byte(text)); ok {
			t.Errorf("%q is %v", text, got)
		}
	}
}

func FuzzGRPCTimeout(f *testing.F) {
	f.Add([]byte("99999999H"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if d, ok := parseGRPCTimeout(text); d < 0 || !ok && d != 0 {
			t.Errorf("%q is %v %t", text, d, ok)
		}
	})
}

func TestIsGRPC(t *testing.T) {
	for text, want := range map[string]bool{
		"application/grpc": true, "Application/GRPC+proto": true, "application/grpc;x=y": true, "application/grpc-web": true,
		"application/grpc+": true, "application/grpcx": false, "application/grp": false, "application/json": false, "": false,
	} {
		h := message.Head{}
		h.Fields.Add([]byte("content-type"), []byte(text))
		if isGRPC(&h) != want {
			t.Errorf("%q: %t", text, !want)
		}
	}
}

func TestPrintOfCalls(t *testing.T) {
	p, _ := fakes(Options{})
	defer p.Close()
	g := callGraph(false)
	g.Routes[0].Rules = append(g.Routes[0].Rules, &gateway.Rule{
		Object: g.Routes[0].Object, Index: 1, Unusable: "it is broken",
		GRPCMatches: []gatewayv1.GRPCRouteMatch{{Method: &gatewayv1.GRPCMethodMatch{Service: new("shop.Cart")}}},
	})
	var text strings.Builder
	if err := p.Compile(g, nil).Print(&text); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"gRPC              shop.Cart/* -> GRPCRoute default/shop rule 1 (", "): UNAVAILABLE (it is broken)\n",
		"gRPC              */* -> GRPCRoute default/shop rule 0 (", "): Service default/app:80",
	} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("no %q in\n%s", want, &text)
		}
	}
}

// What a mirror gets can be answered with trailers, and metadata with '_' stays in the trailer, too.
func TestMirrorsAndTrailersOfCalls(t *testing.T) {
	p, backends := fakes(Options{})
	p.Swap(p.Compile(callGraph(true), nil))
	mirrored := make(chan bool, 1)
	backends["Service default/shadow:80 HTTP/2"].answer = func(_ wire.Exchange, req *message.Head, _ backend.Timeouts, res *backend.Response) error {
		mirrored <- req.Trailers && string(req.Path) == "/shop.Cart/Get"
		res.Head.Reset()
		res.Body, res.Head.Status = nil, 200
		return nil
	}
	x := rpcExchange()
	b := &trailed{Text: message.Text("message")}
	b.trailers.Add([]byte("my_meta"), []byte("1"))
	x.body, x.req.Length = b, message.LengthUnknown
	p.Serve(x)
	if !<-mirrored {
		t.Error("the mirror got something else")
	}
	p.Close()
	c := &call{proxy: p, x: x, req: &x.req, grpc: true, match: &match{rule: &rule{filters: new(filters)}}, share: &share{filters: new(filters)}}
	body := c.screen()
	if _, err := body.Next(); err != nil && !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	if got := body.Trailers(); got == nil || got.Len() != 1 {
		t.Errorf("trailers %v", got)
	}
}
