// The text of a snapshot.

package proxy

import (
	"strings"
	"testing"
)

func TestPrint(t *testing.T) {
	yaml := plainYAML + `
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: other, namespace: default}
spec:
  parentRefs: [{name: public}]
  rules:
  - matches: [{path: {type: Exact, value: /old}, method: GET}]
    filters: [{type: RequestRedirect, requestRedirect: {scheme: https, statusCode: 301}}]
  - backendRefs: [{name: v1, port: 8080, weight: 9}, {name: gone, port: 8080, weight: 1}, {name: v1, port: 8080, weight: 0}]
`
	p, _ := fakes(Options{})
	defer p.Close()
	var got strings.Builder
	if err := p.Compile(graphOf(t, "plain.yaml", yaml), nil).Print(&got); err != nil {
		t.Fatal(err)
	}
	want := `socket [::]:80
  listener default/public http: HTTP port 80, any host
    shop.example.com
      PathPrefix        /admin, header x-role = "admin" -> HTTPRoute default/shop rule 1 (plain.yaml:30:5): Service default/v1:8080
      PathPrefix        /cart -> HTTPRoute default/shop rule 0 (plain.yaml:28:5): Service default/v1:8080
    any host
      Exact             /old, GET -> HTTPRoute default/other rule 0 (plain.yaml:41:5): redirect 301
      PathPrefix        / -> HTTPRoute default/other rule 1 (plain.yaml:43:5): Service default/v1:8080 weight 9, 500 (Service default/gone is not defined) weight 1
`
	if g := got.String(); g != want {
		t.Errorf("got\n%s\nwant\n%s", g, want)
	}
}

// The listeners of a ListenerSet are told apart from the Gateway's own of the same name, in print and in labels.
func TestListenerSetsAreNamed(t *testing.T) {
	p, _ := fakes(Options{})
	defer p.Close()
	snapshot := p.Compile(graphOf(t, "plain.yaml", `
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: public, namespace: default}
spec:
  gatewayClassName: any
  allowedListeners: {namespaces: {from: Same}}
  listeners: [{name: http, port: 80, protocol: HTTP, hostname: a.example}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: ListenerSet
metadata: {name: more, namespace: default}
spec:
  parentRef: {name: public}
  listeners: [{name: http, port: 80, protocol: HTTP, hostname: b.example}]
`), nil)
	var got strings.Builder
	if err := snapshot.Print(&got); err != nil {
		t.Fatal(err)
	}
	want := `socket [::]:80
  listener default/public http: HTTP port 80, a.example
    no routes
  listener default/more http: HTTP port 80, b.example
    no routes
`
	if g := got.String(); g != want {
		t.Errorf("got\n%s\nwant\n%s", g, want)
	}
	for _, l := range []string{"http", "default/more/http"} {
		if p.metrics.series[labels{gateway: "default/public", listener: l}] == nil {
			t.Errorf("no series of listener %s", l)
		}
	}
}
