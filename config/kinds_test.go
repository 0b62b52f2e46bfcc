// Tests of the registry, the schemas and the suggestions.

package config

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/wicketgate/wicketgate/envoygateway"
	"github.com/wicketgate/wicketgate/object"
)

// TestServedVersions states which versions files may use.
func TestServedVersions(t *testing.T) {
	want := map[object.GroupKind][]string{
		{Group: gatewayGroup, Kind: "GatewayClass"}:               {"v1", "v1beta1"},
		{Group: gatewayGroup, Kind: "Gateway"}:                    {"v1", "v1beta1"},
		{Group: gatewayGroup, Kind: "HTTPRoute"}:                  {"v1", "v1beta1"},
		{Group: gatewayGroup, Kind: "ReferenceGrant"}:             {"v1", "v1beta1"},
		{Group: gatewayGroup, Kind: "GRPCRoute"}:                  {"v1"},
		{Group: gatewayGroup, Kind: "ListenerSet"}:                {"v1"},
		{Group: gatewayGroup, Kind: "TCPRoute"}:                   {"v1", "v1alpha2"},
		{Group: gatewayGroup, Kind: "UDPRoute"}:                   {"v1", "v1alpha2"},
		{Group: gatewayGroup, Kind: "TLSRoute"}:                   {"v1", "v1alpha2", "v1alpha3"},
		{Group: gatewayGroup, Kind: "BackendTLSPolicy"}:           {"v1", "v1alpha3"},
		{Group: experimentalGroup, Kind: "XBackend"}:              {"v1alpha1"},
		{Group: experimentalGroup, Kind: "XBackendTrafficPolicy"}: {"v1alpha1"},
		{Group: experimentalGroup, Kind: "XMesh"}:                 {"v1alpha1"},
		{Group: experimentalGroup, Kind: "XTelemetryPolicy"}:      {"v1alpha1"},
		{Group: envoygateway.Group, Kind: "Backend"}:              {"v1alpha1"},
		{Kind: "Namespace"}:                                       {"v1"},
		{Kind: "Service"}:                                         {"v1"},
		{Kind: "Secret"}:                                          {"v1"},
		{Kind: "ConfigMap"}:                                       {"v1"},
		{Group: discoveryGroup, Kind: "EndpointSlice"}:            {"v1"},
		{Group: certificatesGroup, Kind: "ClusterTrustBundle"}:    {"v1", "v1beta1", "v1alpha1"},
		{Group: certManagerGroup, Kind: "Certificate"}:            {"v1"},
		{Group: certManagerGroup, Kind: "Issuer"}:                 {"v1"},
		{Group: certManagerGroup, Kind: "ClusterIssuer"}:          {"v1"},
	}
	if len(Kinds()) != len(want) {
		t.Errorf("%d kinds, want %d", len(Kinds()), len(want))
	}
	for gk, versions := range want {
		k := KindOf(gk)
		if k == nil || len(k.Versions) != len(versions) {
			t.Errorf("%v: %+v", gk, k)
			continue
		}
		for i, v := range versions {
			if k.Versions[i].Name != v || (i == 0 && k.Versions[i].Columns == nil) || (i > 0 && k.Version(v).Deprecated == "" && v != "v1beta1") {
				t.Errorf("%v: %+v", gk, k.Versions[i])
			}
		}
		if _, ok := k.newValue().(metav1.Object); !ok {
			t.Errorf("%v: %T has no metadata", gk, k.newValue())
		}
	}
}

func TestKindNamed(t *testing.T) {
	for word, want := range map[string]string{
		"httproutes": "HTTPRoute", "HTTPRoute": "HTTPRoute", "gtw": "Gateway", "gc": "GatewayClass", "svc": "Service", "ns": "Namespace",
		"gateways.gateway.networking.k8s.io": "Gateway", "endpointslices": "EndpointSlice", "secret": "Secret", "cm": "ConfigMap",
		"gateways.networking.istio.io": "", "pods": "", "": "",
	} {
		got := ""
		if k := KindNamed(word); k != nil {
			got = k.Kind
		}
		if got != want {
			t.Errorf("%q: %q, want %q", word, got, want)
		}
	}
}

// TestEverySchemaCompiles compiles what is otherwise compiled when an object needs it.
func TestEverySchemaCompiles(t *testing.T) {
	for _, k := range Kinds() {
		for _, v := range k.Versions {
			if v.schema == nil {
				continue
			}
			if err := v.schema.compile(); err != nil {
				t.Errorf("%s %s: %v", k.Kind, v.Name, err)
			}
			if hasStatus := k.Kind != "ReferenceGrant"; hasStatus != (v.schema.status != nil) || v.schema.structural.Properties["status"].Default.Object != nil {
				t.Errorf("%s %s: the status is not apart", k.Kind, v.Name)
			}
		}
	}
}

func TestNearest(t *testing.T) {
	known := []string{"backendRefs", "filters", "matches", "name", "retry", "timeouts", "port"}
	for word, want := range map[string]string{
		"backendrefs": "backendRefs", "backendRef": "backendRefs", "backends": "backendRefs", "filter": "filters", "match": "matches", "macthes": "matches",
		"nam": "name", "prot": "port", "timeout": "timeouts", "x": "", "": "", "completelyDifferent": "", "ports": "port",
	} {
		if got := nearest(word, known); got != want {
			t.Errorf("%q: %q, want %q", word, got, want)
		}
	}
}

func TestEditDistance(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"a", "", 1}, {"abc", "abc", 0}, {"abc", "acb", 1}, {"abc", "xbc", 1}, {"kitten", "sitting", 3}, {"abcdef", "badcfe", 3}} {
		if got := editDistance(c.a, c.b, 9); got != c.want {
			t.Errorf("%s %s: %d, want %d", c.a, c.b, got, c.want)
		}
		if got := editDistance(c.b, c.a, 9); got != c.want {
			t.Errorf("%s %s: %d, want %d", c.b, c.a, got, c.want)
		}
	}
}
