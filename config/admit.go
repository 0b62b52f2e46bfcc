// Admission of one object: what an API server does on a create. The outcome depends on the object alone, not on where it stands, and is remembered by content.

package config

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/wicketgate/wicketgate/object"
)

// outcome is what admission makes of one object, wherever it stands. It is immutable.
type outcome struct {
	// key is what messages call the object; it may lack a name.
	key object.Key
	// identified: the key is sound, so that an earlier version of the object can be found by it.
	identified bool
	// foreign is set for a kind that Wicketgate has no use for; everything else is then empty.
	foreign *foreign
	// findings say what is wrong; errors among them mean that the object is rejected, and the fields below are empty.
	findings findings
	// refused is what is known of the object if it is rejected, and its absence would matter.
	refused *object.Refused
	version string
	meta    metav1.ObjectMeta
	value   any
	content map[string]any
	digest  [32]byte // of content
	spec    [32]byte // of content without metadata and status
}

// admitted reports whether the object may be served.
func (o *outcome) admitted() bool { return o.value != nil }

// admit does to an object what an API server does on a create: it refuses what is not allowed, and fills in defaults. It takes over the
// tree. Equal trees in equal roots have equal outcomes. proven says that the schemas are known to allow the tree, so that it need not be
// validated against them again.
func admit(ctx context.Context, tree map[string]any, root Root, proven bool) (out *outcome) {
	out = &outcome{refused: readRefused(tree, root)}
	defer func() {
		// Validation is the code of many hands, and an object that breaks it must not end the gateway.
		if r := recover(); r != nil {
			out.value, out.content = nil, nil
			out.findings.errorf(nil, "admission failed: %v", r)
		}
		if out.admitted() || out.foreign != nil {
			out.refused = nil
		}
	}()
	kind, version := identify(tree, root, out)
	if kind == nil {
		return out
	}
	out.version = version.Name
	out.meta, out.key, out.identified = admitMetadata(tree, kind, root, &out.findings)
	status := tree["status"]
	delete(tree, "status")
	if kind.core {
		admitCore(tree, kind, out)
	} else {
		version.schema.admit(ctx, tree, proven, &out.findings)
	}
	if version.Deprecated != "" && !out.findings.rejected() {
		out.findings.warnf(field.NewPath("apiVersion"), "version %s is deprecated: write %s", version.Name, kind.APIVersion(kind.Versions[0].Name))
	}
	if out.findings.rejected() {
		out.meta = metav1.ObjectMeta{}
		return out
	}
	out.finish(tree, kind, version, status)
	return out
}

// finish fills in what later stages read, after everything was validated.
func (o *outcome) finish(tree map[string]any, kind *Kind, version *Version, status any) {
	tree["apiVersion"] = kind.APIVersion(kind.Versions[0].Name)
	rest := maps.Clone(tree)
	delete(rest, "metadata")
	o.spec = digestOf(rest)
	if status != nil {
		if s, err := admitStatus(kind, version, status); err != nil {
			o.findings.warnf(field.NewPath("status"), "is left out: %v", err)
		} else if len(s) > 0 {
			tree["status"] = s
		}
	}
	value := kind.newValue()
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(tree, value); err != nil {
		o.findings.errorf(nil, "%v", err)
		return
	}
	o.value, o.content = value, tree
	o.digest = digestOf(tree)
}

// admitStatus checks the status that a file gives, as an export from a cluster does.
func admitStatus(kind *Kind, version *Version, status any) (map[string]any, error) {
	if version.schema != nil {
		return version.schema.admitStatus(status)
	}
	tree, ok := status.(map[string]any)
	shape := coreShape(kind).fields["status"]
	switch {
	case shape == nil:
		return nil, errors.New("this kind has none")
	case !ok:
		return nil, errors.New(mismatch("object", typeOf(status), status))
	}
	var f findings
	if shape.check(tree, nil, &f); len(f) > 0 {
		return nil, fmt.Errorf("%s: %s", f[0].field, f[0].message)
	}
	return tree, nil
}

// digestOf hashes a JSON tree; equal trees have equal digests.
func digestOf(tree map[string]any) [32]byte {
	text, err := json.Marshal(tree) // sorts keys
	if err != nil {
		panic("config: a decoded tree cannot be encoded: " + err.Error())
	}
	return sha256.Sum256(text)
}

// identify finds the kind and version of an object, or records why it has none: then kind is nil.
func identify(tree map[string]any, root Root, out *outcome) (*Kind, *Version) {
	for _, name := range []string{"apiVersion", "kind"} {
		if s, ok := tree[name].(string); !ok || s == "" {
			out.findings.errorf(field.NewPath(name), "%s", headMissing(tree, name))
			return nil, nil
		}
	}
	apiVersion, name := tree["apiVersion"].(string), tree["kind"].(string)
	group, version, grouped := strings.Cut(apiVersion, "/")
	if !grouped {
		group, version = "", apiVersion
	}
	gk := object.GroupKind{Group: group, Kind: name}
	kind := KindOf(gk)
	if kind == nil {
		out.key = object.Key{GroupKind: gk}
		if m, ok := tree["metadata"].(map[string]any); ok {
			out.key.Name, _ = m["name"].(string)
			out.key.Namespace, _ = m["namespace"].(string)
		}
		unknownKind(gk, version, out)
		return nil, nil
	}
	v := kind.Version(version)
	if v == nil {
		// The object is known all the same: the last admitted version of it stays in force.
		_, out.key, out.identified = admitMetadata(tree, kind, root, new(findings))
		out.findings.errorf(field.NewPath("apiVersion"), "%s", kind.successor(version))
		return nil, nil
	}
	return kind, v
}

// headMissing explains a document that lacks apiVersion or kind.
func headMissing(tree map[string]any, name string) string {
	if v := tree[name]; v != nil {
		if s, ok := v.(string); !ok || s != "" {
			return mismatch("string", typeOf(v), v)
		}
	}
	for key := range tree {
		if strings.EqualFold(key, name) && key != name {
			return fmt.Sprintf("is required (write %s instead of %s)", name, key)
		}
	}
	if tree["apiVersion"] == nil && tree["kind"] == nil {
		return "is required: this is no Kubernetes object; move the file out of the directory, or give it a name that begins with a dot"
	}
	return "is required"
}
