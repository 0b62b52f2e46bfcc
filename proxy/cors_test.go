// What tables cannot say of CORS: lists that depend on the response, and memory.

package proxy

import (
	"testing"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/wicketgate/wicketgate/message"
)

func corsCall(t testing.TB, f gatewayv1.HTTPCORSFilter, request ...string) (*call, bool) {
	t.Helper()
	p, err := compileCORS(&f)
	if err != nil {
		t.Fatal(err)
	}
	c := &call{req: &message.Head{Method: []byte("GET")}}
	for i := 0; i < len(request); i += 2 {
		c.req.Fields.Add([]byte(request[i]), []byte(request[i+1]))
	}
	return c, c.crossOrigin(p)
}

func TestCORSExposesTheResponsesOwnFields(t *testing.T) {
	yes := true
	c, preflight := corsCall(t, gatewayv1.HTTPCORSFilter{
		AllowOrigins: []gatewayv1.CORSOrigin{"*"}, ExposeHeaders: []gatewayv1.HTTPHeaderName{"X-A", "*"}, AllowCredentials: &yes,
	}, "Origin", "https://a.example", "Access-Control-Request-Method", "GET")
	if preflight {
		t.Error("GET is taken for a preflight request")
	}
	var h message.Head
	for _, name := range []string{"Content-Type", "X-Total", "Set-Cookie", "Access-Control-Max-Age"} {
		h.Fields.Add([]byte(name), []byte("1"))
	}
	c.permit(&h)
	if got, want := string(h.Fields.Get("access-control-expose-headers")), "Content-Type, X-Total, Vary"; got != want {
		t.Errorf("exposed %q, want %q", got, want)
	}
	if h.Fields.Has("access-control-max-age") {
		t.Error("the backend's Access-Control-Max-Age is still there")
	}
}

func TestCORSRefusesWhatIsNoOrigin(t *testing.T) {
	if _, err := compileCORS(&gatewayv1.HTTPCORSFilter{AllowOrigins: []gatewayv1.CORSOrigin{"shop.example.com"}}); err == nil {
		t.Error("an origin without a scheme compiled")
	}
}

func TestCORSAllocatesNothing(t *testing.T) {
	c, _ := corsCall(t, gatewayv1.HTTPCORSFilter{
		AllowOrigins: []gatewayv1.CORSOrigin{"https://b.example:8443", "https://*.a.example:8443"}, ExposeHeaders: []gatewayv1.HTTPHeaderName{"X-A"},
	}, "Origin", "https://www.a.example:8443")
	var h message.Head
	run := func() {
		h.Fields.Reset()
		h.Fields.Add(nameContentType, plainText)
		c.crossOrigin(c.cors)
		c.permit(&h)
	}
	if allocs := testing.AllocsPerRun(100, run); allocs != 0 {
		t.Errorf("%v allocations a response, want 0", allocs)
	}
	if c.allowed == nil {
		t.Error("the origin is not allowed")
	}
}
