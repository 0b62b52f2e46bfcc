// Every reference of every kind: to what there is, to what there is not, to what is not granted, and to a kind that it cannot lead to. A reference that
// does not resolve has the condition that the Gateway API names, and nothing of what it would have led to is served; what stands beside it is.

package pipeline

import (
	"slices"
	"strings"
	"testing"

	"github.com/wicketgate/wicketgate/config"
	"github.com/wicketgate/wicketgate/gateway"
	"github.com/wicketgate/wicketgate/object"
)

// surroundings is what references lead to. Objects in namespace far are granted to nobody; those in near are granted to all.
const surroundings = `apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: gw, namespace: default}
spec:
  gatewayClassName: any
  allowedListeners: {namespaces: {from: All}}
  listeners:
  - {name: http, port: 80, protocol: HTTP}
  - {name: tls, port: 443, protocol: TLS, tls: {mode: Passthrough}}
  - {name: tcp, port: 9000, protocol: TCP}
  - {name: udp, port: 9000, protocol: UDP}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: bystander, namespace: default}
spec: {parentRefs: [{name: gw}], hostnames: [bystander.example.com], rules: [{backendRefs: [{name: beside, port: 80}]}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: secured, namespace: default}
spec: {parentRefs: [{name: gw}], hostnames: [secured.example.com], rules: [{backendRefs: [{name: secured, port: 80}]}]}
---
apiVersion: v1
kind: Service
metadata: {name: secured, namespace: default}
spec: {ports: [{port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: beside, namespace: default}
spec: {ports: [{port: 80}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: beside, namespace: default, labels: {kubernetes.io/service-name: beside}}
addressType: IPv4
ports: [{port: 8080}]
endpoints: [{addresses: [10.1.1.1]}]
`

// targets is in each of the namespaces default, near and far.
const targets = `apiVersion: v1
kind: Service
metadata: {name: there, namespace: NS}
spec: {ports: [{name: tcp, port: 80}, {name: udp, port: 80, protocol: UDP}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: there, namespace: NS, labels: {kubernetes.io/service-name: there}}
addressType: IPv4
ports: [{name: tcp, port: 8080}, {name: udp, port: 8080, protocol: UDP}]
endpoints: [{addresses: [10.9.9.9]}]
---
apiVersion: v1
kind: Secret
metadata: {name: there, namespace: NS}
type: kubernetes.io/tls
data: {tls.crt: @crt@, tls.key: @key@, ca.crt: @crt@}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: there, namespace: NS}
data: {ca.crt: @pem@}
---
apiVersion: gateway.envoyproxy.io/v1alpha1
kind: Backend
metadata: {name: there, namespace: NS}
spec: {endpoints: [{ip: {address: 10.8.8.8, port: 80}}]}
---
apiVersion: gateway.networking.x-k8s.io/v1alpha1
kind: XBackend
metadata: {name: there, namespace: NS}
spec: {type: ExternalHostname, port: {number: 80}, externalHostname: {hostname: there.example.org}}
`

const grants = `apiVersion: gateway.networking.k8s.io/v1
kind: ReferenceGrant
metadata: {name: all, namespace: near}
spec:
  from:
  - {group: gateway.networking.k8s.io, kind: Gateway, namespace: default}
  - {group: gateway.networking.k8s.io, kind: ListenerSet, namespace: default}
  - {group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: default}
  - {group: gateway.networking.k8s.io, kind: GRPCRoute, namespace: default}
  - {group: gateway.networking.k8s.io, kind: TLSRoute, namespace: default}
  - {group: gateway.networking.k8s.io, kind: TCPRoute, namespace: default}
  - {group: gateway.networking.k8s.io, kind: UDPRoute, namespace: default}
  - {group: gateway.networking.x-k8s.io, kind: XBackend, namespace: default}
  - {group: gateway.envoyproxy.io, kind: Backend, namespace: default}
  to:
  - {group: "", kind: Service}
  - {group: "", kind: Secret}
  - {group: "", kind: ConfigMap}
  - {group: gateway.envoyproxy.io, kind: Backend}
  - {group: gateway.networking.x-k8s.io, kind: XBackend}
`

// referrer is an object with one reference, written REF.
type referrer struct {
	name string
	kind string // of the object, which is called subject, with its group and version unless they are the Gateway API's
	spec string
	good []string // references that resolve
	// bad are references that do not: what is wrong, the reference, and the condition.
	bad []badReference
}

// spared says whether the rest of the object is served without what the reference leads to.
func (r *referrer) spared() bool {
	return strings.HasPrefix(r.name, "a mirror") || r.name == "a target"
}

type badReference struct{ what, ref, condition string }

// routeTo are the bad references of a route to a backend.
func routeTo() []badReference {
	return []badReference{
		{"missing", "{name: absent, port: 80}", "ResolvedRefs=False BackendNotFound"},
		{"missing port", "{name: there, port: 81}", "ResolvedRefs=False BackendNotFound"},
		{"forbidden", "{name: there, namespace: far, port: 80}", "ResolvedRefs=False RefNotPermitted"},
		{"forbidden and missing", "{name: absent, namespace: far, port: 80}", "ResolvedRefs=False RefNotPermitted"},
		{"of a wrong kind", "{kind: ConfigMap, name: there, port: 80}", "ResolvedRefs=False InvalidKind"},
		{"of a wrong group", "{group: example.com, kind: Service, name: there, port: 80}", "ResolvedRefs=False InvalidKind"},
	}
}

func secretFor(reason string) []badReference {
	return []badReference{
		{"missing", "{name: absent}", "ResolvedRefs=False " + reason},
		{"forbidden", "{name: there, namespace: far}", "ResolvedRefs=False RefNotPermitted"},
		{"forbidden and missing", "{name: absent, namespace: far}", "ResolvedRefs=False RefNotPermitted"},
		{"of a wrong kind", "{kind: ConfigMap, name: there}", "ResolvedRefs=False " + reason},
		{"of a wrong group", "{group: example.com, kind: Secret, name: there}", "ResolvedRefs=False " + reason},
	}
}

func referrers() []referrer {
	services := []string{"{name: there, port: 80}", "{name: there, namespace: near, port: 80}"}
	secrets := []string{"{name: there}", "{name: there, namespace: near}"}
	http := "{parentRefs: [{name: gw, sectionName: http}], rules: [{RULE}]}"
	rule := func(text string) string { return strings.Replace(http, "RULE", text, 1) }
	const beside = "backendRefs: [{name: beside, port: 80}]"
	list := []referrer{
		{"a backendRef", "HTTPRoute", rule("backendRefs: [REF]"), services, routeTo()},
		{"a mirror", "HTTPRoute", rule("filters: [{type: RequestMirror, requestMirror: {backendRef: REF}}], " + beside), services, routeTo()},
		{
			"a mirror of a backendRef", "HTTPRoute",
			rule("backendRefs: [{name: beside, port: 80, filters: [{type: RequestMirror, requestMirror: {backendRef: REF}}]}]"), services, routeTo(),
		},
		{
			"an extension", "HTTPRoute", rule("filters: [{type: ExtensionRef, extensionRef: REF}], backendRefs: [{name: there, port: 80}]"), nil,
			[]badReference{{"of any kind", "{group: example.com, kind: Filter, name: f}", "Accepted=False UnsupportedValue"}},
		},
		{"a backendRef", "GRPCRoute", rule("backendRefs: [REF]"), services, routeTo()},
		{"a mirror", "GRPCRoute", rule("filters: [{type: RequestMirror, requestMirror: {backendRef: REF}}], " + beside), services, routeTo()},
		{"a backendRef", "TLSRoute", "{parentRefs: [{name: gw, sectionName: tls}], hostnames: [a.example.com], rules: [{backendRefs: [REF]}]}", services, routeTo()},
		{"a backendRef", "TCPRoute", "{parentRefs: [{name: gw, sectionName: tcp}], rules: [{backendRefs: [REF]}]}", services, routeTo()},
		{"a backendRef", "UDPRoute", "{parentRefs: [{name: gw, sectionName: udp}], rules: [{backendRefs: [REF]}]}", services, routeTo()},
		{
			"a certificate", "Gateway",
			"{gatewayClassName: any, listeners: [{name: s, port: 444, protocol: HTTPS, tls: {certificateRefs: [REF]}}]}", secrets, secretFor("InvalidCertificateRef"),
		},
		{
			"a certificate", "ListenerSet",
			"{parentRef: {name: gw}, listeners: [{name: s, port: 444, protocol: HTTPS, tls: {certificateRefs: [REF]}}]}", secrets, secretFor("InvalidCertificateRef"),
		},
		{
			"a client certificate for backends", "Gateway",
			"{gatewayClassName: any, tls: {backend: {clientCertificateRef: REF}}, listeners: [{name: s, port: 81, protocol: HTTP}]}", secrets,
			secretFor("InvalidClientCertificateRef"),
		},
		{
			"authorities of clients", "Gateway",
			"{gatewayClassName: any, tls: {frontend: {default: {validation: {caCertificateRefs: [REF]}}}}, listeners: [{name: s, port: 444, protocol: HTTPS, tls: {certificateRefs: [{name: there}]}}]}",
			[]string{`{group: "", kind: ConfigMap, name: there}`, `{group: "", kind: Secret, name: there, namespace: near}`},
			[]badReference{
				{"missing", `{group: "", kind: ConfigMap, name: absent}`, "ResolvedRefs=False InvalidCACertificateRef"},
				{"forbidden", `{group: "", kind: ConfigMap, name: there, namespace: far}`, "ResolvedRefs=False RefNotPermitted"},
				{"of a wrong kind", `{group: "", kind: Service, name: there}`, "ResolvedRefs=False InvalidCACertificateKind"},
			},
		},
		{
			"a parent", "ListenerSet", "{parentRef: REF, listeners: [{name: s, port: 82, protocol: HTTP}]}",
			[]string{"{name: gw}"},
			[]badReference{{"missing", "{name: absent}", ""}, {"of a wrong kind", "{group: \"\", kind: Service, name: there}", ""}},
		},
		{
			"authorities", "BackendTLSPolicy", `{targetRefs: [{group: "", kind: Service, name: secured}], validation: {hostname: b.example, caCertificateRefs: [REF]}}`,
			[]string{`{group: "", kind: ConfigMap, name: there}`, `{group: "", kind: Secret, name: there}`},
			[]badReference{
				{"missing", `{group: "", kind: ConfigMap, name: absent}`, "ResolvedRefs=False InvalidCACertificateRef"},
				{"of a wrong kind", `{group: "", kind: Service, name: there}`, "ResolvedRefs=False InvalidKind"},
			},
		},
	}
	return slices.Concat(list, elsewhere(rule, beside), parents())
}

// parents are the references of routes to Gateways.
func parents() (list []referrer) {
	for _, kind := range []string{"HTTPRoute", "GRPCRoute", "TLSRoute", "TCPRoute", "UDPRoute"} {
		hosts := ""
		section := map[string]string{"TLSRoute": "tls", "TCPRoute": "tcp", "UDPRoute": "udp"}[kind]
		if section == "tls" {
			hosts = "hostnames: [a.example.com], "
		}
		good := "{name: gw, sectionName: http}"
		if section != "" {
			good = "{name: gw, sectionName: " + section + "}"
		}
		list = append(list, referrer{
			"a parent", kind, "{parentRefs: [REF], " + hosts + "rules: [{backendRefs: [{name: there, port: 80}]}]}",
			[]string{good},
			[]badReference{
				{"missing", "{name: absent}", ""},
				{"of another namespace, and missing", "{name: gw, namespace: far}", ""},
				{"of a listener that there is not", "{name: gw, sectionName: absent}", "Accepted=False NoMatchingParent"},
				{"of a port that there is not", "{name: gw, port: 1}", "Accepted=False NoMatchingParent"},
				{"of a listener for other kinds", "{name: gw, sectionName: " + map[bool]string{true: "http", false: "tcp"}[kind == "TCPRoute"] + "}", "Accepted=False NotAllowedByListeners"},
				{"of a wrong kind", `{group: "", kind: Service, name: there}`, ""},
				{"of a wrong group", "{group: example.com, kind: Gateway, name: gw}", ""},
			},
		})
	}
	return list
}

func TestReferences(t *testing.T) {
	text := surroundings + "---\n" + grants
	for _, namespace := range []string{"default", "near", "far"} {
		text += "---\n" + strings.ReplaceAll(targets, "NS", namespace)
	}
	base := parsed(t, filled(text))
	for _, r := range referrers() {
		apiVersion, kind, ok := strings.Cut(r.kind, " ")
		if !ok {
			apiVersion, kind = "gateway.networking.k8s.io/v1", r.kind
		}
		group, _, _ := strings.Cut(apiVersion, "/")
		key := object.Key{Group: group, Kind: kind, Namespace: "default", Name: "subject"}
		// come gives what comes of a reference, and the conditions of the subject.
		come := func(ref string) (out outcome, conditions string) {
			subject := parsed(t, "apiVersion: "+apiVersion+"\nkind: "+kind+"\nmetadata: {name: subject, namespace: default}\nspec: "+
				strings.ReplaceAll(r.spec, "REF", ref)+"\n")
			if strings.HasSuffix(kind, "Backend") {
				subject = append(subject, parsed(t, strings.NewReplacer("GROUP", group, "KIND", kind).Replace(leads))...)
			}
			s := newStand(t, gateway.Options{})
			out = s.outcome(t, object.NewSet(slices.Concat(base, subject)...), nil)
			return out, flatConditions(s.statuses.Get(key))
		}
		for _, ref := range r.good {
			if out, conditions := come(ref); strings.Contains(strings.ReplaceAll(conditions, "Conflicted=False", ""), "=False") || !served(out) {
				t.Errorf("%s of %s, %s: %s\n%s", r.name, r.kind, ref, conditions, out.problems)
			}
		}
		for _, b := range r.bad {
			out, conditions := come(b.ref)
			for _, wrong := range b.complaints(out, conditions, r.spared()) {
				t.Errorf("%s of %s, which is %s (%s): %s", r.name, r.kind, b.what, b.ref, wrong)
			}
		}
	}
}

// complaints says what is wrong with what came of a reference that does not resolve.
func (b badReference) complaints(out outcome, conditions string, spared bool) (list []string) {
	if b.condition != "" && !strings.Contains(conditions, b.condition) {
		list = append(list, "conditions "+conditions+"want "+b.condition)
	}
	if b.condition == "" && strings.Contains(conditions, "Accepted=True") {
		list = append(list, "it is accepted: "+conditions)
	}
	if !strings.Contains(out.problems, "subject") {
		list = append(list, "nobody says so")
	}
	if strings.Contains(out.routes, "/there:80") {
		list = append(list, "what the object leads to is served")
	}
	if line := servedOf(out); line != "" && !spared {
		list = append(list, "it is served: "+line)
	}
	if !served(out) {
		list = append(list, "the route beside it is not served")
	}
	return list
}

// parsed admits YAML that has nothing wrong in it.
func parsed(t *testing.T, text string) []*object.Object {
	t.Helper()
	objects, problems := config.Parse("in.yaml", []byte(text))
	for _, p := range problems {
		if p.Severity == object.Error {
			t.Fatalf("%s\n%s", p, text)
		}
	}
	return objects
}

// servedOf finds a line that says that requests of the subject, or those that lead to it, get to a backend.
func servedOf(out outcome) string {
	for line := range strings.Lines(out.routes) {
		refused := strings.Contains(line, ": 500 (") || strings.Contains(line, ": refused (") || strings.Contains(line, ": UNAVAILABLE (")
		if !refused && (strings.Contains(line, "default/subject rule") || strings.Contains(line, "default/leads rule")) {
			return strings.TrimSpace(line)
		}
	}
	return ""
}

// served says whether the route that stands beside the references is served.
func served(out outcome) bool {
	return strings.Contains(out.routes, "HTTPRoute default/bystander rule 0: Service default/beside:80")
}

// flatConditions lists the conditions anywhere in a status as TYPE=STATUS REASON.
func flatConditions(v any) string {
	var b strings.Builder
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			if kind, ok := v["type"].(string); ok && v["reason"] != nil {
				b.WriteString(kind + "=" + v["status"].(string) + " " + v["reason"].(string) + "; ")
			}
			for _, x := range v {
				walk(x)
			}
		case []any:
			for _, x := range v {
				walk(x)
			}
		}
	}
	walk(v)
	return b.String()
}
