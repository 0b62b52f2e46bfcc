// Objects that protect something, refused by admission: without an earlier version nothing goes the way that they were to guard, and with one that
// goes on guarding it.

package pipeline

import (
	"strings"
	"testing"

	"github.com/wicketgate/wicketgate/gateway"
)

// guard is an object that protects something.
type guard struct {
	name string
	opts gateway.Options
	// rest are the other objects, and object is the guard. Each of broken is a text in it and what stands there instead when admission refuses it.
	rest, object string
	broken       [][2]string
	// guarded is what the snapshot prints with the guard, and open what it must not print without.
	guarded, open string
}

const guardedGateway = `apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: gw}
spec: {gatewayClassName: any, listeners: [{name: http, port: 80, protocol: HTTP}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: subject}
spec: {parentRefs: [{name: gw}], rules: [{backendRefs: [{name: guarded, port: 443}]}]}
`

const guardedService = `---
apiVersion: v1
kind: Service
metadata: {name: guarded}
spec: {ports: [{name: https, port: 443}]}
`

const guardingPolicy = `apiVersion: gateway.networking.k8s.io/v1
kind: BackendTLSPolicy
metadata: {name: policy}
spec:
  targetRefs: [{group: "", kind: Service, name: guarded}]
  validation: {hostname: a.example.com, wellKnownCACertificates: System}
`

const guardingBackend = `apiVersion: gateway.envoyproxy.io/v1alpha1
kind: Backend
metadata: {name: guarded}
spec:
  endpoints: [{ip: {address: 10.1.1.1, port: 443}}]
  tls: {sni: a.example.com, wellKnownCACertificates: System, minVersion: "1.3"}
`

const guardingXBackend = `apiVersion: gateway.networking.x-k8s.io/v1alpha1
kind: XBackend
metadata: {name: guarded}
spec:
  type: ExternalHostname
  externalHostname: {hostname: a.example.com}
  port: {number: 443}
  tls: {mode: ServerOnly, validation: {hostname: a.example.com, wellKnownCACertificates: System}}
`

// securedGateway demands certificates of its clients and presents one to its backends.
const securedGateway = `apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: gw}
spec:
  gatewayClassName: any
  listeners: [{name: https, port: 443, protocol: HTTPS, tls: {certificateRefs: [{name: server}]}}]
  tls:
    frontend: {default: {validation: {caCertificateRefs: [{group: "", kind: ConfigMap, name: clients}]}}}
    backend: {clientCertificateRef: {name: identity}}
`

const plainRoute = `---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: subject}
spec: {parentRefs: [{name: gw}], rules: [{backendRefs: [{name: plain, port: 80}]}]}
`

func secretNamed(name string) string {
	return "apiVersion: v1\nkind: Secret\nmetadata: {name: " + name + "}\ntype: kubernetes.io/tls\ndata: {tls.crt: @crt@, tls.key: @key@}\n"
}

const clientAuthorities = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: clients}\ndata: {ca.crt: @pem@}\n"

func before(text, sep string) string {
	text, _, _ = strings.Cut(text, sep)
	return text
}

func guards() []guard {
	const over = "default/subject rule 0: "
	dns := gateway.Options{DNSBackends: true}
	return []guard{
		{
			name: "BackendTLSPolicy", opts: dns, rest: guardedGateway + guardedService, object: guardingPolicy,
			broken: [][2]string{
				{"validation: {hostname", "validation: {hostnam"},
				{"hostname: a.example.com, ", ""},
				{"targetRefs: [{group: \"\", kind: Service, name: guarded}]", "targetRef: {kind: service, name: guarded}"},
				{"kind: Service, ", ""},
				{"/v1\n", "/v1alpha2\n"},
				{"kind: BackendTLSPolicy", "kind: BackendTLSPolcy"},
				{"gateway.networking.k8s.io/v1\n", "networking.k8s.io/v1\n"},
				{"{name: policy}", "{name: Policy_1}"},
				{"{name: policy}", "{}"},
				{"name: guarded}]", "name: guarded, sectionName: https}, {kind: Nothing}]"},
				{"name: guarded}]", "name: guarded, sectionName: htps}, {kind: Nothing}]"},
			},
			guarded: over + "Service default/guarded:443 over TLS", open: over + "Service",
		},
		{
			name: "BackendTLSPolicy of a Service that is not defined", opts: dns, rest: guardedGateway, object: guardingPolicy,
			broken:  [][2]string{{"validation: {hostname", "validation: {hostnam"}},
			guarded: over + "Service default/guarded:443 over TLS", open: over + "Service",
		},
		{
			name: "BackendTLSPolicy of a Backend",
			rest: strings.Replace(guardedGateway, "{name: guarded, port: 443}", "{group: gateway.envoyproxy.io, kind: Backend, name: guarded}", 1) +
				"---\n" + before(guardingBackend, "  tls:"),
			object:  strings.Replace(guardingPolicy, `group: "", kind: Service`, "group: gateway.envoyproxy.io, kind: Backend", 1),
			broken:  [][2]string{{"validation: {hostname", "validation: {hostnam"}},
			guarded: over + "Backend default/guarded over TLS", open: over + "Backend",
		},
		{
			name:    "authorities of a BackendTLSPolicy",
			rest:    guardedGateway + guardedService + "---\n" + strings.Replace(guardingPolicy, "wellKnownCACertificates: System", `caCertificateRefs: [{group: "", kind: ConfigMap, name: clients}]`, 1),
			object:  clientAuthorities,
			broken:  [][2]string{{"data: {", "dat: {"}},
			guarded: over + "Service default/guarded:443 over TLS", open: over + "Service",
		},
		{
			name: "Service", opts: dns, rest: guardedGateway,
			object:  strings.Replace(strings.TrimPrefix(guardedService, "---\n"), "port: 443", "port: 443, appProtocol: http", 1),
			broken:  [][2]string{{"port: 443", "prt: 443"}, {"appProtocol", "appProtocl"}},
			guarded: over + "Service default/guarded:443", open: over + "Service",
		},
		{
			name: "EndpointSlice", opts: dns, rest: guardedGateway + guardedService,
			object: "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: guarded, labels: {kubernetes.io/service-name: guarded}}\n" +
				"addressType: IPv4\nports: [{name: https, port: 8443}]\nendpoints: [{addresses: [10.1.1.1]}]\n",
			broken: [][2]string{{"addressType: IPv4", "addressTyp: IPv4"}}, // its plan, below, has no names to look up
		},
		{
			name:   "Backend with tls",
			rest:   strings.Replace(guardedGateway, "{name: guarded, port: 443}", "{group: gateway.envoyproxy.io, kind: Backend, name: guarded}", 1),
			object: guardingBackend,
			broken: [][2]string{
				{"sni:", "sn:"},
				{`"1.3"`, `"1.4"`},
				{"wellKnownCACertificates: System", "insecureSkipVerify: true, wellKnownCACertificates: System"},
				{"a.example.com", "a_b"},
				{"  tls:", "  tsl:"},
			},
			guarded: over + "Backend default/guarded over TLS", open: over + "Backend",
		},
		{
			name:    "XBackend with tls",
			rest:    strings.Replace(guardedGateway, "{name: guarded, port: 443}", "{group: gateway.networking.x-k8s.io, kind: XBackend, name: guarded}", 1),
			object:  guardingXBackend,
			broken:  [][2]string{{"mode: ServerOnly", "mode: Sometimes"}, {"validation:", "validations:"}},
			guarded: over + "XBackend default/guarded over TLS", open: over + "XBackend",
		},
		{
			name: "Namespace",
			rest: strings.Replace(guardedGateway, "protocol: HTTP}", `protocol: HTTP, allowedRoutes: {namespaces: {from: Selector, selector: {matchExpressions: [{key: guest, operator: DoesNotExist}]}}}}`, 1) +
				"---\napiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: guest, namespace: guests}\n" +
				"spec: {parentRefs: [{name: gw, namespace: default}], rules: [{backendRefs: [{name: a, port: 80}]}]}\n",
			object: "apiVersion: v1\nkind: Namespace\nmetadata: {name: guests, labels: {guest: \"yes\"}}\n",
			broken: [][2]string{{"labels:", "lables:"}, {`"yes"`, "yes"}},
			open:   "guests/guest rule",
		},
		{
			name: "GatewayClass", opts: gateway.Options{ControllerName: "example.com/ours"}, rest: strings.Replace(guardedGateway, "any", "theirs", 1) + guardedService,
			object: "apiVersion: gateway.networking.k8s.io/v1\nkind: GatewayClass\nmetadata: {name: theirs}\nspec: {controllerName: example.com/theirs}\n",
			broken: [][2]string{{"spec: {", "spec: {x: y, "}},
			open:   "default/subject rule",
		},
		{
			name: "ReferenceGrant",
			rest: strings.Replace(guardedGateway, "name: guarded,", "name: guarded, namespace: far,", 1) + strings.Replace(guardedService, "{name: guarded}", "{name: guarded, namespace: far}", 1),
			object: "apiVersion: gateway.networking.k8s.io/v1\nkind: ReferenceGrant\nmetadata: {name: grant, namespace: far}\n" +
				"spec: {from: [{group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: default}], to: [{group: \"\", kind: Service}]}\n",
			broken:  [][2]string{{"to: [", "too: ["}},
			guarded: over + "Service far/guarded:443", open: over + "Service",
		},
		{
			name: "Gateway that demands certificates", opts: dns, rest: secretNamed("server") + "---\n" + secretNamed("identity") + "---\n" + clientAuthorities + plainRoute,
			object: securedGateway, broken: [][2]string{{"frontend:", "fronted:"}, {"caCertificateRefs:", "caCertificates:"}},
			guarded: over + "Service default/plain:80", open: over,
		},
		{
			name: "authorities of clients", opts: dns, rest: secretNamed("server") + "---\n" + secretNamed("identity") + "---\n" + securedGateway + plainRoute,
			object: clientAuthorities, broken: [][2]string{{"data: {", "dat: {"}},
			guarded: over + "Service default/plain:80", open: over,
		},
		{
			name: "certificate for backends",
			rest: secretNamed("server") + "---\n" + clientAuthorities + "---\n" + securedGateway +
				strings.Replace(plainRoute, "name: plain, port: 80", "name: guarded, port: 443", 1) + guardedService + "---\n" + guardingPolicy,
			object: secretNamed("identity"), broken: [][2]string{{"data: {", "dat: {"}},
			guarded: over + "Service default/guarded:443 over TLS", open: over + "Service",
		},
		{
			name: "ListenerSet", rest: strings.Replace(guardedGateway, "listeners:", "allowedListeners: {namespaces: {from: Same}}, listeners:", 1),
			object: "apiVersion: gateway.networking.k8s.io/v1\nkind: ListenerSet\nmetadata: {name: more}\n" +
				"spec: {parentRef: {name: gw}, listeners: [{name: inner, port: 81, protocol: HTTP, allowedRoutes: {namespaces: {from: Same}}}]}\n",
			broken: [][2]string{{"allowedRoutes:", "allowRoutes:"}}, guarded: "default/more inner", open: "default/more inner",
		},
		{
			name: "HTTPRoute with ExternalAuth", rest: before(guardedGateway, "---") + guardedService,
			object: "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: subject}\nspec: {parentRefs: [{name: gw}], rules: [{backendRefs: [{name: guarded, port: 443}],\n" +
				"  filters: [{type: ExternalAuth, externalAuth: {protocol: HTTP, http: {}, backendRef: {name: guarded, port: 443}}}]}]}\n",
			broken:  [][2]string{{"externalAuth:", "externalAut:"}, {"protocol: HTTP,", "protocol: HTP,"}, {", http: {}", ""}, {"ExternalAuth,", "ExternalAth,"}},
			guarded: over + "Service default/guarded:443", open: over,
		},
	}
}

func TestRefusedGuardsOpenNothing(t *testing.T) {
	for _, g := range guards() {
		for _, b := range g.broken {
			t.Run(g.name+"/"+strings.TrimSpace(b[1]), func(t *testing.T) {
				t.Parallel()
				broken := strings.Replace(g.object, b[0], b[1], 1)
				if broken == g.object {
					t.Fatalf("%q is not in it", b[0])
				}
				s := newStand(t, g.opts)
				s.write(t, "rest.yaml", filled(g.rest))
				s.write(t, "guard.yaml", filled(broken))
				first := s.load(t)
				if len(s.result.Problems) == 0 {
					t.Fatal("it is admitted")
				}
				g.closed(t, "at the first start", first)
				s.write(t, "guard.yaml", filled(g.object))
				whole := s.load(t)
				if !strings.Contains(whole.routes, g.guarded) {
					t.Fatalf("mended:\n%s%s", whole.routes, whole.problems)
				}
				s.write(t, "guard.yaml", filled(broken))
				if again := s.load(t); b[1] != "{}" && again.routes != whole.routes {
					t.Errorf("broken again:\n%s\nwhole:\n%s", again.routes, whole.routes)
				}
				s.write(t, "guard.yaml", "")
				s.load(t)
				s.write(t, "guard.yaml", filled(broken))
				g.closed(t, "after it was deleted", s.load(t)) // by increments
			})
		}
	}
}

func (g *guard) closed(t *testing.T, when string, out outcome) {
	t.Helper()
	if g.open != "" && strings.Contains(out.routes, g.open) {
		t.Errorf("%s:\n%s%s", when, out.routes, out.problems)
	}
	if strings.Contains(out.plan, "guarded.default") {
		t.Errorf("%s the Service's name is looked up:\n%s", when, out.plan)
	}
}

// A team that may only write objects of its own namespace closes nothing of others.
func TestRefusedInAConfinedDirectory(t *testing.T) {
	s := newStand(t, gateway.Options{})
	s.write(t, "rest.yaml", guardedGateway+guardedService)
	s.confine(t, "team")
	s.write(t, "team/policy.yaml", strings.Replace(guardingPolicy, "{name: policy}", "{name: policy, namespace: default}", 1))
	if out := s.load(t); !strings.Contains(out.routes, "Service default/guarded:443") {
		t.Errorf("%s%s", out.routes, out.problems)
	}
}
