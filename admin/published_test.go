// Services that describe Gateways: who has one, and what it says.

package admin

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/wicketgate/wicketgate/config"
	"github.com/wicketgate/wicketgate/gateway"
	"github.com/wicketgate/wicketgate/object"
	"github.com/wicketgate/wicketgate/reconcile"
)

// publishing serves Gateways: port 80 is bound to 8080, and port 81 cannot be bound.
func publishing(t *testing.T, yaml string) http.Handler {
	t.Helper()
	s := &source{}
	s.Loop = reconcile.New(reconcile.Options{
		Load: func(context.Context, bool) (*config.Result, error) {
			objects, problems := config.Parse("all.yaml", []byte(yaml))
			return &config.Result{Objects: object.NewSet(objects...), Problems: problems, Digest: "d", Files: 1}, nil
		},
		Build: func(_ *gateway.Graph, set *object.Set) *gateway.Graph {
			return gateway.Build(set, gateway.Options{PortMap: map[int32]uint16{80: 8080}})
		},
		Compile: func(*gateway.Graph) (func(), []object.Problem) { return func() {}, nil },
		Open: func(_ context.Context, wanted []gateway.Binding) map[gateway.Binding]error {
			failed := map[gateway.Binding]error{}
			for _, w := range wanted {
				if w.Port() == 81 {
					failed[w] = errors.New("in use")
				}
			}
			return failed
		},
		Accept: func() {},
		Retire: func([]gateway.Binding) []netip.AddrPort { return nil },
	})
	s.run(t)
	return NewHandler(Options{Source: s})
}

func gatewayNamed(name, fields, listeners string) string {
	return fmt.Sprintf(`
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: %s, namespace: infra}
spec:
  gatewayClassName: public
  %s
  listeners: [%s]
---`, name, fields, listeners)
}

func TestServicesDescribeGateways(t *testing.T) {
	const open, failing = "{name: open, port: 80, protocol: HTTP}", "{name: failing, port: 81, protocol: HTTP}"
	long := strings.Repeat("long.", 40) + "name"
	h := publishing(t, gatewayNamed("web", "infrastructure: {labels: {team: shop}, annotations: {note: x}}\n  addresses: [{value: 192.0.2.1}]",
		open+", {name: other, port: 80, protocol: HTTP, hostname: a.example}, "+failing)+
		gatewayNamed("unbound", "addresses: [{value: 192.0.2.2}]", failing)+
		gatewayNamed("taken", "addresses: [{value: 192.0.2.3}]", open)+
		gatewayNamed(long, "addresses: [{value: 192.0.2.4}]", open)+`
apiVersion: v1
kind: Service
metadata: {name: taken-public, namespace: infra}
spec: {ports: [{port: 9}]}
`)
	list := func(query string) []corev1.Service {
		t.Helper()
		return decode[corev1.ServiceList](t, ask(h, "GET", "/api/v1/namespaces/infra/services"+query)).Items
	}
	var names []string
	for _, s := range list("") {
		names = append(names, s.Name)
	}
	if want := "[" + serviceName(long+"-public") + " taken-public web-public]"; fmt.Sprint(names) != want {
		t.Errorf("Services %v, want %s", names, want)
	}
	found := list("?labelSelector=gateway.networking.k8s.io/gateway-name%3Dweb")
	if len(found) != 1 {
		t.Fatalf("%d Services of web", len(found))
	}
	web := found[0]
	if want := map[string]string{
		"team": "shop", "gateway.networking.k8s.io/gateway-name": "web", "gateway.networking.k8s.io/gateway-class-name": "public",
	}; !maps.Equal(web.Labels, want) || !maps.Equal(web.Annotations, map[string]string{"note": "x"}) {
		t.Errorf("labels %v, annotations %v", web.Labels, web.Annotations)
	}
	// The two listeners share a port; what could not be bound is not told as open.
	if len(web.Spec.Ports) != 1 || web.Spec.Ports[0].Port != 80 || web.Spec.Ports[0].TargetPort.IntValue() != 8080 || web.Spec.Type != corev1.ServiceTypeLoadBalancer {
		t.Errorf("spec %+v", web.Spec)
	}
	if ingress := web.Status.LoadBalancer.Ingress; len(ingress) != 1 || ingress[0].IP != "192.0.2.1" {
		t.Errorf("status %+v", web.Status)
	}
	if one := decode[corev1.Service](t, ask(h, "GET", "/api/v1/namespaces/infra/services/web-public")); one.Name != "web-public" || one.Labels["team"] != "shop" {
		t.Errorf("by name: %+v", one)
	}
	if written := decode[corev1.Service](t, ask(h, "GET", "/api/v1/namespaces/infra/services/taken-public")); written.Spec.Ports[0].Port != 9 {
		t.Errorf("a file's Service gave way: %+v", written.Spec)
	}
	if code := ask(h, "GET", "/api/v1/namespaces/infra/services/unbound-public").Code; code != http.StatusNotFound {
		t.Errorf("a Gateway without an open socket has a Service: %d", code)
	}
	table := decode[metav1.Table](t, ask(h, "GET", "/api/v1/namespaces/infra/services/web-public", func(r *http.Request) {
		r.Header.Set("Accept", "application/json;as=Table;v=v1;g=meta.k8s.io")
	}))
	if row := fmt.Sprint(table.Rows[0].Cells); row != "[web-public LoadBalancer <none> 192.0.2.1 80/TCP <unknown>]" {
		t.Errorf("row %s", row)
	}
}

func TestNamesThatDoNotFitStayApart(t *testing.T) {
	seen := map[string]string{}
	for _, name := range []string{strings.Repeat("a", 64), strings.Repeat("a", 65), "a.b", "a-b", "a-.b"} {
		short := serviceName(name)
		if len(short) > maxName || strings.Contains(short, ".") || seen[short] != "" {
			t.Errorf("%s and %s are %q", name, seen[short], short)
		}
		seen[short] = name
	}
	if name := serviceName("web"); name != "web" {
		t.Errorf("%q", name)
	}
	if value, long := labelValue("a.b"), labelValue(strings.Repeat("a.", 40)); value != "a.b" || len(long) > maxName || strings.HasSuffix(long, ".") {
		t.Errorf("%q and %q", value, long)
	}
}
