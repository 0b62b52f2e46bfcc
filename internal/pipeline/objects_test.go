// Random configurations: objects as teams write them, related to each other, some of them wrong.

package pipeline

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	cryptorand "crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"math/rand/v2"
	"strings"
	"sync"
	"time"
)

// document is one object: what identifies it, and its YAML.
type document struct{ id, yaml string }

// generator makes objects of few names, so that references often lead somewhere and often do not.
type generator struct{ *rand.Rand }

func (g generator) of(words ...string) string { return words[g.IntN(len(words))] }

// maybe gives the text one time in n.
func (g generator) maybe(n int, text string) string {
	if g.IntN(n) == 0 {
		return text
	}
	return ""
}

func (g generator) namespace() string { return g.of("infra", "shop", "team") }
func (g generator) host() string {
	return g.of("shop.example.com", "*.example.com", "api.example.com", "example.org", "*.shop.example.com")
}

// documents makes a configuration: every kind that is served, in random numbers.
func (g generator) documents() []document {
	seen := map[string]bool{}
	var all []document
	add := func(group, kind, namespace, name, rest string) {
		if id := kind + " " + namespace + "/" + name; !seen[id] {
			seen[id] = true
			all = append(all, document{id, g.head(group, kind, namespace, name) + rest})
		}
	}
	for range 1 + g.IntN(2) {
		add("gateway.networking.k8s.io/v1", "GatewayClass", "", g.of("one", "two"), "spec: {controllerName: "+g.of("example.com/a", "example.com/b")+"}\n")
		add("v1", "Namespace", "", g.namespace(), "")
	}
	for range 1 + g.IntN(3) {
		add("gateway.networking.k8s.io/v1", "Gateway", g.namespace(), g.of("public", "private"), g.gateway())
	}
	for range g.IntN(3) {
		add("gateway.networking.k8s.io/v1", "ListenerSet", g.namespace(), g.of("more", "extra"),
			fmt.Sprintf("spec:\n  parentRef: {name: %s, namespace: %s}\n  listeners:\n%s", g.of("public", "private"), g.namespace(), g.listeners()))
	}
	for range 1 + g.IntN(8) {
		add("gateway.networking.k8s.io/v1", "HTTPRoute", g.namespace(), g.of("a", "b", "c", "d"), g.route())
	}
	for range g.IntN(6) {
		kind := g.of("GRPCRoute", "TLSRoute", "TCPRoute", "UDPRoute")
		add("gateway.networking.k8s.io/v1", kind, g.namespace(), g.of("a", "b"), g.otherRoute(kind))
	}
	for range g.IntN(4) {
		add("gateway.networking.k8s.io/"+g.of("v1", "v1beta1"), "ReferenceGrant", g.namespace(), g.of("grant", "other"), g.grant())
	}
	for range g.IntN(6) {
		service := g.of("web", "api", "db")
		add("v1", "Service", g.namespace(), service, g.service())
		add("discovery.k8s.io/v1", "EndpointSlice", g.namespace(), service+"-"+g.of("1", "2"), g.slice(service))
	}
	for range g.IntN(3) {
		add("gateway.envoyproxy.io/v1alpha1", "Backend", g.namespace(), g.of("outside", "legacy"), g.endpoints())
	}
	for range g.IntN(3) {
		add("gateway.networking.k8s.io/v1", "BackendTLSPolicy", g.namespace(), g.of("p", "q", "r"), g.policy())
		add("v1", "Secret", g.namespace(), g.of("cert", "other"), "type: kubernetes.io/tls\ndata: {tls.crt: "+certificate().crt+", tls.key: "+certificate().key+"}\n")
		add("v1", "ConfigMap", g.namespace(), g.of("ca", "ca2"), "binaryData: {ca.crt: "+certificate().crt+"}\n")
	}
	for range g.IntN(3) {
		add("gateway.networking.x-k8s.io/v1alpha1", "XBackendTrafficPolicy", g.namespace(), g.of("t", "u"),
			"spec: {targetRefs: [{group: \"\", kind: Service, name: "+g.of("web", "api")+"}], retryConstraint: {}}\n")
		add("gateway.networking.x-k8s.io/v1alpha1", "XTelemetryPolicy", g.namespace(), g.of("t", "u"),
			"spec: {targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: "+g.of("public", "private")+"}], tracing: {mode: Disabled}}\n")
	}
	return all
}

// head begins a document. Some objects are dated, often in the same second.
func (g generator) head(group, kind, namespace, name string) string {
	text := "apiVersion: " + group + "\nkind: " + kind + "\nmetadata:\n  name: " + name + "\n"
	if namespace != "" {
		text += "  namespace: " + namespace + "\n"
	}
	switch kind {
	case "EndpointSlice":
		text += "  labels: {kubernetes.io/service-name: " + strings.TrimRight(name, "-12") + "}\n"
	case "Namespace":
		text += g.maybe(2, "  labels: {exposed: \"yes\"}\n")
	}
	return text + g.maybe(2, fmt.Sprintf("  creationTimestamp: \"2026-0%d-01T00:00:00Z\"\n", 1+g.IntN(3)))
}

func (g generator) gateway() string {
	return fmt.Sprintf("spec:\n  gatewayClassName: %s\n%s%s%s  listeners:\n%s", g.of("one", "two", "three"),
		g.maybe(3, "  defaultScope: All\n"), g.maybe(3, "  addresses: [{value: 127.0.0."+g.of("5", "6")+"}]\n"),
		g.maybe(2, "  allowedListeners: {namespaces: {from: "+g.of("All", "Same")+"}}\n"), g.listeners())
}

// listeners gives no two of them the same hostname: an API server would not take some of those.
func (g generator) listeners() string {
	var b strings.Builder
	hosts := []string{"", "shop.example.com", "*.example.com", "api.example.com", "example.org"}
	g.Shuffle(len(hosts), func(i, j int) { hosts[i], hosts[j] = hosts[j], hosts[i] })
	for i := range 1 + g.IntN(4) {
		name := fmt.Sprintf("  - name: l%d\n", i)
		if g.IntN(3) == 0 { // no two of them the same port
			fmt.Fprintf(&b, "%s    port: 900%d\n    protocol: %s\n", name, i, g.of("TCP", "UDP"))
			continue
		}
		b.WriteString(name + "    port: " + g.of("80", "443", "8080") + "\n")
		if hosts[i] != "" {
			b.WriteString("    hostname: \"" + hosts[i] + "\"\n")
		}
		switch g.IntN(6) {
		case 0:
			fmt.Fprintf(&b, "    protocol: HTTPS\n    tls: {certificateRefs: [{name: %s%s}]}\n", g.of("cert", "other"), g.maybe(3, ", namespace: "+g.namespace()))
		case 1:
			b.WriteString("    protocol: TLS\n    tls: {mode: Passthrough}\n")
		default:
			b.WriteString("    protocol: HTTP\n")
		}
		b.WriteString(g.maybe(2, "    allowedRoutes: {namespaces: {from: "+g.of("All", "Same", "Selector, selector: {matchLabels: {exposed: \"yes\"}}")+"}}\n"))
	}
	return b.String()
}

func (g generator) route() string {
	var b strings.Builder
	b.WriteString("spec:\n" + g.maybe(4, "  useDefaultGateways: All\n"))
	fmt.Fprintf(&b, "  parentRefs: [{name: %s, namespace: %s%s}%s]\n", g.of("public", "private"), g.namespace(), g.maybe(4, ", sectionName: l0"),
		g.maybe(3, ", {kind: ListenerSet, name: more, namespace: "+g.namespace()+"}"))
	b.WriteString(g.maybe(2, "  hostnames: [\""+g.host()+"\"]\n"))
	b.WriteString("  rules:\n")
	for range 1 + g.IntN(3) {
		fmt.Fprintf(&b, "  - matches: [{path: {type: %s, value: /%s}%s}]\n", g.of("PathPrefix", "Exact"), g.of("", "a", "a/b", "cart"),
			g.of("", ", method: GET", ", headers: [{name: x-env, value: prod}]", ", queryParams: [{name: q, value: \"1\"}]"))
		switch g.IntN(5) {
		case 0:
			b.WriteString("    filters: [{type: RequestRedirect, requestRedirect: {scheme: https}}]\n")
			continue
		case 1:
			b.WriteString("    filters: [{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: x-a, value: b}]}}]\n")
		case 2:
			fmt.Fprintf(&b, "    filters: [{type: RequestMirror, requestMirror: {backendRef: {name: %s, port: 80}, percent: 50}}]\n", g.of("web", "api"))
		}
		b.WriteString(g.maybe(3, "    timeouts: {request: 2s}\n") + g.maybe(3, "    retry: {attempts: 2, codes: [503]}\n"))
		b.WriteString(g.backendRefs())
	}
	return b.String()
}

func (g generator) backendRefs() string {
	first := fmt.Sprintf("{name: %s, port: %s, weight: %d%s}", g.of("web", "api", "db"), g.of("80", "81"), g.IntN(4), g.maybe(3, ", namespace: "+g.namespace()))
	if g.IntN(4) == 0 {
		first = "{group: gateway.envoyproxy.io, kind: Backend, name: " + g.of("outside", "legacy") + "}"
	}
	return "    backendRefs: [" + first + ", {name: " + g.of("web", "api", "db") + ", port: 80}]\n"
}

// otherRoute is the spec of a route of any kind but HTTPRoute.
func (g generator) otherRoute(kind string) string {
	rules, names := 1, ""
	switch kind {
	case "GRPCRoute":
		rules, names = 1+g.IntN(3), g.maybe(2, "  hostnames: [\""+g.host()+"\"]\n")
	case "TLSRoute":
		names = "  hostnames: [\"" + g.host() + "\"]\n"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "spec:\n  parentRefs: [{name: %s, namespace: %s%s}]\n%s  rules:\n", g.of("public", "private"), g.namespace(),
		g.maybe(4, ", sectionName: "+g.of("l0", "l1")), names)
	for i := range rules {
		fmt.Fprintf(&b, "  - name: r%d\n", i)
		if kind == "GRPCRoute" {
			b.WriteString(g.maybe(2, "    matches: [{method: {service: "+g.of("a.B", "shop.Cart")+g.maybe(2, ", method: Get")+"}}]\n"))
			b.WriteString(g.maybe(3, "    filters: [{type: RequestMirror, requestMirror: {backendRef: {name: "+g.of("web", "api")+", port: 80}}}]\n"))
		}
		b.WriteString(g.backendRefs())
	}
	return b.String()
}

// endpoints is the spec of a Backend.
func (g generator) endpoints() string {
	return fmt.Sprintf("spec:\n%s  endpoints: [%s]\n", g.maybe(3, "  appProtocols: [gateway.envoyproxy.io/h2c]\n"),
		g.of("{ip: {address: 10.1.0.1, port: 80}}", "{ip: {address: 10.1.0.2, port: 81}}, {ip: {address: 10.1.0.3, port: 81}}", "{fqdn: {hostname: app.example.net, port: 443}}"))
}

func (g generator) grant() string {
	from, to := g.of("HTTPRoute", "HTTPRoute", "GRPCRoute", "TLSRoute", "TCPRoute", "UDPRoute"), "Service"
	if g.IntN(2) == 0 {
		from, to = g.of("Gateway", "ListenerSet"), "Secret"
	}
	return fmt.Sprintf("spec:\n  from: [{group: gateway.networking.k8s.io, kind: %s, namespace: %s}]\n  to: [{group: \"\", kind: %s%s}]\n",
		from, g.namespace(), to, g.maybe(3, ", name: "+g.of("web", "cert")))
}

func (g generator) service() string {
	return fmt.Sprintf("spec: {ports: [{name: http, port: 80, targetPort: %s}%s]}\n", g.of("8080", "http"), g.maybe(3, ", {name: alt, port: 81, appProtocol: "+g.of("http", "https")+"}"))
}

func (g generator) slice(service string) string {
	return fmt.Sprintf("addressType: IPv4\nports: [{name: http, port: 80%d}]\nendpoints: [{addresses: [10.0.0.%d]}, {addresses: [10.0.0.%d], conditions: {ready: %s}}]\n",
		10+g.IntN(9), len(service), 7+g.IntN(3), g.of("true", "false"))
}

func (g generator) policy() string {
	return fmt.Sprintf("spec:\n  targetRefs: [{group: \"\", kind: Service, name: %s%s}]\n  validation: {hostname: be.example, %s}\n", g.of("web", "api"),
		g.maybe(3, ", sectionName: http"), g.of("wellKnownCACertificates: System", "caCertificateRefs: [{group: \"\", kind: ConfigMap, name: ca}]"))
}

// pair is a certificate and its key, in PEM and then in base64, as Secrets have them; and the certificate in PEM alone.
type pair struct{ crt, key, pem string }

// certificate is one CA's certificate for all tests, also good for any of the hosts.
var certificate = sync.OnceValue(func() pair {
	key, err := ecdsa.GenerateKey(elliptic.P256(), cryptorand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, DNSNames: []string{"*.example.com", "example.org"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(100, 0, 0), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(cryptorand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		panic(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		panic(err)
	}
	encode := func(t string, b []byte) string {
		return base64.StdEncoding.EncodeToString(pem.EncodeToMemory(&pem.Block{Type: t, Bytes: b}))
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return pair{encode("CERTIFICATE", der), encode("PRIVATE KEY", private), string(text)}
})
