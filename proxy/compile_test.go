// Compile: what is left out, what is told, and what it costs.

package proxy

import (
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/wicketgate/wicketgate/gateway"
	"github.com/wicketgate/wicketgate/object"
	"github.com/wicketgate/wicketgate/proxy/backend"
	"github.com/wicketgate/wicketgate/router"
)

// largeGraph has n routes with a hostname and a backend each, and 3 rules, on one listener.
func largeGraph(n int) *gateway.Graph {
	at := &gateway.Gateway{Object: &object.Object{Namespace: "default", Name: "public"}, Usable: true}
	l := &gateway.Listener{Gateway: at, Name: "http", Port: 80, Protocol: gatewayv1.HTTPProtocolType, Usable: true}
	var routes []*gateway.Attachment
	prefix := gatewayv1.PathMatchPathPrefix
	for i := range n {
		r := &gateway.Route{Object: &object.Object{Namespace: "default", Name: fmt.Sprintf("route-%d", i)}}
		t := &gateway.Target{Key: fmt.Sprintf("Service default/s%d:8080", i), Endpoints: []netip.AddrPort{netip.MustParseAddrPort("10.9.0.1:8080")}}
		for j := range 3 {
			path := fmt.Sprintf("/part-%d", j)
			r.Rules = append(r.Rules, &gateway.Rule{
				Object: r.Object, Index: j, Backends: []*gateway.Backend{{Weight: 1, Target: t}},
				Matches: []gatewayv1.HTTPRouteMatch{{Path: &gatewayv1.HTTPPathMatch{Type: &prefix, Value: &path}}},
			})
		}
		host := fmt.Sprintf("h%d.example.com", i)
		routes = append(routes, &gateway.Attachment{
			Route: r, Listener: l, Hostnames: []gateway.Hostname{{Effective: host, Declared: host}},
		})
	}
	return &gateway.Graph{
		Sockets:  []*gateway.Socket{{Bind: netip.MustParseAddrPort("[::]:80"), Listeners: []*gateway.Listener{l}}},
		Attached: map[*gateway.Listener]gateway.Attached{l: {Routes: routes}},
	}
}

func BenchmarkCompile(b *testing.B) {
	for _, n := range []int{100, 10000} {
		for _, again := range []bool{false, true} {
			b.Run(fmt.Sprintf("routes=%d/again=%t", n, again), func(b *testing.B) {
				g := largeGraph(n)
				p, _ := fakes(Options{})
				defer p.Close()
				b.ReportAllocs()
				for b.Loop() {
					prev := p.Current()
					if !again {
						prev = nil
					}
					p.Swap(p.Compile(g, prev))
				}
			})
		}
	}
}

func TestCompileLeavesOutWhatIsNotServed(t *testing.T) {
	g := largeGraph(1)
	first := g.Sockets[0]
	broken := &gateway.Listener{Gateway: first.Listeners[0].Gateway, Name: "broken", Protocol: gatewayv1.HTTPProtocolType, Hostname: "broken.example.com"}
	first.Listeners = append(first.Listeners, broken)
	g.Sockets = append([]*gateway.Socket{{Bind: first.Bind, Protocol: gatewayv1.UDPProtocolType}}, first)
	p, _ := fakes(Options{})
	defer p.Close()
	s := p.Compile(g, nil)
	defer s.Discard()
	if len(s.sockets) != 1 || len(s.sockets[0].listeners) != 1 {
		t.Error("something else than the usable HTTP listener is served")
	}
}

// Should the graph let something through that cannot be compiled, it is told and answered with 500, and the rest is served.
func TestCompileTellsWhatItCannotServe(t *testing.T) {
	bad, auth := "a\nb", gatewayv1.HTTPRouteFilter{Type: gatewayv1.HTTPRouteFilterExternalAuth}
	regex, pattern := gatewayv1.PathMatchRegularExpression, "("
	for name, c := range map[string]struct {
		change func(r *gateway.Rule)
		field  string
		rest   bool // the rule itself is answered with 500; else it is as if it were not there
	}{
		"a header value": {func(r *gateway.Rule) {
			r.Filters = []gatewayv1.HTTPRouteFilter{{RequestHeaderModifier: &gatewayv1.HTTPHeaderFilter{Set: []gatewayv1.HTTPHeader{{Name: "A", Value: bad}}}}}
		}, "spec.rules[0].filters[0].requestHeaderModifier", true},
		"an unknown filter": {func(r *gateway.Rule) { r.Filters = []gatewayv1.HTTPRouteFilter{auth} }, "spec.rules[0].filters[0].type", true},
		"a filter of a backendRef": {func(r *gateway.Rule) {
			r.Backends[0].Filters = []gatewayv1.HTTPRouteFilter{auth}
		}, "spec.rules[0].backendRefs[0].filters[0].type", true},
		"a pattern": {func(r *gateway.Rule) {
			r.Matches[0].Path.Type, r.Matches[0].Path.Value = &regex, &pattern
		}, "spec.rules[0].matches", false},
	} {
		t.Run(name, func(t *testing.T) {
			g := largeGraph(1)
			c.change(g.Attached[g.Sockets[0].Listeners[0]].Routes[0].Route.Rules[0])
			p, _ := fakes(Options{})
			defer p.Close()
			s := p.Compile(g, nil)
			if len(s.Problems()) != 1 || s.Problems()[0].Field != c.field || s.Problems()[0].Message == "" {
				t.Fatalf("problems %v, want one at %s", s.Problems(), c.field)
			}
			p.Swap(s)
			for path, want := range map[string]int{"/part-0": map[bool]int{true: 500, false: 404}[c.rest], "/part-1": 200} {
				x := plainExchange()
				x.req.Authority, x.req.Target = []byte("h0.example.com"), []byte(path)
				p.Serve(x)
				if x.status != want {
					t.Errorf("%s: status %d, want %d", path, x.status, want)
				}
			}
		})
	}
}

// What Compile cannot carry out the graph has refused before, so that a route's status tells of it.
func TestTheGraphRefusesWhatCannotBeCompiled(t *testing.T) {
	const auth = "{type: ExternalAuth, externalAuth: {protocol: HTTP, backendRef: {name: v1, port: 80}, http: {path: /%00}}}"
	filters := []string{
		`{type: RequestHeaderModifier, requestHeaderModifier: {remove: ["a b"]}}`,
		`{type: URLRewrite, urlRewrite: {path: {type: ReplaceFullPath, replaceFullPath: /a%00}}}`,
		`{type: URLRewrite, urlRewrite: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /%00}}}`,
		`{type: RequestRedirect, requestRedirect: {path: {type: ReplaceFullPath, replaceFullPath: /%00}}}`,
		auth,
	}
	for _, name := range reserved {
		filters = append(filters, "{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: "+name+", value: x}]}}",
			"{type: ResponseHeaderModifier, responseHeaderModifier: {remove: ["+name+"]}}")
	}
	for _, filter := range filters {
		g := graphOf(t, "filter.yaml", `
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: public}
spec: {gatewayClassName: any, listeners: [{name: http, port: 80, protocol: HTTP}]}
---
apiVersion: v1
kind: Service
metadata: {name: v1}
spec: {ports: [{port: 80}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: main}
spec: {parentRefs: [{name: public}], rules: [{filters: [`+filter+`]}]}
`)
		p, _ := fakes(Options{})
		s := p.Compile(g, nil)
		if g.Routes[0].Rules[0].Unusable == "" || g.Routes[0].Parents[0].Accepted || len(s.Problems()) > 0 {
			t.Errorf("%s: the route is accepted, or refused too late: %v", filter, s.Problems())
		}
		s.Discard()
		p.Close()
	}
}

// The same holds of regular expressions: whatever the graph lets through the router can compile.
func TestTheGraphRefusesPatternsThatCannotBeCompiled(t *testing.T) {
	nested := func(n int) string { return strings.Repeat("(?:x", n) + strings.Repeat(")*", n) }
	for _, c := range []struct {
		text string
		fine bool
	}{
		{`a\Q.b`, true},
		{"(?:", false},
		{"a)|(b", false},
		{nested(499), true},
		{nested(500), false}, // regexp bounds the depth to 1000
		{nested(501), false},
		{strings.Repeat("x", router.MaxPatternProgram-2), true},
		{strings.Repeat("x", router.MaxPatternProgram-1), false}, // the rest: to fail, and to match
	} {
		g := graphOf(t, "plain.yaml", strings.Replace(plainYAML, "value: admin}", "type: RegularExpression, value: '"+c.text+"'}", 1))
		p, _ := fakes(Options{})
		s := p.Compile(g, nil)
		if refused := len(g.Routes[0].Rules) < 2; refused == c.fine || len(s.Problems()) > 0 {
			t.Errorf("%.30s, %d bytes: refused %t, and then %v", c.text, len(c.text), refused, s.Problems())
		}
		s.Discard()
		p.Close()
	}
}

// A socket confined to one address of the machine gets that address's connections, the wildcard the rest.
func TestSocketsThatShareABind(t *testing.T) {
	confined, rest := largeGraph(1), largeGraph(1)
	confined.Sockets[0].Local = netip.MustParseAddr("127.0.10.1")
	g := &gateway.Graph{Sockets: append(rest.Sockets, confined.Sockets...), Attached: rest.Attached}
	p, _ := fakes(Options{})
	defer p.Close()
	p.Swap(p.Compile(g, nil))
	for local, want := range map[string]int{"127.0.10.1:80": 404, "[::ffff:127.0.10.1]:80": 404, "127.0.0.1:80": 200} {
		x := plainExchange()
		x.peer.Local = netip.MustParseAddrPort(local)
		x.req.Authority, x.req.Target = []byte("h0.example.com"), []byte("/part-0")
		p.Serve(x)
		if x.status != want {
			t.Errorf("arrived at %s: status %d, want %d", local, x.status, want)
		}
	}
}

func TestCertificatesComeWithTheSnapshot(t *testing.T) {
	yaml := withSecret(t, strings.Replace(plainYAML, "{name: http, port: 80, protocol: HTTP}",
		"{name: https, port: 443, protocol: HTTPS, tls: {certificateRefs: [{name: cert}]}}", 1))
	p, _ := fakes(Options{})
	defer p.Close()
	s := p.Compile(graphOf(t, "plain.yaml", yaml), nil)
	before := p.Certificates()
	p.Swap(s)
	if p.Certificates() == before || p.Certificates() != s.certs {
		t.Error("the certificates in force are not the snapshot's")
	}
}

// Only addresses that a file names may be this machine's own.
func TestLoopbackIsForNamedAddresses(t *testing.T) {
	if c := backendConfig(&gateway.Target{Endpoints: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:8080")}}, nil, backend.HTTP1); !c.Loopback {
		t.Error("an address of an EndpointSlice may not be loopback")
	}
	if c := backendConfig(&gateway.Target{Hosts: []gateway.Host{{Names: []string{"cart"}, Port: 8080}}}, nil, backend.HTTP1); c.Loopback {
		t.Error("a name may resolve to loopback")
	}
}

// A route that did not change is not compiled again, and lets go of its backend with the last snapshot that has it.
func TestCompileTakesOverRoutesThatDidNotChange(t *testing.T) {
	g := largeGraph(5)
	p, backends := fakes(Options{})
	counts := func() (n [2]int) {
		for _, b := range backends {
			n[0] += b.acquired
			n[1] += b.released
		}
		return n
	}
	p.Swap(p.Compile(g, p.Current()))
	if n := counts(); n != [2]int{5, 0} {
		t.Fatalf("acquired and released: %d, want 5 and none", n)
	}
	edited := largeGraph(5)
	now, before := edited.Attached[edited.Sockets[0].Listeners[0]].Routes, g.Attached[g.Sockets[0].Listeners[0]].Routes
	for i := range 4 {
		now[i].Route = before[i].Route
	}
	s := p.Compile(edited, p.Current())
	if n := counts(); n != [2]int{6, 0} {
		t.Errorf("acquired and released: %d, want one more and none", n)
	}
	p.Swap(s)
	if n := counts(); n != [2]int{6, 1} {
		t.Errorf("acquired and released: %d, want the release of the route that was replaced", n)
	}
	p.Compile(largeGraph(1), p.Current()).Discard()
	p.Swap(p.Compile(edited, p.Current()))
	if n := counts(); n != [2]int{6 + 1 + 5, 1 + 1 + 5} {
		t.Errorf("acquired and released: %d; after a snapshot that was discarded nothing may be taken over", n)
	}
	p.Close()
	if n := counts(); n[0] != n[1] {
		t.Errorf("acquired and released in the end: %d", n)
	}
}

func TestARouteThatIsNewOnOneListenerHasTheRulesOfTheOther(t *testing.T) {
	g := largeGraph(3)
	g.Attached[g.Sockets[0].Listeners[0]].Routes[0].Route.Rules[0].Filters = []gatewayv1.HTTPRouteFilter{{Type: "Unknown"}}
	p, _ := fakes(Options{})
	defer p.Close()
	p.Swap(p.Compile(g, nil))
	// Another listener takes the first two routes in, while the third one is replaced.
	edited := largeGraph(3)
	was := edited.Sockets[0].Listeners[0]
	more := *was
	more.Name = "more"
	edited.Sockets[0].Listeners = append(edited.Sockets[0].Listeners, &more)
	now, before := edited.Attached[was].Routes, g.Attached[g.Sockets[0].Listeners[0]].Routes
	for i := range 2 {
		now[i].Route = before[i].Route
	}
	taken := []*gateway.Attachment{}
	for _, a := range now {
		other := *a
		other.Listener = &more
		taken = append(taken, &other)
	}
	edited.Attached[&more] = gateway.Attached{Routes: taken}
	s := p.Compile(edited, p.Current())
	defer s.Discard()
	one, two := s.sockets[0].listeners[0], s.sockets[0].listeners[1]
	for i := range now {
		if !slices.Equal(one.attached[i].rules, two.attached[i].rules) {
			t.Errorf("route %d has rules of its own on each listener", i)
		}
	}
	if told := two.attached[0].problems; len(told) != 1 || !reflect.DeepEqual(told, one.attached[0].problems) {
		t.Errorf("problems of a rule that was taken over: %v", told)
	}
	if one.attached[0] != p.Current().sockets[0].listeners[0].attached[0] || one.attached[2] == p.Current().sockets[0].listeners[0].attached[2] {
		t.Error("what changed was taken over, or what did not change was not")
	}
}
