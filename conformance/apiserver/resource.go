// What kinds the API server serves: a few of Kubernetes' own, which are listed here, and those of the Gateway API's CRDs.

package apiserver

import (
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	apiextensions "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	"sigs.k8s.io/yaml"
)

// Resource is one kind that is served.
type Resource struct {
	Group, Kind, Plural string
	Namespaced          bool
	// Versions are served, the preferred one first. Objects are stored without a version.
	Versions []string
	// Status says that the status is a sub-resource: only PUT and PATCH of /status change it.
	Status  bool
	schemas map[string]*schema.Structural // by version; nil for Kubernetes' own kinds
}

// admit does to an object what the API server does before it stores one: it drops unknown fields and sets defaults.
func (r *Resource) admit(version string, object map[string]any) {
	s := r.schemas[version]
	if s == nil {
		return
	}
	pruning.Prune(object, s, true)
	defaulting.Default(object, s)
}

// builtin are the kinds of Kubernetes itself that the suite creates, reads or lists.
var builtin = []Resource{
	{Kind: "Namespace", Plural: "namespaces", Versions: []string{"v1"}},
	{Kind: "Service", Plural: "services", Namespaced: true, Versions: []string{"v1"}},
	{Kind: "Secret", Plural: "secrets", Namespaced: true, Versions: []string{"v1"}},
	{Kind: "ConfigMap", Plural: "configmaps", Namespaced: true, Versions: []string{"v1"}},
	{Kind: "Pod", Plural: "pods", Namespaced: true, Versions: []string{"v1"}},
	{Kind: "ServiceAccount", Plural: "serviceaccounts", Namespaced: true, Versions: []string{"v1"}},
	{Group: "apps", Kind: "Deployment", Plural: "deployments", Namespaced: true, Versions: []string{"v1"}},
	{Group: "discovery.k8s.io", Kind: "EndpointSlice", Plural: "endpointslices", Namespaced: true, Versions: []string{"v1"}},
	{
		Group: "apiextensions.k8s.io", Kind: "CustomResourceDefinition", Plural: "customresourcedefinitions",
		Versions: []string{"v1"}, Status: true,
	},
}

// Resources returns the built-in kinds and those of the CRDs in a directory, and the CRDs themselves as objects.
func Resources(crds fs.FS) ([]*Resource, []map[string]any, error) {
	var all []*Resource
	for i := range builtin {
		r := builtin[i]
		all = append(all, &r)
	}
	names, err := fs.Glob(crds, "*.yaml")
	if err != nil {
		return nil, nil, err
	}
	var objects []map[string]any
	for _, name := range names {
		data, err := fs.ReadFile(crds, name)
		if err != nil {
			return nil, nil, err
		}
		var object map[string]any
		if err := yaml.Unmarshal(data, &object); err != nil {
			return nil, nil, fmt.Errorf("%s: %w", name, err)
		}
		if object["kind"] != "CustomResourceDefinition" {
			continue
		}
		r, err := fromCRD(data)
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", path.Base(name), err)
		}
		all = append(all, r)
		objects = append(objects, object)
	}
	return all, objects, nil
}

// fromCRD compiles one CustomResourceDefinition.
func fromCRD(data []byte) (*Resource, error) {
	var crd apiextensionsv1.CustomResourceDefinition
	if err := yaml.Unmarshal(data, &crd); err != nil {
		return nil, err
	}
	r := &Resource{
		Group: crd.Spec.Group, Kind: crd.Spec.Names.Kind, Plural: crd.Spec.Names.Plural,
		Namespaced: crd.Spec.Scope == apiextensionsv1.NamespaceScoped,
		schemas:    map[string]*schema.Structural{},
	}
	for i := range crd.Spec.Versions {
		v := &crd.Spec.Versions[i]
		if !v.Served {
			continue
		}
		r.Versions = append(r.Versions, v.Name)
		r.Status = r.Status || v.Subresources != nil && v.Subresources.Status != nil
		var internal apiextensions.JSONSchemaProps
		if err := apiextensionsv1.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(v.Schema.OpenAPIV3Schema, &internal, nil); err != nil {
			return nil, err
		}
		s, err := schema.NewStructural(&internal)
		if err != nil {
			return nil, err
		}
		r.schemas[v.Name] = s
	}
	slices.SortFunc(r.Versions, preferred)
	return r, nil
}

// preferred orders versions as Kubernetes does for these: v1 before v1beta1 before v1alpha3.
func preferred(a, b string) int {
	stage := func(v string) int {
		switch {
		case strings.Contains(v, "alpha"):
			return 2
		case strings.Contains(v, "beta"):
			return 1
		}
		return 0
	}
	if d := stage(a) - stage(b); d != 0 {
		return d
	}
	return strings.Compare(b, a)
}

// groups lists the API groups, sorted, with their versions.
func groups(resources []*Resource) ([]string, map[string][]string) {
	versions := map[string][]string{}
	for _, r := range resources {
		for _, v := range r.Versions {
			if !slices.Contains(versions[r.Group], v) {
				versions[r.Group] = append(versions[r.Group], v)
			}
		}
	}
	for _, v := range versions {
		slices.SortFunc(v, preferred)
	}
	return slices.Sorted(maps.Keys(versions)), versions
}
