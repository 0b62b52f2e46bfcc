// The interface over httptest: Kubernetes' shapes, reload, and who is let in.

package admin

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/wicketgate/wicketgate/config"
	"github.com/wicketgate/wicketgate/gateway"
	"github.com/wicketgate/wicketgate/internal/patient"
	"github.com/wicketgate/wicketgate/object"
	"github.com/wicketgate/wicketgate/reconcile"
)

func TestMain(m *testing.M) { patient.Main(m) }

const manifests = `
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: public}
spec: {controllerName: example.com/controller}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: web, namespace: infra, labels: {tier: edge}, creationTimestamp: "2026-01-02T03:04:05Z"}
spec:
  gatewayClassName: public
  listeners:
  - {name: http, port: 80, protocol: HTTP, allowedRoutes: {namespaces: {from: All}}}
---
apiVersion: gateway.networking.k8s.io/v1beta1
kind: HTTPRoute
metadata: {name: shop}
spec:
  parentRefs: [{name: web, namespace: infra}]
  hostnames: [shop.example.com, www.example.com]
  rules: [{backendRefs: [{name: cart, port: 80}]}]
---
apiVersion: v1
kind: Service
metadata: {name: cart}
spec: {ports: [{port: 80, targetPort: 8080}]}
---
apiVersion: v1
kind: Secret
metadata:
  name: cert
  annotations:
    kubectl.kubernetes.io/last-applied-configuration: '{"data":{"password":"aHVudGVyMg=="}}'
    team: shop
type: Opaque
data: {password: aHVudGVyMg==}
stringData: {other: hunter2}
`

// source is a Loop that has run over the manifests, or not, and can be told what to serve next.
type source struct {
	*reconcile.Loop
	yaml chan string
}

func newSource(t *testing.T, yaml string) *source {
	t.Helper()
	s := &source{yaml: make(chan string, 1)}
	s.Loop = reconcile.New(reconcile.Options{
		Load: func(ctx context.Context, _ bool) (*config.Result, error) {
			select {
			case yaml = <-s.yaml:
			default:
			}
			objects, problems := config.Parse("all.yaml", []byte(yaml))
			return &config.Result{Objects: object.NewSet(objects...), Problems: problems, Digest: fmt.Sprintf("%064x", len(yaml)), Files: 1}, ctx.Err()
		},
		Build: func(_ *gateway.Graph, set *object.Set) *gateway.Graph {
			return gateway.Build(set, gateway.Options{DNSBackends: true})
		},
		Compile: func(*gateway.Graph) (func(), []object.Problem) { return func() {}, nil },
		Open:    func(context.Context, []gateway.Binding) map[gateway.Binding]error { return nil },
		Accept:  func() {},
		Retire:  func([]gateway.Binding) []netip.AddrPort { return nil },
	})
	return s
}

// run starts the source's loop and returns when it has served.
func (s *source) run(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Loop.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	if _, err := s.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func served(t *testing.T) http.Handler {
	t.Helper()
	s := newSource(t, manifests)
	s.run(t)
	return NewHandler(Options{Source: s, Now: func() time.Time { return time.Date(2026, 1, 2, 8, 4, 5, 0, time.UTC) }})
}

// ask sends a request as the command line would and returns the answer.
func ask(h http.Handler, method, path string, change ...func(*http.Request)) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, http.NoBody)
	r.Host = "127.0.0.1:9080"
	for _, f := range change {
		f(r)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func decode[T any](t *testing.T, w *httptest.ResponseRecorder) T {
	t.Helper()
	var v T
	if w.Code != http.StatusOK {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	if err := json.Unmarshal(w.Body.Bytes(), &v); err != nil {
		t.Fatalf("%v in %s", err, w.Body)
	}
	return v
}

func TestObjectsDecodeIntoTheirTypesWithStatus(t *testing.T) {
	h := served(t)
	gw := decode[gatewayv1.Gateway](t, ask(h, "GET", "/apis/gateway.networking.k8s.io/v1/namespaces/infra/gateways/web"))
	if gw.Kind != "Gateway" || gw.APIVersion != "gateway.networking.k8s.io/v1" || gw.Name != "web" || gw.Namespace != "infra" || gw.Generation != 1 {
		t.Errorf("metadata %+v %+v", gw.TypeMeta, gw.ObjectMeta)
	}
	if len(gw.Status.Conditions) == 0 || gw.Status.Conditions[0].ObservedGeneration != gw.Generation || len(gw.Status.Listeners) != 1 {
		t.Errorf("status %+v", gw.Status)
	}
	route := decode[gatewayv1.HTTPRoute](t, ask(h, "GET", "/apis/gateway.networking.k8s.io/v1/namespaces/default/httproutes/shop/status"))
	if len(route.Status.Parents) != 1 || route.Status.Parents[0].ControllerName != "example.com/controller" || len(route.Status.Parents[0].Conditions) == 0 {
		t.Errorf("status %+v", route.Status)
	}
	if p := route.Spec.Rules[0].Matches; len(p) != 1 || *p[0].Path.Value != "/" {
		t.Errorf("the schema's defaults are missing: %+v", p)
	}
	class := decode[gatewayv1.GatewayClass](t, ask(h, "GET", "/apis/gateway.networking.k8s.io/v1/gatewayclasses/public"))
	if len(class.Status.Conditions) == 0 {
		t.Errorf("status %+v", class.Status)
	}
	service := decode[corev1.Service](t, ask(h, "GET", "/api/v1/namespaces/default/services/cart"))
	if service.Spec.Ports[0].TargetPort.IntValue() != 8080 {
		t.Errorf("service %+v", service.Spec)
	}
}

func TestListsAndSelectors(t *testing.T) {
	h := served(t)
	const base = "/apis/gateway.networking.k8s.io/v1"
	for path, want := range map[string]int{
		base + "/gateways":                                          1,
		base + "/namespaces/infra/gateways":                         1,
		base + "/namespaces/default/gateways":                       0,
		base + "/gateways?labelSelector=tier%3Dedge":                1,
		base + "/gateways?labelSelector=tier!%3Dedge":               0,
		base + "/gateways?fieldSelector=metadata.name%3Dweb":        1,
		base + "/gateways?fieldSelector=metadata.name%3Dother":      0,
		base + "/gateways?fieldSelector=metadata.namespace%3Dinfra": 1,
		base + "/gateways?limit=500&watch=false":                    1,
	} {
		list := decode[gatewayv1.GatewayList](t, ask(h, "GET", path))
		if len(list.Items) != want || list.Kind != "GatewayList" || list.ResourceVersion == "" || list.Items == nil {
			t.Errorf("%s: %d of kind %s", path, len(list.Items), list.Kind)
		}
	}
	// Every served version shows every object, whichever version its file used.
	for _, version := range []string{"v1", "v1beta1"} {
		list := decode[gatewayv1.HTTPRouteList](t, ask(h, "GET", "/apis/gateway.networking.k8s.io/"+version+"/httproutes"))
		if len(list.Items) != 1 || list.Items[0].APIVersion != "gateway.networking.k8s.io/"+version {
			t.Errorf("%s: %+v", version, list.Items)
		}
	}
}

func TestErrorsAreStatusObjects(t *testing.T) {
	h := served(t)
	const base = "/apis/gateway.networking.k8s.io/v1"
	for _, c := range []struct {
		method, path string
		code         int
		reason       metav1.StatusReason
	}{
		{"GET", base + "/namespaces/infra/gateways/other", 404, metav1.StatusReasonNotFound},
		{"GET", base + "/gateways/web", 404, metav1.StatusReasonNotFound},
		{"GET", base + "/namespaces/infra/gatewayclasses", 404, metav1.StatusReasonNotFound},
		{"GET", base + "/namespaces/infra/gateways/web/scale", 404, metav1.StatusReasonNotFound},
		{"GET", base + "/namespaces/infra/gateways/web/status/more", 404, metav1.StatusReasonNotFound},
		{"GET", base + "/ingresses", 404, metav1.StatusReasonNotFound},
		{"GET", "/apis/gateway.networking.k8s.io/v9/gateways", 404, metav1.StatusReasonNotFound},
		{"GET", "/apis/example.com", 404, metav1.StatusReasonNotFound},
		{"GET", "/apis/example.com/v1", 404, metav1.StatusReasonNotFound},
		{"GET", "/api/v2", 404, metav1.StatusReasonNotFound},
		{"GET", "/api/", 404, metav1.StatusReasonNotFound},
		{"GET", "/nonsense", 404, metav1.StatusReasonNotFound},
		{"GET", base + "/gateways?labelSelector=%3D%3D%3D", 400, metav1.StatusReasonBadRequest},
		{"GET", base + "/gateways?fieldSelector=spec.x%3Dy", 400, metav1.StatusReasonBadRequest},
		{"GET", base + "/gateways?watch=true", 405, metav1.StatusReasonMethodNotAllowed},
		{"POST", base + "/namespaces/infra/gateways", 405, metav1.StatusReasonMethodNotAllowed},
		{"PATCH", base + "/namespaces/infra/gateways/web/status", 405, metav1.StatusReasonMethodNotAllowed},
		{"DELETE", base + "/namespaces/infra/gateways/web", 405, metav1.StatusReasonMethodNotAllowed},
		{"PUT", "/reload", 405, metav1.StatusReasonMethodNotAllowed},
		{"GET", "/reload?timeout=never", 400, metav1.StatusReasonBadRequest},
	} {
		w := ask(h, c.method, c.path)
		var s metav1.Status
		if err := json.Unmarshal(w.Body.Bytes(), &s); err != nil {
			t.Errorf("%s %s: %v", c.method, c.path, err)
		}
		if w.Code != c.code || s.Kind != "Status" || s.Status != "Failure" || int(s.Code) != c.code || s.Reason != c.reason || s.Message == "" {
			t.Errorf("%s %s: %d %+v", c.method, c.path, w.Code, s)
		}
	}
}

func TestSecretsAreShownWithoutWhatTheyHold(t *testing.T) {
	h := served(t)
	table := func(r *http.Request) { r.Header.Set("Accept", "application/json;as=Table;v=v1;g=meta.k8s.io") }
	for _, path := range []string{"/api/v1/secrets", "/api/v1/namespaces/default/secrets/cert"} {
		for _, w := range []*httptest.ResponseRecorder{ask(h, "GET", path), ask(h, "GET", path, table)} {
			if body := w.Body.String(); w.Code != http.StatusOK || !strings.Contains(body, "cert") || !strings.Contains(body, "Opaque") {
				t.Errorf("%s: %d %s", path, w.Code, body)
			} else if strings.Contains(body, "hunter2") || strings.Contains(body, "aHVudGVy") {
				t.Errorf("%s shows the secret: %s", path, body)
			}
		}
	}
	secret := decode[corev1.Secret](t, ask(h, "GET", "/api/v1/namespaces/default/secrets/cert"))
	if secret.Annotations["team"] != "shop" {
		t.Errorf("other annotations are lost: %v", secret.Annotations)
	}
	objects, _ := config.Parse("x", []byte(manifests))
	for _, o := range objects {
		if o.Kind == "Secret" && o.Content["data"] == nil {
			t.Error("rendering changed the object itself")
		}
	}
}

func TestDiscovery(t *testing.T) {
	h := served(t)
	if v := decode[metav1.APIVersions](t, ask(h, "GET", "/api")); len(v.Versions) != 1 || v.Versions[0] != "v1" {
		t.Errorf("/api: %+v", v)
	}
	groups := decode[metav1.APIGroupList](t, ask(h, "GET", "/apis"))
	names := map[string]string{}
	for _, g := range groups.Groups {
		names[g.Name] = g.PreferredVersion.GroupVersion
	}
	if names["gateway.networking.k8s.io"] != "gateway.networking.k8s.io/v1" || names["discovery.k8s.io"] != "discovery.k8s.io/v1" || len(names) != len(groups.Groups) {
		t.Errorf("/apis: %v", names)
	}
	if g := decode[metav1.APIGroup](t, ask(h, "GET", "/apis/gateway.networking.k8s.io")); len(g.Versions) < 2 || g.Kind != "APIGroup" {
		t.Errorf("group: %+v", g)
	}
	for path, want := range map[string]metav1.APIResource{
		"/api/v1":                                 {Name: "services", SingularName: "service", Namespaced: true, Kind: "Service", ShortNames: []string{"svc"}},
		"/apis/gateway.networking.k8s.io/v1":      {Name: "gateways", SingularName: "gateway", Namespaced: true, Kind: "Gateway", ShortNames: []string{"gtw"}},
		"/apis/gateway.networking.k8s.io/v1beta1": {Name: "gatewayclasses", SingularName: "gatewayclass", Kind: "GatewayClass", ShortNames: []string{"gc"}},
	} {
		list := decode[metav1.APIResourceList](t, ask(h, "GET", path))
		found := false
		for _, r := range list.APIResources {
			found = found || r.Name == want.Name && r.Kind == want.Kind && r.Namespaced == want.Namespaced &&
				r.SingularName == want.SingularName && fmt.Sprint(r.ShortNames) == fmt.Sprint(want.ShortNames)
		}
		if !found || list.GroupVersion != strings.TrimPrefix(strings.TrimPrefix(path, "/apis/"), "/api/") {
			t.Errorf("%s: no %+v in %+v", path, want, list)
		}
	}
}

func TestTables(t *testing.T) {
	h := served(t)
	table := func(r *http.Request) {
		r.Header.Set("Accept", "application/json;as=Table;v=v1;g=meta.k8s.io,application/json")
	}
	got := decode[metav1.Table](t, ask(h, "GET", "/apis/gateway.networking.k8s.io/v1/gateways", table))
	var head []string
	for _, c := range got.ColumnDefinitions {
		head = append(head, c.Name)
	}
	if got.Kind != "Table" || got.APIVersion != "meta.k8s.io/v1" || fmt.Sprint(head) != "[Name Class Address Programmed Age]" {
		t.Errorf("%+v %v", got.TypeMeta, head)
	}
	if row := fmt.Sprint(got.Rows[0].Cells); row != "[web public 0.0.0.0 True 5h]" {
		t.Errorf("row %s", row)
	}
	var meta metav1.PartialObjectMetadata
	if err := json.Unmarshal(got.Rows[0].Object.Raw, &meta); err != nil || meta.Namespace != "infra" || meta.Kind != "PartialObjectMetadata" {
		t.Errorf("object %s %v", got.Rows[0].Object.Raw, err)
	}
	for path, want := range map[string]string{
		"/apis/gateway.networking.k8s.io/v1/httproutes":     `[shop ["shop.example.com","www.example.com"] <unknown>]`,
		"/apis/gateway.networking.k8s.io/v1/gatewayclasses": "[public example.com/controller True <unknown> <nil>]",
		"/api/v1/services": "[cart ClusterIP <none> <none> 80/TCP <unknown>]",
		"/api/v1/secrets":  "[cert Opaque <unknown>]",
	} {
		if row := fmt.Sprint(decode[metav1.Table](t, ask(h, "GET", path, table)).Rows[0].Cells); row != want {
			t.Errorf("%s: %s, want %s", path, row, want)
		}
	}
}

func TestReadiness(t *testing.T) {
	s := newSource(t, manifests)
	stopping := false
	h := NewHandler(Options{Source: s, Stopping: func() bool { return stopping }})
	step := func(name string, ready int) {
		t.Helper()
		if w := ask(h, "GET", "/healthz"); w.Code != http.StatusOK {
			t.Errorf("%s: /healthz %d", name, w.Code)
		}
		if w := ask(h, "GET", "/readyz"); w.Code != ready {
			t.Errorf("%s: /readyz %d %s", name, w.Code, w.Body)
		}
	}
	step("before the first run", http.StatusServiceUnavailable)
	for _, path := range []string{"/reload", "/api/v1/services"} {
		if w := ask(h, "GET", path); w.Code != http.StatusServiceUnavailable {
			t.Errorf("%s before the first run: %d", path, w.Code)
		}
	}
	s.run(t)
	step("serving", http.StatusOK)
	stopping = true
	step("stopping", http.StatusServiceUnavailable)
}

func TestReload(t *testing.T) {
	s := newSource(t, manifests)
	s.run(t)
	h := NewHandler(Options{Source: s})
	before := decode[Reload](t, ask(h, "GET", "/reload"))
	if before.Files != 1 || before.Objects != 5 || before.Errors != 0 || before.Digest != fmt.Sprintf("%064x", len(manifests)) {
		t.Errorf("%+v", before)
	}
	next := manifests + "---\napiVersion: v1\nkind: Servic\nmetadata: {name: x}\n"
	digest := fmt.Sprintf("%064x", len(next))
	w := ask(h, "GET", "/reload?wait="+digest+"&timeout=10ms")
	if w.Code != http.StatusGatewayTimeout || !strings.Contains(w.Body.String(), before.Digest) {
		t.Errorf("waiting for what does not come: %d %s", w.Code, w.Body)
	}
	for _, wrong := range []string{"x", digest[1:], digest + "0", strings.ToUpper("a" + digest[1:]), "g" + digest[1:]} {
		if w := ask(h, "GET", "/reload?wait="+wrong); w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), "is not a digest") {
			t.Errorf("waiting for %q: %d %s", wrong, w.Code, w.Body)
		}
	}
	waited := make(chan *httptest.ResponseRecorder, 1)
	go func() { waited <- ask(h, "GET", "/reload?wait="+digest) }()
	s.yaml <- next
	after := decode[Reload](t, ask(h, "POST", "/reload"))
	if after.Generation <= before.Generation || after.Digest != digest || len(after.Problems) == 0 || !strings.HasPrefix(after.Problems[0], "all.yaml:") {
		t.Errorf("%+v", after)
	}
	if got := decode[Reload](t, <-waited); got.Digest != digest {
		t.Errorf("the barrier answered with %+v", got)
	}
}

func TestMetricsProfilesAndVersion(t *testing.T) {
	reg := prometheus.NewRegistry()
	g := prometheus.NewGauge(prometheus.GaugeOpts{Name: "wicketgate_test"})
	reg.MustRegister(g)
	h := NewHandler(Options{Source: newSource(t, ""), Metrics: reg, Version: Version{GitVersion: "v1.2.3"}})
	for path, want := range map[string]string{
		"/metrics": "wicketgate_test 0", "/debug/pprof/": "goroutine", "/version": `"gitVersion":"v1.2.3"`, "/": `"/apis"`,
		"/debug/pprof/goroutine?debug=1": "goroutine profile",
	} {
		if w := ask(h, "GET", path); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), want) {
			t.Errorf("%s: %d %.200s", path, w.Code, w.Body)
		}
	}
}

// TestTheVersionIsOneForKubectl: kubectl version fails on any other.
func TestTheVersionIsOneForKubectl(t *testing.T) {
	for version, want := range map[string]string{
		"v1.2.3": "v1.2.3", "v1.2.3-rc.1": "v1.2.3-rc.1", "v0.0.0-20261121193718-df6565912345+dirty": "v0.0.0-20261121193718-df6565912345+dirty",
		"df65659": "v0.0.0+df65659", "df65659-dirty": "v0.0.0+df65659-dirty", "(devel)": "v0.0.0+devel", "": "v0.0.0", "0123456": "v0.0.0+0123456",
	} {
		h := NewHandler(Options{Source: newSource(t, ""), Version: Version{GitVersion: version}})
		if got := decode[Version](t, ask(h, "GET", "/version")).GitVersion; got != want {
			t.Errorf("%q: %q, want %q", version, got, want)
		}
	}
}

// TestSchemasAreNotServed: kubectl apply and kubectl explain show what is said instead.
func TestSchemasAreNotServed(t *testing.T) {
	h := NewHandler(Options{Source: newSource(t, "")})
	for _, path := range []string{"/openapi/v2", "/openapi/v3", "/openapi/v3/apis/gateway.networking.k8s.io/v1"} {
		if w := ask(h, "GET", path); w.Code != http.StatusNotAcceptable || !strings.Contains(w.Body.String(), "put the file into a directory of --config") {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
}

func TestHostsAndOrigins(t *testing.T) {
	s := newSource(t, manifests)
	s.run(t)
	h := NewHandler(Options{Source: s, Hosts: []string{"gateway.internal"}})
	host := func(name string) func(*http.Request) { return func(r *http.Request) { r.Host = name } }
	for name, want := range map[string]int{
		"127.0.0.1:9080": 200, "localhost:9080": 200, "LOCALHOST": 200, "[::1]:9080": 200, "[::1]": 200, "192.0.2.7": 200, "gateway.internal:9080": 200,
		"Gateway.Internal": 200, "evil.example:9080": 403, "localhost.evil.example": 403, "127.0.0.1.nip.io:9080": 403, "": 403,
	} {
		if w := ask(h, "GET", "/version", host(name)); w.Code != want {
			t.Errorf("Host %q: %d, want %d", name, w.Code, want)
		}
		if w := ask(h, "GET", "/healthz", host(name)); w.Code != http.StatusOK {
			t.Errorf("Host %q: /healthz %d", name, w.Code)
		}
	}
	origin := func(r *http.Request) { r.Header.Set("Origin", "http://localhost:3000") }
	if w := ask(h, "POST", "/reload", origin); w.Code != http.StatusForbidden {
		t.Errorf("a POST from a web page: %d", w.Code)
	}
	if w := ask(h, "GET", "/reload", origin); w.Code != http.StatusOK || w.Header().Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("a GET from a web page: %d", w.Code)
	}
}

func TestToken(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	write := func(token string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(token), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("s3cret\n")
	h := NewHandler(Options{Source: newSource(t, manifests), TokenFile: file})
	bearer := func(token string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set("Authorization", token) }
	}
	check := func(token string, want int) {
		t.Helper()
		if w := ask(h, "GET", "/version", bearer(token)); w.Code != want {
			t.Errorf("%q: %d, want %d", token, w.Code, want)
		}
	}
	check("Bearer s3cret", http.StatusOK)
	check("bearer s3cret", http.StatusOK)
	check("Bearer wrong", http.StatusUnauthorized)
	check("Bearer ", http.StatusUnauthorized)
	check("Basic s3cret", http.StatusUnauthorized)
	check("", http.StatusUnauthorized)
	if w := ask(h, "GET", "/healthz"); w.Code != http.StatusOK {
		t.Errorf("/healthz asks for the token: %d", w.Code)
	}
	write("next")
	check("Bearer s3cret", http.StatusUnauthorized)
	check("Bearer next", http.StatusOK)
	write("\n")
	check("Bearer ", http.StatusUnauthorized)
}

func TestListen(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	o := Options{Source: newSource(t, manifests)}
	for name, c := range map[string]struct{ address, token, want string }{
		"an address for others needs a token": {"0.0.0.0:0", "", "--admin-token-file"},
		"the token must be there":             {"0.0.0.0:0", filepath.Join(t.TempDir(), "none"), "no such file"},
		"the token must not be empty":         {"0.0.0.0:0", empty, "empty"},
		"a name is no address":                {"localhost:9080", "", "IP:PORT"},
	} {
		o.TokenFile = c.token
		if s, err := Listen(t.Context(), c.address, o); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v %v", name, s, err)
		}
	}
	o.TokenFile = ""
	s, err := Listen(t.Context(), "127.0.0.1:0", o)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Serve() }()
	if _, err := Listen(t.Context(), s.Address().String(), o); err == nil || !strings.Contains(err.Error(), "--admin") {
		t.Errorf("an address in use: %v", err)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Get("http://" + s.Address().String() + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	if body, _ := io.ReadAll(res.Body); string(body) != "ok\n" {
		t.Errorf("/healthz: %q", body)
	}
	res.Body.Close()
	s.Close()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
