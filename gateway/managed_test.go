// Which names a listener's certificates are obtained for, before and when clients ask for them.

package gateway_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/wicketgate/wicketgate/config"
	"github.com/wicketgate/wicketgate/gateway"
	"github.com/wicketgate/wicketgate/object"
)

func TestNamesOnDemand(t *testing.T) {
	const gatewayYAML = `apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: web}
spec:
  gatewayClassName: wicketgate
  listeners:
  - {name: main, port: 443, protocol: HTTPS, hostname: HOST}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: main}
spec:
  parentRefs: [{name: web}]
  hostnames: [NAMES]
  rules: [{filters: [{type: RequestRedirect, requestRedirect: {statusCode: 301}}]}]
`
	for _, c := range []struct {
		name, host, routes string
		wildcards          bool
		managed            []string
		on, off            []string
	}{
		{name: "any host, any route", on: []string{"a.example.com", "example.org"}},
		{
			name: "any host, a route with a wildcard", routes: `"*.example.com", shop.example.org`, managed: []string{"shop.example.org"},
			on: []string{"a.example.com", "a.b.example.com"}, off: []string{"example.com", "shop.example.org", "other.example.org"},
		},
		{
			name: "a wildcard, any route", host: "*.example.com", on: []string{"a.example.com", "a.b.example.com"}, off: []string{"example.com", "a.example.org"},
		},
		{
			name: "a wildcard that can be proved", host: "*.example.com", wildcards: true, managed: []string{"*.example.com"},
			on: []string{"a.b.example.com"}, off: []string{"a.example.com"},
		},
		{name: "named routes", host: "*.example.com", routes: "a.example.com", managed: []string{"a.example.com"}, off: []string{"a.example.com", "b.example.com"}},
		{name: "a named listener", host: "a.example.com", managed: []string{"a.example.com"}, off: []string{"a.example.com", "b.example.com"}},
	} {
		yaml := strings.NewReplacer("HOST", `"`+c.host+`"`, "NAMES", c.routes).Replace(gatewayYAML)
		if c.host == "" {
			yaml = strings.Replace(yaml, `, hostname: ""`, "", 1)
		}
		objects, problems := config.Parse("in.yaml", []byte(yaml))
		if len(problems) > 0 {
			t.Fatal(problems)
		}
		set := object.NewSet(objects...)
		managed := &gateway.ManagedCertificates{Waiting: &gateway.Certificate{Placeholder: "waiting"}, Wildcards: c.wildcards}
		for _, onDemand := range []bool{false, true} {
			managed.OnDemand = onDemand
			l := gateway.Build(set, gateway.Options{Managed: managed}).Gateways[0].Listeners[0]
			if !slices.Equal(l.Managed, c.managed) {
				t.Errorf("%s: managed %v, want %v", c.name, l.Managed, c.managed)
			}
			for _, name := range c.on {
				if l.OnDemand.Covers(name) != onDemand {
					t.Errorf("%s: %s on demand %t", c.name, name, !onDemand)
				}
			}
			for _, name := range c.off {
				if l.OnDemand.Covers(name) {
					t.Errorf("%s: %s is on demand", c.name, name)
				}
			}
			// A listener that waits for nobody's certificate but those that clients will ask for is as it should be.
			if waits := len(l.Certificates) > 0; waits != (len(c.managed) > 0 || !onDemand) {
				t.Errorf("%s: a placeholder stands in: %t", c.name, waits)
			}
		}
	}
}
