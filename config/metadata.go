// Admission of metadata: names, namespaces, labels, and what an exported object carries of its cluster.

package config

import (
	"reflect"
	"slices"
	"strings"
	"sync"

	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/wicketgate/wicketgate/object"
)

// lastApplied is the annotation in which kubectl keeps a copy of the whole object.
const lastApplied = "kubectl.kubernetes.io/last-applied-configuration"

var metadataShape = sync.OnceValue(func() *shape { return shapeOf(reflect.TypeFor[metav1.ObjectMeta]()) })

// admitMetadata validates tree["metadata"] and completes it in place: the namespace is defaulted, and what an API server writes for
// itself into objects that it stores is dropped.
//
// The key is identified unless the object has no usable name or namespace, so that nobody can tell which object is meant.
func admitMetadata(tree map[string]any, k *Kind, root Root, f *findings) (meta metav1.ObjectMeta, key object.Key, identified bool) {
	path := field.NewPath("metadata")
	key.GroupKind = k.GroupKind
	m, ok := tree["metadata"].(map[string]any)
	switch {
	case tree["metadata"] == nil:
		f.errorf(path.Child("name"), "is required")
		return meta, key, false
	case !ok:
		f.errorf(path, "%s", mismatch("object", typeOf(tree["metadata"]), tree["metadata"]))
		return meta, key, false
	}
	cleanMetadata(m, k)
	if m["namespace"] == nil && k.Namespaced {
		m["namespace"] = root.defaultNamespace()
	}
	var own findings
	metadataShape().check(m, path, &own)
	if m["name"] == nil || m["name"] == "" {
		own.errorf(path.Child("name"), "%s", nameMissing(m))
	}
	*f = append(*f, own...)
	name, _ := m["name"].(string)
	namespace, namespaceIsText := m["namespace"].(string)
	key.Name = name
	if k.Namespaced {
		key.Namespace = namespace
	}
	identified = len(nameRule(k)(name, false)) == 0 && (namespaceIsText || !k.Namespaced)
	if own.rejected() {
		return meta, key, identified
	}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(m, &meta); err != nil {
		f.errorf(path, "%v", err)
		return meta, key, identified
	}
	validateMetadata(&meta, k, root, path, f)
	return meta, key, identified
}

// cleanMetadata drops what an API server writes into objects that it stores, and has no meaning in a file.
func cleanMetadata(m map[string]any, k *Kind) {
	for name, v := range m {
		if v == nil || name == "managedFields" || name == "resourceVersion" || name == "selfLink" {
			delete(m, name)
		}
	}
	if annotations, ok := m["annotations"].(map[string]any); ok && k.Kind == "Secret" {
		delete(annotations, lastApplied) // it repeats the secret
		if len(annotations) == 0 {
			delete(m, "annotations")
		}
	}
}

// nameMissing says what to do about an object without a name.
func nameMissing(m map[string]any) string {
	if m["generateName"] != nil {
		return "is required: generateName needs a server that invents names"
	}
	return "is required"
}

// nameRule is how objects of a kind may be named.
func nameRule(k *Kind) apivalidation.ValidateNameFunc {
	if k.core && (k.Kind == "Service" || k.Kind == "Namespace") {
		return apivalidation.NameIsDNSLabel
	}
	if k.core && k.Kind == "ClusterTrustBundle" {
		return nameIsTrustBundle
	}
	return apivalidation.NameIsDNSSubdomain
}

// validateMetadata checks decoded metadata, and that the object may be in this root.
func validateMetadata(meta *metav1.ObjectMeta, k *Kind, root Root, path *field.Path, f *findings) {
	if !k.Namespaced {
		if meta.Namespace != "" {
			f.errorf(path.Child("namespace"), "%s is cluster-scoped: remove the namespace", k.Kind)
			meta.Namespace = ""
		}
		if len(root.Namespaces) > 0 {
			f.errorf(nil, "%s is cluster-scoped, and %s may only hold objects of %s: move it to another directory",
				k.Kind, root.Path, namespaceList(root.Namespaces))
		}
	} else if len(root.Namespaces) > 0 && !slices.Contains(root.Namespaces, meta.Namespace) {
		f.errorf(path.Child("namespace"), "%s may only hold objects of %s", root.Path, namespaceList(root.Namespaces))
	}
	generateName := meta.GenerateName
	meta.GenerateName = "" // an exported object may have it beside its name
	f.add(apivalidation.ValidateObjectMeta(meta, k.Namespaced, nameRule(k), path))
	meta.GenerateName = generateName
}

func namespaceList(names []string) string {
	if len(names) == 1 {
		return "namespace " + names[0]
	}
	return "namespaces " + strings.Join(names, ", ")
}
