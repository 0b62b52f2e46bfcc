// Loopback addresses in EndpointSlices from confined directories.

package gateway

import (
	"fmt"
	"strings"
	"testing"

	"github.com/wicketgate/wicketgate/object"
)

const confinedYAML = `
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: web}
spec: {gatewayClassName: c, listeners: [{name: http, port: 80, protocol: HTTP}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: app}
spec:
  parentRefs: [{name: web}]
  rules: [{backendRefs: [{name: app, port: 80}]}]
---
apiVersion: v1
kind: Service
metadata: {name: app}
spec: {ports: [{port: 80}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: app, labels: {kubernetes.io/service-name: app}}
addressType: IPv6
ports: [{port: 8080}]
endpoints: [{addresses: ["127.0.0.1", "10.0.0.1", "::ffff:127.9.9.9", "::1"]}]
`

func TestConfinedObjectsDoNotNameLoopback(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		confined, allowed bool
		endpoints         string
		refused           int
	}{
		{false, false, "[10.0.0.1:8080 127.0.0.1:8080 127.9.9.9:8080 [::1]:8080]", 0},
		{false, true, "[10.0.0.1:8080 127.0.0.1:8080 127.9.9.9:8080 [::1]:8080]", 0},
		{true, false, "[10.0.0.1:8080]", 3},
		{true, true, "[10.0.0.1:8080 127.0.0.1:8080 127.9.9.9:8080 [::1]:8080]", 0},
	} {
		objects := parseObjects(t, confinedYAML)
		for _, o := range objects {
			o.Confined = c.confined
		}
		g := Build(object.NewSet(objects...), Options{ConfinedLoopback: c.allowed})
		if got := fmt.Sprint(g.Routes[0].Rules[0].Backends[0].Target.Endpoints); got != c.endpoints {
			t.Errorf("%+v: endpoints %s", c, got)
		}
		refused := 0
		for _, p := range g.Problems {
			if strings.Contains(p.Message, "--allow-loopback-backends") && strings.HasPrefix(p.Field, "endpoints[0].addresses[") {
				refused++
			}
		}
		if refused != c.refused {
			t.Errorf("%+v: %v", c, g.Problems)
		}
	}
}

func TestConfinedBackendsDoNotNameThisMachine(t *testing.T) {
	t.Parallel()
	for _, endpoint := range []string{
		`ip: {address: 127.0.0.1, port: 80}`, `ip: {address: "::1", port: 80}`, `ip: {address: "::ffff:127.0.0.1", port: 80}`, `unix: {path: /run/gateway/app.sock}`,
	} {
		for _, confined := range []bool{false, true} {
			for _, allowed := range []bool{false, true} {
				objects := parseObjects(t, strings.Replace(confinedYAML, "[{name: app, port: 80}]", "[{group: gateway.envoyproxy.io, kind: Backend, name: app}]", 1)+
					"---\napiVersion: gateway.envoyproxy.io/v1alpha1\nkind: Backend\nmetadata: {name: app}\nspec: {endpoints: [{"+endpoint+"}]}\n")
				for _, o := range objects {
					o.Confined = confined
				}
				g := Build(object.NewSet(objects...), Options{ConfinedLoopback: allowed, UnixDir: "/run/gateway"})
				if refused := g.Routes[0].Rules[0].Backends[0].Unusable != ""; refused != (confined && !allowed) {
					t.Errorf("%s, confined %v, allowed %v: refused %v", endpoint, confined, allowed, refused)
				}
			}
		}
	}
}
