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
