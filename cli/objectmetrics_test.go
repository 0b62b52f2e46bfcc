// The metrics of objects: what a person would alert on.

package cli

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestMetricsTellOfConditionsAndCertificates(t *testing.T) {
	backend := newBackend(t, saying("hello"))
	cert, key := certificate(t, time.Now().Add(time.Hour), "shop.example.com")
	files := map[string]string{
		"gateway.yaml": secureYAML(freePort(t), map[string]string{"shop": "shop.example.com"}), "secret.yaml": secretYAML("shop", cert, key),
		"good.yaml": routeYAML("good", "/", backend),
		"bad.yaml":  strings.Replace(routeYAML("bad", "/bad", backend), "backendRefs: [{name: bad", "backendRefs: [{namespace: elsewhere, name: bad", 1),
	}
	g := startGate(t, files)
	shows := func(want string) {
		t.Helper()
		if _, text := g.ask(http.MethodGet, "/metrics"); !strings.Contains(text, want) {
			t.Errorf("%s is missing in\n%s", want, text)
		}
	}
	shows(`wicketgate_object_conditions{kind="HTTPRoute",status="True",type="Accepted"} 2`)
	shows(`wicketgate_object_condition_unmet{kind="HTTPRoute",name="bad",namespace="default",reason="RefNotPermitted",section="web",type="ResolvedRefs"} 1`)
	shows(`wicketgate_certificate_not_after_timestamp_seconds{namespace="default",secret="shop"} `)
	g.edit(map[string]string{"bad.yaml": ""})
	if _, text := g.ask(http.MethodGet, "/metrics"); strings.Contains(text, `name="bad"`) {
		t.Error("a route that is gone is still shown")
	}
	shows(`wicketgate_object_conditions{kind="HTTPRoute",status="True",type="ResolvedRefs"} 1`)
}
