// Session persistence and retry budgets, through the program.

package cli

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
)

// sliceYAML is a Service with endpoints at some ports of loopback.
func sliceYAML(name string, ports ...int) string {
	text := fmt.Sprintf("apiVersion: v1\nkind: Service\nmetadata: {name: %s}\nspec: {ports: [{port: 80}]}\n", name)
	for i, p := range ports {
		text += fmt.Sprintf("---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: %[1]s-%[2]d, labels: {kubernetes.io/service-name: %[1]s}}\n"+
			"addressType: IPv4\nports: [{port: %[3]d}]\nendpoints: [{addresses: [127.0.0.1]}]\n", name, i, p)
	}
	return text
}

// ruleYAML is a route of a path prefix with what else the rule has.
func ruleYAML(name, rest string) string {
	return fmt.Sprintf("apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: %[1]s}\nspec:\n  parentRefs: [{name: web}]\n  rules:\n"+
		"  - matches: [{path: {value: /%[1]s}}]\n%s", name, rest)
}

// visit sends a request with a header line, and returns the body and a field of the response.
func visit(t *testing.T, url, line, field string) (body, value string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	if name, v, ok := strings.Cut(line, ": "); ok {
		req.Header.Set(name, v)
	}
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text), res.Header.Get(field)
}

func TestSessionsStay(t *testing.T) {
	port := freePort(t)
	var endpoints [3]int
	for i := range endpoints {
		endpoints[i] = newBackend(t, saying(fmt.Sprint("endpoint ", i)))
	}
	g := startGate(t, map[string]string{
		"gateway.yaml": gatewayYAML(port),
		"app.yaml":     sliceYAML("app", endpoints[:]...),
		"other.yaml":   sliceYAML("other", newBackend(t, saying("other 0")), newBackend(t, saying("other 1"))),
		"cookie.yaml":  ruleYAML("cookie", "    sessionPersistence: {type: Cookie, cookie: {name: sticky}}\n    backendRefs: [{name: app, port: 80}]\n"),
		"header.yaml":  ruleYAML("header", "    sessionPersistence: {type: Header, header: {name: X-Session}}\n    backendRefs: [{name: app, port: 80}]\n"),
		"both.yaml":    ruleYAML("both", "    sessionPersistence: {cookie: {name: both}}\n    backendRefs: [{name: app, port: 80}, {name: other, port: 80}]\n"),
		"policy.yaml":  ruleYAML("policy", "    backendRefs: [{name: other, port: 80}]\n"),
		"apart.yaml":   sliceYAML("apart", newBackend(t, saying("apart 0")), newBackend(t, saying("apart 1"))),
		"named.yaml":   ruleYAML("named", "    backendRefs: [{name: apart, port: 80}]\n"),
		"traffic.yaml": "apiVersion: gateway.networking.x-k8s.io/v1alpha1\nkind: XBackendTrafficPolicy\nmetadata: {name: sticky}\nspec:\n" +
			"  targetRefs: [{group: \"\", kind: Service, name: other}]\n  sessionPersistence: {cookie: {path: /policy}}\n",
		"header-traffic.yaml": "apiVersion: gateway.networking.x-k8s.io/v1alpha1\nkind: XBackendTrafficPolicy\nmetadata: {name: named}\nspec:\n" +
			"  targetRefs: [{group: \"\", kind: Service, name: apart}]\n  sessionPersistence: {type: Header, header: {name: X-Apart}}\n",
	}, "--state-dir", t.TempDir())
	cookie := func(set string) string {
		pair, _, _ := strings.Cut(set, ";")
		return "Cookie: a=b; " + pair
	}
	// stays asks as a client of a session, which nothing new is told.
	stays := func(url, line, field, want string) {
		t.Helper()
		for range 20 {
			if body, told := visit(t, url, line, field); body != want || told != "" {
				t.Fatalf("%s with %s: %q and %s %q, want %q", url, line, body, field, told, want)
			}
		}
	}
	url := at(port, "/cookie/x")
	first, set := visit(t, url, "", "Set-Cookie")
	if !strings.HasPrefix(set, "sticky=") || !strings.HasSuffix(set, "; Path=/; HttpOnly; SameSite=Lax") {
		t.Fatalf("Set-Cookie: %s", set)
	}
	line := cookie(set)
	stays(url, line, "Set-Cookie", first)
	// A new one for everybody else, and for those who make one up.
	seen := map[string]bool{}
	for range 12 {
		body, set := visit(t, url, "Cookie: sticky=AQAAAAAAAAABnonsense", "Set-Cookie")
		seen[body] = set != ""
	}
	if len(seen) != 3 || seen["endpoint 0"] != true {
		t.Errorf("without a session: %v", seen)
	}
	held, text := visit(t, at(port, "/header"), "", "X-Session")
	stays(at(port, "/header"), "X-Session: "+text, "X-Session", held)
	polled, set := visit(t, at(port, "/policy"), "", "Set-Cookie")
	if !strings.Contains(set, "; Path=/policy;") {
		t.Errorf("Set-Cookie: %s", set)
	}
	stays(at(port, "/policy"), cookie(set), "Set-Cookie", polled)
	held, text = visit(t, at(port, "/named"), "", "X-Apart")
	stays(at(port, "/named"), "X-Apart: "+text, "X-Apart", held)

	// Weights choose the backend; within each the endpoint stays.
	jar, homes, counts := "", map[string]map[string]bool{"endpoint": {}, "other": {}}, map[string]int{}
	for range 40 {
		body, set := visit(t, at(port, "/both"), jar, "Set-Cookie")
		if set != "" {
			jar = cookie(set)
		}
		backend, _, _ := strings.Cut(body, " ")
		homes[backend][body] = true
		counts[backend]++
	}
	if len(homes["endpoint"]) != 1 || len(homes["other"]) != 1 || counts["other"] != 20 {
		t.Errorf("%v %v", homes, counts)
	}

	// Neither a reload nor a restart ends a session; the end of its endpoint moves it.
	g.edit(map[string]string{"more.yaml": sliceYAML("more", endpoints[0])})
	stays(url, line, "Set-Cookie", first)
	g.signal(15)
	g.exit()
	g.start()
	stays(url, line, "Set-Cookie", first)
	var left []int
	for i, p := range endpoints {
		if first != fmt.Sprint("endpoint ", i) {
			left = append(left, p)
		}
	}
	g.edit(map[string]string{"app.yaml": sliceYAML("app", left...)})
	moved, set := visit(t, url, line, "Set-Cookie")
	if moved == first || set == "" {
		t.Fatalf("%q and Set-Cookie %q after the endpoint has gone", moved, set)
	}
	stays(url, cookie(set), "Set-Cookie", moved)
}

func TestRetryBudgetsAreKept(t *testing.T) {
	port := freePort(t)
	var asked atomic.Int32
	failing := newBackend(t, func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		w.WriteHeader(http.StatusInternalServerError)
	})
	startGate(t, map[string]string{
		"gateway.yaml": gatewayYAML(port),
		"app.yaml":     sliceYAML("app", failing),
		"route.yaml":   ruleYAML("app", "    retry: {codes: [500], attempts: 1, backoff: 1ms}\n    backendRefs: [{name: app, port: 80}]\n"),
		"apart.yaml":   sliceYAML("apart", newBackend(t, saying("apart 0")), newBackend(t, saying("apart 1"))),
		"named.yaml":   ruleYAML("named", "    backendRefs: [{name: apart, port: 80}]\n"),
		"traffic.yaml": "apiVersion: gateway.networking.x-k8s.io/v1alpha1\nkind: XBackendTrafficPolicy\nmetadata: {name: budget}\nspec:\n" +
			"  targetRefs: [{group: \"\", kind: Service, name: app}]\n  retryConstraint: {budget: {percent: 0, interval: 1h}, minRetryRate: {count: 3, interval: 1h}}\n",
	})
	var codes []int
	for range 5 {
		code, _ := fetch(t, client, at(port, "/app"))
		codes = append(codes, code)
	}
	if got := fmt.Sprint(codes); got != "[500 500 500 503 503]" || asked.Load() != 8 {
		t.Errorf("%s, by %d requests", got, asked.Load())
	}
}
