// The fields of every kind that admission knows: from the CRDs' schemas, and from the Go types of kinds that have no CRD.

package pipeline

import (
	"encoding/json"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/wicketgate/wicketgate/certmanager"
	"github.com/wicketgate/wicketgate/config"
	"github.com/wicketgate/wicketgate/envoygateway"
)

// goTypes are the kinds without a CRD.
var goTypes = map[string]any{
	"Backend":            envoygateway.Backend{},
	"Certificate":        certmanager.Certificate{},
	"ClusterIssuer":      certmanager.Issuer{},
	"ClusterTrustBundle": certificatesv1.ClusterTrustBundle{},
	"ConfigMap":          corev1.ConfigMap{},
	"EndpointSlice":      discoveryv1.EndpointSlice{},
	"Issuer":             certmanager.Issuer{},
	"Namespace":          corev1.Namespace{},
	"Secret":             corev1.Secret{},
	"Service":            corev1.Service{},
}

// property is the part of OpenAPI that says which fields there are.
type property struct {
	Properties           map[string]*property
	Items                *property
	AdditionalProperties *property
	Enum                 []any
}

// schemas are the CRDs' schemas, by kind: those of the version that Wicketgate works with, which has every field of the older ones.
func schemas(t testing.TB) map[string]*property {
	t.Helper()
	text, err := os.ReadFile("../../config/schemas.json")
	if err != nil {
		t.Fatal(err)
	}
	var file []struct {
		Kind     string
		Versions []struct{ Schema *property }
	}
	if err := json.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	out := map[string]*property{}
	for _, k := range file {
		out[k.Kind] = k.Versions[0].Schema
	}
	return out
}

// allFields gives the paths of all fields that hold a value, by kind: "spec.listeners[].tls.options{}". Metadata is the same for all and has a kind of
// its own; a status is one field, because it is not the author's to write.
func allFields(t testing.TB) map[string][]string {
	t.Helper()
	out := map[string][]string{"metadata": structFields(reflect.TypeFor[metav1.ObjectMeta](), "metadata", 1)}
	custom := schemas(t)
	for _, k := range config.Kinds() {
		var fields []string
		if s := custom[k.Kind]; s != nil {
			fields = schemaFields(s, "")
		} else if v := goTypes[k.Kind]; v != nil {
			fields = structFields(reflect.TypeOf(v), "", 100)
		} else {
			t.Errorf("%s has no schema and no type in goTypes", k.Kind)
			continue
		}
		fields = slices.DeleteFunc(fields, func(f string) bool {
			root, _, _ := strings.Cut(f, ".")
			return root == "metadata" || root == "apiVersion" || root == "kind" || strings.TrimSuffix(root, "{}") == "status"
		})
		if hasStatus(custom[k.Kind], goTypes[k.Kind]) {
			fields = append(fields, "status")
		}
		slices.Sort(fields)
		out[k.Kind] = fields
	}
	return out
}

func hasStatus(s *property, v any) bool {
	if s != nil {
		return s.Properties["status"] != nil
	}
	_, ok := reflect.TypeOf(v).FieldByName("Status")
	return ok
}

func schemaFields(p *property, path string) []string {
	switch {
	case p.Items != nil:
		return schemaFields(p.Items, path+"[]")
	case len(p.Properties) > 0:
		var all []string
		for _, name := range slices.Sorted(maps.Keys(p.Properties)) {
			all = append(all, schemaFields(p.Properties[name], strings.TrimPrefix(path+"."+name, "."))...)
		}
		return all
	case p.AdditionalProperties != nil:
		return schemaFields(p.AdditionalProperties, path+"{}")
	}
	return []string{path}
}

// structFields walks a Go type by its JSON names, at most depth structs deep.
func structFields(t reflect.Type, path string, depth int) []string {
	switch t {
	case reflect.TypeFor[intstr.IntOrString](), reflect.TypeFor[metav1.Time](), reflect.TypeFor[metav1.Duration](), reflect.TypeFor[[]byte]():
		return []string{path}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return structFields(t.Elem(), path, depth)
	case reflect.Slice:
		if depth == 0 {
			return []string{path}
		}
		return structFields(t.Elem(), path+"[]", depth)
	case reflect.Map:
		return structFields(t.Elem(), path+"{}", depth)
	case reflect.Struct:
	default:
		return []string{path}
	}
	if depth == 0 {
		return []string{path}
	}
	var all []string
	for f := range t.Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "" {
			all = append(all, structFields(f.Type, path, depth)...)
			continue
		}
		all = append(all, structFields(f.Type, strings.TrimPrefix(path+"."+name, "."), depth-1)...)
	}
	return all
}
