// Kinds that the registry does not have: those that Wicketgate has no use for are ignored, and said so once a kind; those that
// are a kind of the registry misspelt are errors.

package config

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/wicketgate/wicketgate/object"
)

// foreign is a kind without use.
type foreign struct {
	object.GroupKind
	severity object.Severity
	message  string
}

// unknownKind decides what to say about a kind that is not in the registry.
func unknownKind(gk object.GroupKind, version string, out *outcome) {
	apiVersion := strings.TrimPrefix(gk.Group+"/"+version, "/")
	switch {
	case renamedKinds[gk] != "":
		out.findings.errorf(field.NewPath("kind"), "%s of %s is no longer served: write %s", gk.Kind, gk.Group, renamedKinds[gk])
	case gk.Group == gatewayGroup || gk.Group == experimentalGroup:
		out.findings.errorf(field.NewPath("kind"), "%s", misspeltKind(gk))
	case misplaced(gk, version) != nil:
		k := misplaced(gk, version)
		out.findings.errorf(field.NewPath("apiVersion"), "%s is not a kind of %s: write apiVersion: %s", gk.Kind, apiVersion, k.APIVersion(k.Versions[0].Name))
	case gk.Group == certManagerGroup && nearKind(gk, 3) != "":
		out.findings.errorf(field.NewPath("kind"), "unknown kind (did you mean %q?)", nearKind(gk, 3))
	case gk.Group == "" && !slices.Contains(clusterKinds, gk.Kind) && nearKind(gk, 2) != "":
		out.findings.errorf(field.NewPath("kind"), "unknown kind (did you mean %q?)", nearKind(gk, 2))
	default:
		out.foreign = &foreign{gk, object.Ignored, fmt.Sprintf("%s (%s) is not used: %s", gk.Kind, apiVersion, foreignHint(gk))}
		if slices.Contains(guards, gk) {
			out.foreign.severity = object.Warning
		}
	}
}

// renamedKinds are kinds of the Gateway API that exist under another name now.
var renamedKinds = map[object.GroupKind]string{
	{Group: experimentalGroup, Kind: "XListenerSet"}:   "kind ListenerSet of gateway.networking.k8s.io/v1",
	{Group: gatewayGroup, Kind: "BackendLBPolicy"}:     "kind XBackendTrafficPolicy of gateway.networking.x-k8s.io/v1alpha1",
	{Group: gatewayGroup, Kind: "ReferencePolicy"}:     "kind ReferenceGrant of gateway.networking.k8s.io/v1",
	{Group: gatewayGroup, Kind: "BackendPolicy"}:       "kind BackendTLSPolicy of gateway.networking.k8s.io/v1",
	{Group: "networking.x-k8s.io", Kind: "HTTPRoute"}:  "kind HTTPRoute of gateway.networking.k8s.io/v1",
	{Group: "networking.x-k8s.io", Kind: "Gateway"}:    "kind Gateway of gateway.networking.k8s.io/v1",
	{Group: "networking.x-k8s.io", Kind: "TCPRoute"}:   "kind TCPRoute of gateway.networking.k8s.io/v1",
	{Group: experimentalGroup, Kind: "XBackendPolicy"}: "kind XBackendTrafficPolicy of gateway.networking.x-k8s.io/v1alpha1",
}

// misspeltKind is the message for a kind that a group of the Gateway API does not have.
func misspeltKind(gk object.GroupKind) string {
	if k := nearKind(gk, 4); k != "" {
		return fmt.Sprintf("unknown kind (did you mean %q?)", k)
	}
	for _, k := range registry().byName[gk.Kind] {
		return fmt.Sprintf("%s is not a kind of %s: write apiVersion: %s", gk.Kind, gk.Group, k.APIVersion(k.Versions[0].Name))
	}
	var known []string
	for _, k := range Kinds() {
		if k.Group == gk.Group {
			known = append(known, k.Kind)
		}
	}
	return "unknown kind (known in " + gk.Group + ": " + strings.Join(known, ", ") + ")"
}

// nearKind finds the kind of the same group that is spelt nearly the same.
func nearKind(gk object.GroupKind, limit int) string {
	best := ""
	for _, k := range Kinds() {
		if k.Group != gk.Group {
			continue
		}
		if d := editDistance(strings.ToLower(gk.Kind), strings.ToLower(k.Kind), limit); d < limit {
			best, limit = k.Kind, d
		}
	}
	return best
}

// misplaced finds the kind that is meant where a kind of the registry stands in a wrong group. Other projects have kinds of the same names
// (Istio's Gateway, Knative's Service): only groups that are Kubernetes' own, or nearly the right one, count.
func misplaced(gk object.GroupKind, version string) *Kind {
	for _, k := range registry().byName[gk.Kind] {
		switch gk.Group {
		case "", "core", "apps", "extensions", "networking.k8s.io", "networking.x-k8s.io", discoveryGroup:
			return k
		}
		if k.Group != "" && editDistance(gk.Group, k.Group, 5) < 5 || gk.Group == "" && version == k.Group {
			return k
		}
	}
	return nil
}

// clusterKinds are kinds of the core group that Wicketgate has no use for: not misspelt.
var clusterKinds = []string{
	"Binding", "Endpoints", "Event", "LimitRange", "Node", "PersistentVolume", "PersistentVolumeClaim", "Pod", "PodTemplate",
	"ReplicationController", "ResourceQuota", "ServiceAccount",
}

// guards are kinds by which others are protected. That they are not used is nothing to be passed over.
var guards = []object.GroupKind{
	{Group: "gateway.envoyproxy.io", Kind: "SecurityPolicy"},
	{Group: "security.istio.io", Kind: "AuthorizationPolicy"},
	{Group: "security.istio.io", Kind: "RequestAuthentication"},
	{Group: "traefik.io", Kind: "Middleware"},
	{Group: "traefik.io", Kind: "MiddlewareTCP"},
}

// foreignHint says why a kind is not used, and what takes its place.
func foreignHint(gk object.GroupKind) string {
	for _, h := range foreignHints {
		if (h.group == "" || h.group == gk.Group || strings.HasSuffix(gk.Group, "."+h.group)) && (len(h.kinds) == 0 || slices.Contains(h.kinds, gk.Kind)) {
			return h.hint
		}
	}
	return "Wicketgate has no use for this kind"
}

// foreignHints are tried in order; an empty group or an empty list of kinds means any.
var foreignHints = []struct {
	group string
	kinds []string
	hint  string
}{
	{
		"",
		[]string{"Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "ReplicationController", "Pod", "Job", "CronJob", "Rollout"},
		"Wicketgate starts no containers; run the backend yourself, and give its address in an EndpointSlice or let the Service's name resolve in DNS",
	},
	{"", []string{"Endpoints"}, "write an EndpointSlice of discovery.k8s.io/v1 with the label kubernetes.io/service-name"},
	{"networking.k8s.io", []string{"Ingress", "IngressClass"}, "write an HTTPRoute instead (ingress2gateway converts Ingresses)"},
	{"extensions", []string{"Ingress"}, "write an HTTPRoute instead (ingress2gateway converts Ingresses)"},
	{"networking.k8s.io", []string{"NetworkPolicy"}, "Wicketgate enforces no network policies"},
	{"traefik.io", []string{"Middleware", "MiddlewareTCP"}, "its routes are served without what it does: filters of an HTTPRoute's rules do that " +
		"(RequestHeaderModifier, URLRewrite, RequestRedirect, CORS, ExternalAuth for ForwardAuth)"},
	{"traefik.io", nil, "Traefik's own kinds have no meaning here; a Gateway and routes of gateway.networking.k8s.io do what they did"},
	{"security.istio.io", nil, "what it is about is served without the protection that it asks for: use the filter ExternalAuth, or spec.tls.frontend of the Gateway"},
	{"istio.io", nil, "Istio's own kinds have no meaning here; a Gateway and HTTPRoutes of gateway.networking.k8s.io do what they did"},
	{"acme.cert-manager.io", nil, "orders and challenges are kept in the state directory, not as objects"},
	{"cert-manager.io", []string{"CertificateRequest"}, "write a Certificate, which says what it is for and is renewed"},
	{"cert-manager.io", nil, "of cert-manager's kinds Certificate, Issuer and ClusterIssuer are served"},
	{"gateway.envoyproxy.io", []string{"SecurityPolicy"}, "what it targets is served without the protection that it asks for; " +
		"of Envoy Gateway's own kinds only Backend is supported: use the filter ExternalAuth, CORS, or spec.tls.frontend of the Gateway"},
	{"gateway.envoyproxy.io", []string{"BackendTrafficPolicy"}, "of Envoy Gateway's own kinds only Backend is supported; what takes its place are " +
		"timeouts and retry of an HTTPRoute's rules, XBackendTrafficPolicy, and for proxyProtocol the annotation wicketgate.dev/proxy-protocol on a Service"},
	{"gateway.envoyproxy.io", nil, "of Envoy Gateway's own kinds only Backend is supported"},
	{"monitoring.coreos.com", nil, "let Prometheus scrape /metrics of the admin address"},
	{"apiextensions.k8s.io", nil, "the Gateway API's definitions are built in"},
	{"admissionregistration.k8s.io", nil, "the Gateway API's rules are built in"},
	{"kustomize.config.k8s.io", nil, "run kustomize, and give Wicketgate what it builds"},
	{"rbac.authorization.k8s.io", nil, "who may write the files decides who may configure; see DIR:NAMESPACE of --config"},
}
