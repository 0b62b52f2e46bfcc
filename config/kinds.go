// The registry of the kinds that admission knows: those of the Gateway API, from the generated schemas.json, and the core kinds beside
// them. Others read it for REST paths, for names on the command line and for printer columns.

package config

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
	xv1alpha1 "sigs.k8s.io/gateway-api/apisx/v1alpha1"

	"github.com/wicketgate/wicketgate/certmanager"
	"github.com/wicketgate/wicketgate/object"
)

//go:generate go run ./internal/schemagen

//go:embed schemas.json
var schemasJSON []byte

const (
	gatewayGroup      = "gateway.networking.k8s.io"
	experimentalGroup = "gateway.networking.x-k8s.io"
	discoveryGroup    = "discovery.k8s.io"
	certificatesGroup = "certificates.k8s.io"
	certManagerGroup  = certmanager.Group
)

// Kind is a kind of object that admission knows. It is immutable.
type Kind struct {
	object.GroupKind
	Plural     string // as in REST paths: "httproutes"
	Singular   string
	ShortNames []string // "gtw"
	Namespaced bool
	// Versions are those a file may use. The first is the one Wicketgate works with: Object.Value has its type and
	// Object.Content its apiVersion, whichever a file used.
	Versions []*Version

	newValue func() any // an empty value of the typed kind
	core     bool       // described by Go types, not by a CRD's schema: Kubernetes' own kinds and cert-manager's
}

// Version is one version of a Kind.
type Version struct {
	Name       string
	Deprecated string   // what the CRD says about its deprecation, or empty
	Columns    []Column // what `kubectl get` prints after the name
	schema     *schema  // nil for core kinds
}

// Column is a printer column.
type Column struct {
	Name     string `json:"name"`
	Type     string `json:"type"`     // string, integer, date, ...
	Format   string `json:"format"`   // as in OpenAPI, usually empty
	JSONPath string `json:"jsonPath"` // ".spec.hostnames"; relative to the object
	Priority int32  `json:"priority"` // above 0: only in wide output
}

// APIVersion is what a manifest writes: "gateway.networking.k8s.io/v1", or "v1" for the core group.
func (k *Kind) APIVersion(version string) string {
	if k.Group == "" {
		return version
	}
	return k.Group + "/" + version
}

// Version returns the version of that name, or nil if it is not served.
func (k *Kind) Version(name string) *Version {
	for _, v := range k.Versions {
		if v.Name == name {
			return v
		}
	}
	return nil
}

// Kinds returns every kind that admission knows, ordered by group and kind. The slice and what it holds are shared: do not
// write to them.
func Kinds() []*Kind { return registry().kinds }

// KindOf returns the kind with that group and name, or nil.
func KindOf(gk object.GroupKind) *Kind { return registry().byKind[gk] }

// KindNamed finds a kind by what a person types: its plural, singular or short name or the kind itself, in any case, and
// optionally a dot and the group ("httproutes.gateway.networking.k8s.io"). It returns nil if there is none.
func KindNamed(word string) *Kind {
	name, group, qualified := strings.Cut(strings.ToLower(word), ".")
	for _, k := range Kinds() {
		if qualified && k.Group != group {
			continue
		}
		if name == k.Plural || name == k.Singular || name == strings.ToLower(k.Kind) || slices.Contains(k.ShortNames, name) {
			return k
		}
	}
	return nil
}

// knownKinds is what registry returns.
type knownKinds struct {
	kinds  []*Kind
	byKind map[object.GroupKind]*Kind
	byName map[string][]*Kind // by Kind.Kind: which groups have a kind of that name
}

// registry is parsed once; compiling a schema is put off until an object needs it (schema.go).
var registry = sync.OnceValue(func() *knownKinds {
	kinds, err := parseKinds(schemasJSON)
	if err != nil {
		panic("config: the embedded schemas.json is broken: " + err.Error()) // a build without it cannot be tested either
	}
	r := &knownKinds{kinds: slices.Concat(kinds, coreKinds(), certManagerKinds(), envoyKinds()), byKind: map[object.GroupKind]*Kind{}, byName: map[string][]*Kind{}}
	slices.SortFunc(r.kinds, func(a, b *Kind) int {
		return object.Key{GroupKind: a.GroupKind}.Compare(object.Key{GroupKind: b.GroupKind})
	})
	for _, k := range r.kinds {
		r.byKind[k.GroupKind] = k
		r.byName[k.Kind] = append(r.byName[k.Kind], k)
	}
	return r
})

// parseKinds reads the generated file; internal/schemagen says what it looks like.
func parseKinds(text []byte) ([]*Kind, error) {
	var file []struct {
		Group, Kind, Plural, Singular string
		ShortNames                    []string
		Namespaced                    bool
		Versions                      []struct {
			Name, Deprecated, SchemaOf string
			Columns                    []Column
			Schema                     json.RawMessage
		}
	}
	if err := json.Unmarshal(text, &file); err != nil {
		return nil, err
	}
	kinds := make([]*Kind, 0, len(file))
	for _, f := range file {
		k := &Kind{
			Group: f.Group, Kind: f.Kind,
			Plural: f.Plural, Singular: f.Singular, ShortNames: f.ShortNames, Namespaced: f.Namespaced,
		}
		k.newValue = gatewayTypes[k.GroupKind]
		if k.newValue == nil {
			return nil, fmt.Errorf("kind %s of group %s has no Go type", f.Kind, f.Group)
		}
		for _, v := range f.Versions {
			out := &Version{Name: v.Name, Deprecated: v.Deprecated, Columns: v.Columns}
			if v.SchemaOf != "" {
				out.schema = k.Version(v.SchemaOf).schema
			} else {
				out.schema = &schema{text: v.Schema}
			}
			k.Versions = append(k.Versions, out)
		}
		kinds = append(kinds, k)
	}
	return kinds, nil
}

// gatewayTypes gives the type of each kind that has a CRD. Older versions share their fields with it, so that their objects
// decode into it as they are.
var gatewayTypes = map[object.GroupKind]func() any{
	{Group: gatewayGroup, Kind: "BackendTLSPolicy"}:           func() any { return new(gatewayv1.BackendTLSPolicy) },
	{Group: gatewayGroup, Kind: "Gateway"}:                    func() any { return new(gatewayv1.Gateway) },
	{Group: gatewayGroup, Kind: "GatewayClass"}:               func() any { return new(gatewayv1.GatewayClass) },
	{Group: gatewayGroup, Kind: "GRPCRoute"}:                  func() any { return new(gatewayv1.GRPCRoute) },
	{Group: gatewayGroup, Kind: "HTTPRoute"}:                  func() any { return new(gatewayv1.HTTPRoute) },
	{Group: gatewayGroup, Kind: "ListenerSet"}:                func() any { return new(gatewayv1.ListenerSet) },
	{Group: gatewayGroup, Kind: "ReferenceGrant"}:             func() any { return new(gatewayv1.ReferenceGrant) },
	{Group: gatewayGroup, Kind: "TCPRoute"}:                   func() any { return new(gatewayv1.TCPRoute) },
	{Group: gatewayGroup, Kind: "TLSRoute"}:                   func() any { return new(gatewayv1.TLSRoute) },
	{Group: gatewayGroup, Kind: "UDPRoute"}:                   func() any { return new(gatewayv1.UDPRoute) },
	{Group: experimentalGroup, Kind: "XBackend"}:              func() any { return new(xv1alpha1.XBackend) },
	{Group: experimentalGroup, Kind: "XBackendTrafficPolicy"}: func() any { return new(xv1alpha1.XBackendTrafficPolicy) },
	{Group: experimentalGroup, Kind: "XMesh"}:                 func() any { return new(xv1alpha1.XMesh) },
	{Group: experimentalGroup, Kind: "XTelemetryPolicy"}:      func() any { return new(xv1alpha1.XTelemetryPolicy) },
}

// coreKinds are the kinds without a CRD. Their columns are those kubectl prints, as far as a path can express them.
func coreKinds() []*Kind {
	age := Column{Name: "Age", Type: "date", JSONPath: ".metadata.creationTimestamp"}
	text := func(name, path string) Column { return Column{Name: name, Type: "string", JSONPath: path} }
	return []*Kind{
		{
			Kind: "ConfigMap", Plural: "configmaps", Singular: "configmap", ShortNames: []string{"cm"},
			Namespaced: true, Versions: []*Version{{Name: "v1", Columns: []Column{age}}},
			newValue: func() any { return new(corev1.ConfigMap) }, core: true,
		},
		{
			Kind: "Namespace", Plural: "namespaces", Singular: "namespace", ShortNames: []string{"ns"},
			Versions: []*Version{{Name: "v1", Columns: []Column{age}}},
			newValue: func() any { return new(corev1.Namespace) }, core: true,
		},
		{
			Kind: "Secret", Plural: "secrets", Singular: "secret",
			Namespaced: true, Versions: []*Version{{Name: "v1", Columns: []Column{text("Type", ".type"), age}}},
			newValue: func() any { return new(corev1.Secret) }, core: true,
		},
		{
			Kind: "Service", Plural: "services", Singular: "service", ShortNames: []string{"svc"},
			Namespaced: true, Versions: []*Version{{Name: "v1", Columns: []Column{
				text("Type", ".spec.type"), text("Cluster-IP", ".spec.clusterIP"), text("Port(s)", ".spec.ports[*].port"), age,
			}}},
			newValue: func() any { return new(corev1.Service) }, core: true,
		},
		{
			Group: certificatesGroup, Kind: "ClusterTrustBundle",
			Plural: "clustertrustbundles", Singular: "clustertrustbundle",
			Versions: []*Version{
				{Name: "v1", Columns: []Column{text("SignerName", ".spec.signerName"), age}}, {Name: "v1beta1"}, {Name: "v1alpha1", Deprecated: "deprecated"},
			},
			newValue: func() any { return new(certificatesv1.ClusterTrustBundle) }, core: true,
		},
		{
			Group: discoveryGroup, Kind: "EndpointSlice",
			Plural: "endpointslices", Singular: "endpointslice",
			Namespaced: true, Versions: []*Version{{Name: "v1", Columns: []Column{
				text("AddressType", ".addressType"), text("Ports", ".ports[*].port"), text("Endpoints", ".endpoints[*].addresses[*]"), age,
			}}},
			newValue: func() any { return new(discoveryv1.EndpointSlice) }, core: true,
		},
	}
}
