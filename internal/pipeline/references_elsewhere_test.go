// References to and of kinds that are not the Gateway API's own, or experimental there: TestReferences goes through them with all others.

package pipeline

import "strings"

// leads is a route to the subject, where that is a backend.
const leads = `apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: leads, namespace: default}
spec:
  parentRefs: [{name: gw}]
  hostnames: [leads.example.com]
  rules: [{backendRefs: [{group: GROUP, kind: KIND, name: subject}]}]
`

const (
	ofEnvoy = "gateway.envoyproxy.io/v1alpha1 Backend"
	ofX     = "gateway.networking.x-k8s.io/v1alpha1 "
)

// elsewhere are references to and of kinds that are not the Gateway API's own, or experimental there, and of filters that ask a service.
func elsewhere(rule func(string) string, beside string) []referrer {
	// kindTo are the references to a kind of backend whose own object says the port.
	kindTo := func(group, kind string) (good []string, bad []badReference) {
		ref := func(rest string) string { return "{group: " + group + ", kind: " + kind + ", " + rest + "}" }
		return []string{ref("name: there"), ref("name: there, namespace: near")}, []badReference{
			{"missing", ref("name: absent"), "ResolvedRefs=False BackendNotFound"},
			{"forbidden", ref("name: there, namespace: far"), "ResolvedRefs=False RefNotPermitted"},
			{"forbidden and missing", ref("name: absent, namespace: far"), "ResolvedRefs=False RefNotPermitted"},
			{"of a wrong group", "{group: example.com, kind: " + kind + ", name: there}", "ResolvedRefs=False InvalidKind"},
		}
	}
	envoyGood, envoyBad := kindTo("gateway.envoyproxy.io", "Backend")
	xGood, xBad := kindTo("gateway.networking.x-k8s.io", "XBackend")
	services := []string{"{name: there, port: 80}", "{name: there, namespace: near, port: 80}"}
	authorities := func(missing, kind string) []badReference {
		return []badReference{
			{"missing", `{group: "", kind: ConfigMap, name: absent}`, missing},
			{"of a wrong kind", `{group: "", kind: Service, name: there}`, kind},
		}
	}
	const trusted = `{group: "", kind: ConfigMap, name: there}`
	envoyTLS := "{endpoints: [{fqdn: {hostname: there.example.org, port: 80}}], tls: {TLS}}"
	xTLS := "{type: ExternalHostname, port: {number: 80}, externalHostname: {hostname: there.example.org}, tls: {TLS}}"
	with := func(spec, tls string) string { return strings.Replace(spec, "TLS", tls, 1) }
	return []referrer{
		{"a Backend", "HTTPRoute", rule("backendRefs: [REF]"), envoyGood, envoyBad},
		{"an XBackend", "HTTPRoute", rule("backendRefs: [REF]"), xGood, xBad},
		{
			"a service that authorizes", "HTTPRoute",
			rule("filters: [{type: ExternalAuth, externalAuth: {protocol: HTTP, backendRef: REF, http: {}}}], " + beside), services, routeTo(),
		},
		{
			"a service that authorizes what goes to a backendRef", "HTTPRoute",
			rule("backendRefs: [{name: beside, port: 80, filters: [{type: ExternalAuth, externalAuth: {protocol: GRPC, backendRef: REF, grpc: {}}}]}]"), services, routeTo(),
		},
		{"authorities", ofEnvoy, with(envoyTLS, "caCertificateRefs: [REF]"), []string{trusted}, authorities("Accepted=False", "Accepted=False")},
		{
			"a client certificate", ofEnvoy, with(envoyTLS, "wellKnownCACertificates: System, clientCertificateRef: REF"),
			[]string{"{name: there}"},
			[]badReference{{"missing", "{name: absent}", "Accepted=False"}, {"of a wrong kind", "{kind: ConfigMap, name: there}", "Accepted=False"}},
		},
		{
			"authorities", ofX + "XBackend", with(xTLS, "mode: ServerOnly, validation: {hostname: b.example, caCertificateRefs: [REF]}"),
			[]string{trusted},
			authorities("False", "False"),
		},
		{
			"a client certificate", ofX + "XBackend",
			with(xTLS, "mode: ClientAndServer, clientCertificateRef: REF, validation: {hostname: b.example, wellKnownCACertificates: System}"),
			[]string{"{name: there}"},
			[]badReference{{"missing", "{name: absent}", "False"}, {"of a wrong kind", "{kind: ConfigMap, name: there}", "False"}},
		},
		{
			"a target", "BackendTLSPolicy", `{targetRefs: [REF], validation: {hostname: b.example, wellKnownCACertificates: System}}`,
			[]string{`{group: "", kind: Service, name: secured}`},
			[]badReference{{"missing", `{group: "", kind: Service, name: absent}`, ""}, {"of a wrong kind", `{group: "", kind: Secret, name: there}`, ""}},
		},
		{
			"a target", ofX + "XBackendTrafficPolicy", `{targetRefs: [REF], retryConstraint: {budget: {percent: 10, interval: 20s}, minRetryRate: {count: 5, interval: 2s}}}`,
			[]string{`{group: "", kind: Service, name: secured}`},
			[]badReference{{"missing", `{group: "", kind: Service, name: absent}`, ""}, {"of a wrong kind", `{group: "", kind: Secret, name: there}`, ""}},
		},
	}
}
