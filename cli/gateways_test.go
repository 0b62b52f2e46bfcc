// Which Gateways are served, and where: both families of addresses, wildcards beside specific addresses, other controllers' classes, shared ports.

package cli

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"syscall"
	"testing"
)

// named is a Gateway with one listener and a route of its own to a Service of its name.
func named(name, namespace, class, address, hostname string, port int) string {
	addresses, hosts := "", ""
	if address != "" {
		addresses = fmt.Sprintf("  addresses: [{value: %q}]\n", address)
	}
	if hostname != "" {
		hosts = fmt.Sprintf(", hostname: %q", hostname)
	}
	return fmt.Sprintf(`apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: %[1]s, namespace: %[2]s}
spec:
  gatewayClassName: %[3]s
%[4]s  listeners: [{name: http, port: %[5]d, protocol: HTTP%[6]s}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: %[1]s, namespace: %[2]s}
spec:
  parentRefs: [{name: %[1]s}]
  rules: [{filters: [{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: X-Gateway, value: %[1]s}]}}], backendRefs: [{name: app, port: 80}]}]
`, name, namespace, class, addresses, port, hosts)
}

// app is a Service of a namespace with one endpoint.
func app(namespace string, endpoint netip.AddrPort) string {
	family := "IPv4"
	if endpoint.Addr().Is6() {
		family = "IPv6"
	}
	return fmt.Sprintf(`apiVersion: v1
kind: Service
metadata: {name: app, namespace: %[1]s}
spec: {ports: [{port: 80}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: app, namespace: %[1]s, labels: {kubernetes.io/service-name: app}}
addressType: %[2]s
ports: [{port: %[3]d}]
endpoints: [{addresses: ["%[4]s"]}]
`, namespace, family, endpoint.Port(), endpoint.Addr())
}

// telling is a backend on an address, which answers with the Gateway that a request came by.
func telling(t *testing.T, address string) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write([]byte(r.Header.Get("X-Gateway"))) }))
	_ = s.Listener.Close()
	s.Listener = l
	s.Start()
	t.Cleanup(s.Close)
	return netip.MustParseAddrPort(l.Addr().String())
}

// askAt gives what an address answers for a host, or "closed".
func askAt(t *testing.T, address netip.AddrPort, host string) string {
	t.Helper()
	c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address.String()+"/", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	if r.Host = host; host == "" {
		r.Host = address.String()
	}
	res, err := c.Do(r)
	if err != nil {
		return "closed"
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Sprint(res.StatusCode)
	}
	b := make([]byte, 100)
	n, _ := res.Body.Read(b)
	return string(b[:n])
}

func local(address string, port int) netip.AddrPort {
	return netip.AddrPortFrom(netip.MustParseAddr(address), uint16(port))
}

// skipWithoutIPv6 leaves out a test where the system has no IPv6.
func skipWithoutIPv6(t *testing.T) {
	t.Helper()
	l, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		t.Skip("there is no IPv6: ", err)
	}
	_ = l.Close()
}

func TestAWildcardAndSpecificAddressesShareAPort(t *testing.T) {
	skipWithoutIPv6(t)
	port, backend := freePort(t), telling(t, "[::1]:0") // a backend that speaks IPv6 alone
	specific := map[string]string{
		"six.yaml":  named("six", "default", "any", "::1", "", port),
		"four.yaml": named("four", "default", "any", "127.0.0.2", "", port),
	}
	g := startGate(t, map[string]string{
		"all.yaml": named("all", "default", "any", "", "", port) + "---\n" + app("default", backend), "six.yaml": specific["six.yaml"], "four.yaml": specific["four.yaml"],
	})
	check := func(want map[string]string) {
		t.Helper()
		for address, gateway := range want {
			if got := askAt(t, local(address, port), ""); got != gateway {
				t.Errorf("%s: %s, want %s", address, got, gateway)
			}
		}
	}
	check(map[string]string{"127.0.0.1": "all", "127.0.0.2": "four", "::1": "six"})
	// Each may come and go without the others.
	g.edit(map[string]string{"six.yaml": ""})
	check(map[string]string{"127.0.0.1": "all", "127.0.0.2": "four", "::1": "all"})
	g.edit(map[string]string{"six.yaml": specific["six.yaml"], "four.yaml": ""})
	check(map[string]string{"127.0.0.1": "all", "127.0.0.2": "all", "::1": "six"})
}

func TestIPv6AlongsideIPv4(t *testing.T) {
	skipWithoutIPv6(t)
	port, backend := freePort(t), telling(t, "127.0.0.1:0")
	g := startGate(t, map[string]string{"all.yaml": named("six", "default", "any", "::1", "", port) + "---\n" + app("default", backend)})
	if got := askAt(t, local("::1", port), ""); got != "six" {
		t.Errorf("[::1]: %s", got)
	}
	if got := askAt(t, local("127.0.0.1", port), ""); got != "closed" {
		t.Errorf("127.0.0.1, which the Gateway does not name: %s", got)
	}
	if out, _, _ := g.get("gateway", "six", "-o", "jsonpath={.status.addresses[*].value}"); out != "::1" {
		t.Errorf("status.addresses: %q", out)
	}
}

const classes = `apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: ours}
spec: {controllerName: example.com/ours, parametersRef: {group: example.com, kind: Parameters, name: p}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: theirs}
spec: {controllerName: example.net/theirs}
---
`

func TestControllerNameNarrowsWhatIsServed(t *testing.T) {
	ours, theirs, backend := freePort(t), freePort(t), telling(t, "127.0.0.1:0")
	files := map[string]string{
		"class.yaml": classes + app("default", backend), "ours.yaml": named("ours", "default", "ours", "127.0.0.1", "", ours),
		"theirs.yaml": named("theirs", "default", "theirs", "127.0.0.1", "", theirs),
	}
	g := startGate(t, files)
	if a, b := askAt(t, local("127.0.0.1", ours), ""), askAt(t, local("127.0.0.1", theirs), ""); a != "ours" || b != "theirs" {
		t.Errorf("without the flag: %s and %s", a, b)
	}
	g.logs("--controller-name") // there are several controllers' classes
	g.signal(syscall.SIGTERM)
	g.exit()
	g = startGate(t, files, "--controller-name", "example.com/ours")
	if a, b := askAt(t, local("127.0.0.1", ours), ""), askAt(t, local("127.0.0.1", theirs), ""); a != "ours" || b != "closed" {
		t.Errorf("with the flag: %s and %s", a, b)
	}
	if out, _, _ := g.get("gateway", "theirs", "-o", "jsonpath={.status.conditions}"); strings.Contains(out, `"True"`) {
		t.Errorf("another controller's Gateway has the conditions %s", out)
	}
}

func TestParametersOfOtherGatewaysAreNotUsed(t *testing.T) {
	port, backend := freePort(t), telling(t, "127.0.0.1:0")
	files := map[string]string{"class.yaml": classes + app("default", backend), "ours.yaml": named("ours", "default", "ours", "127.0.0.1", "", port)}
	g := startGate(t, files)
	out, _, _ := g.get("gatewayclass", "ours", "-o", `jsonpath={.status.conditions[?(@.type=="Accepted")].status} {.status.conditions[?(@.type=="Accepted")].message}`)
	if got := askAt(t, local("127.0.0.1", port), ""); got != "ours" || !strings.HasPrefix(out, "True") || !strings.Contains(out, "parametersRef") {
		t.Errorf("%s; the class is accepted: %s", got, out)
	}
	if stdout, _, code := program(t, "check", "--strict", g.dir); code != 1 || !strings.Contains(stdout, "parametersRef") {
		t.Errorf("with --strict: exit status %d, %s", code, stdout)
	}
}

func TestMergingGatewaysAcrossNamespaces(t *testing.T) {
	port, backend := freePort(t), telling(t, "127.0.0.1:0")
	older := strings.Replace(named("wide", "one", "any", "127.0.0.1", "*.example.com", port), "name: wide, namespace: one",
		"name: wide, namespace: one, creationTimestamp: \"2026-01-01T00:00:00Z\"", 1)
	files := map[string]string{
		"one.yaml": older + "---\n" + app("one", backend),
		"two.yaml": named("inside", "two", "any", "127.0.0.1", "shop.example.com", port) + "---\n" + app("two", backend),
	}
	for _, c := range []struct {
		args []string
		want string
	}{
		{nil, "wide"}, // another namespace's Gateway takes nothing from it
		{[]string{"--merge-gateways", "all"}, "inside"},
	} {
		g := startGate(t, files, c.args...)
		if got := askAt(t, local("127.0.0.1", port), "shop.example.com"); got != c.want {
			t.Errorf("%q: shop.example.com is served by %s, want %s", c.args, got, c.want)
		}
		if got := askAt(t, local("127.0.0.1", port), "other.example.com"); got != "wide" {
			t.Errorf("%q: other.example.com is served by %s", c.args, got)
		}
		g.signal(syscall.SIGTERM)
		g.exit()
	}
}
