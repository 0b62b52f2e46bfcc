// What may be said of objects that are refused, for those whose absence would take a protection away: see object.Refused.
//
// Such an object was not validated, so what it is about is read leniently: targetRef for targetRefs, one in place of a list, no kind where only Services
// are likely. Of a policy
//
//	spec:
//	  targetRef: {kind: Service, name: api}
//	  validation: {hostnam: api.example.com}
//
// it is known that Service api is not to be sent plaintext, whatever else was meant.

package config

import (
	"slices"
	"strings"

	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/wicketgate/wicketgate/object"
)

// maxRefusedTargets bounds what is remembered of one object.
const maxRefusedTargets = 64

// protects reports whether the absence of objects of a kind is more than that: see the stages that ask a Set what was refused.
func protects(k object.GroupKind) bool {
	switch k {
	case object.GroupKind{Group: gatewayGroup, Kind: "BackendTLSPolicy"}, object.GroupKind{Group: gatewayGroup, Kind: "GatewayClass"},
		object.GroupKind{Kind: "Service"}, object.GroupKind{Kind: "Namespace"}, object.GroupKind{Group: discoveryGroup, Kind: "EndpointSlice"}:
		return true
	}
	return false
}

// meant is the kind that an object seems to be of, whose own kind may be unknown because it is misspelt or in a wrong group.
func meant(gk object.GroupKind) object.GroupKind {
	policy := object.GroupKind{Group: gatewayGroup, Kind: "BackendTLSPolicy"}
	if KindOf(gk) == nil && (gk.Kind == policy.Kind || gk.Kind == "BackendPolicy" || nearKind(object.GroupKind{Group: gatewayGroup, Kind: gk.Kind}, 4) == policy.Kind) {
		return policy
	}
	return gk
}

// readRefused reads what an object is about, before admission takes it over; nil where it does not matter whether it is there.
func readRefused(tree map[string]any, root Root) *object.Refused {
	apiVersion, _ := tree["apiVersion"].(string)
	name, _ := tree["kind"].(string)
	group, _, grouped := strings.Cut(apiVersion, "/")
	if !grouped {
		group = ""
	}
	kind := meant(object.GroupKind{Group: group, Kind: name})
	if !protects(kind) {
		return nil
	}
	out := &object.Refused{GroupKind: kind}
	metadata, _ := tree["metadata"].(map[string]any)
	out.Name, _ = metadata["name"].(string)
	if known := KindOf(kind); known.Namespaced {
		out.Namespace, _ = metadata["namespace"].(string)
		if metadata["namespace"] == nil {
			out.Namespace = root.defaultNamespace()
		}
	}
	// Who writes to a confined directory has no say of what is not his.
	if len(root.Namespaces) > 0 && !slices.Contains(root.Namespaces, out.Namespace) {
		return nil
	}
	switch kind.Kind {
	case "BackendTLSPolicy":
		spec, _ := tree["spec"].(map[string]any)
		out.Targets = targetsOf(spec)
	case "EndpointSlice":
		labels, _ := metadata["labels"].(map[string]any)
		if service, _ := labels[discoveryv1.LabelServiceName].(string); service != "" {
			out.Targets = []object.RefusedTarget{{Kind: "Service", Name: service}}
		}
	}
	return out
}

// targetsOf finds what a policy targets: whatever stands below a field whose name begins with "target".
func targetsOf(spec map[string]any) (list []object.RefusedTarget) {
	for field, value := range spec {
		if !strings.HasPrefix(strings.ToLower(field), "target") {
			continue
		}
		refs, ok := value.([]any)
		if !ok {
			refs = []any{value}
		}
		for _, ref := range refs {
			list = append(list, targetOf(ref))
		}
	}
	list = slices.DeleteFunc(list, func(t object.RefusedTarget) bool { return t.Name == "" })
	slices.SortFunc(list, object.RefusedTarget.Compare)
	return list[:min(len(list), maxRefusedTargets)]
}

func targetOf(ref any) (t object.RefusedTarget) {
	if name, ok := ref.(string); ok { // instead of {name: ...}
		return object.RefusedTarget{Kind: "Service", Name: name}
	}
	fields, _ := ref.(map[string]any)
	for field, value := range fields {
		text, _ := value.(string)
		switch strings.ToLower(field) {
		case "group":
			t.Group = text
		case "kind":
			t.Kind = text
		case "name":
			t.Name = text
		case "sectionname":
			t.Section = text
		}
	}
	if t.Kind == "" || strings.EqualFold(t.Kind, "Service") { // of whatever group: it is the core group's that is meant
		t.GroupKind = object.GroupKind{Kind: "Service"}
	}
	return t
}

// refused lists the objects of files that were refused, and of which no admitted version is in force.
func (m *memory) refused(files []*parsed) (list []*object.Refused) {
	for _, p := range files {
		if p.plain {
			continue
		}
		for _, it := range p.items {
			if it.refused == nil || it.admitted() {
				continue
			}
			if _, ok := m.force[it.refused.Key]; !ok {
				list = append(list, it.refused)
			}
		}
	}
	return list
}
