// Kubernetes' REST paths for objects, read-only.
//
//	/api/v1/...  or  /apis/GROUP/VERSION/...
//	    KINDS                          all objects of a kind
//	    KINDS/NAME                     one that has no namespace
//	    namespaces/NS/KINDS            those of a namespace
//	    namespaces/NS/KINDS/NAME       one of them
//
// Any of the single ones may end in /status, which says the same. Every served version of a kind shows every object of it.

package admin

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/wicketgate/wicketgate/config"
	"github.com/wicketgate/wicketgate/object"
	"github.com/wicketgate/wicketgate/reconcile"
)

// target is what a path asks for.
type target struct {
	kind      *config.Kind
	version   *config.Version
	namespace string // empty: all
	name      string // empty: a list
}

// objects answers everything below /api/ and /apis/.
func (a *api) objects(w http.ResponseWriter, r *http.Request) {
	group, version, rest, ok := splitPath(r.URL.Path)
	if !ok {
		writeStatus(w, notFoundPath(r.URL.Path))
		return
	}
	switch {
	case version == "":
		a.group(w, r, group)
		return
	case len(rest) == 0:
		a.resources(w, r, group, version)
		return
	}
	t, ok := findTarget(group, version, rest)
	if !ok {
		writeStatus(w, notFoundPath(r.URL.Path))
		return
	}
	if watch := r.URL.Query().Get("watch"); watch != "" && watch != "false" && watch != "0" {
		writeStatus(w, methodNotAllowed("watch"))
		return
	}
	v := a.source.View()
	if v == nil {
		writeStatus(w, unavailable("nothing is served yet"))
		return
	}
	if t.name != "" {
		a.one(w, r, v, t)
		return
	}
	a.list(w, r, v, t)
}

// splitPath takes /api/VERSION/... and /apis/GROUP[/VERSION/...] apart.
func splitPath(path string) (group, version string, rest []string, ok bool) {
	parts := strings.Split(strings.Trim(path, "/"), "/")
	switch {
	case parts[0] == "api" && len(parts) > 1:
		return "", parts[1], parts[2:], true
	case parts[0] == "apis" && len(parts) == 2:
		return parts[1], "", nil, true
	case parts[0] == "apis" && len(parts) > 2:
		return parts[1], parts[2], parts[3:], true
	}
	return "", "", nil, false
}

// findTarget reads what follows the version.
func findTarget(group, version string, rest []string) (t target, ok bool) {
	if n := len(rest); (n == 3 || n == 5) && rest[n-1] == "status" {
		rest = rest[:n-1]
	}
	if len(rest) > 2 && rest[0] == "namespaces" { // namespaces/NAME alone is the Namespace itself
		t.namespace = rest[1]
		rest = rest[2:]
	}
	switch len(rest) {
	case 1:
	case 2:
		t.name = rest[1]
	default:
		return t, false
	}
	at := slices.IndexFunc(config.Kinds(), func(k *config.Kind) bool { return k.Group == group && k.Plural == rest[0] })
	if at < 0 {
		return t, false
	}
	t.kind = config.Kinds()[at]
	t.version = t.kind.Version(version)
	return t, t.version != nil && t.placed()
}

// placed says whether the path has a namespace where the kind needs one, and none where it has no use for it.
func (t target) placed() bool {
	if t.kind.Namespaced {
		return t.namespace != "" || t.name == ""
	}
	return t.namespace == ""
}

// one answers with a single object.
func (a *api) one(w http.ResponseWriter, r *http.Request, v *reconcile.View, t target) {
	o := find(v, object.Key{GroupKind: t.kind.GroupKind, Namespace: t.namespace, Name: t.name})
	if o == nil {
		writeStatus(w, notFound(t.kind, t.name))
		return
	}
	if wantsTable(r) {
		writeJSON(w, http.StatusOK, a.table(v, t, []*object.Object{o}))
		return
	}
	writeJSON(w, http.StatusOK, render(v, t, o))
}

// list answers with all objects that the path and the selectors leave.
func (a *api) list(w http.ResponseWriter, r *http.Request, v *reconcile.View, t target) {
	selected, err := selectors(r)
	if err != nil {
		writeStatus(w, badRequest(err))
		return
	}
	var found []*object.Object
	for _, o := range all(v, t.kind.GroupKind) {
		if (t.namespace == "" || o.Namespace == t.namespace) && selected(o) {
			found = append(found, o)
		}
	}
	if wantsTable(r) {
		writeJSON(w, http.StatusOK, a.table(v, t, found))
		return
	}
	items := make([]map[string]any, 0, len(found))
	for _, o := range found {
		items = append(items, render(v, t, o))
	}
	writeJSON(w, http.StatusOK, map[string]any{
		"apiVersion": t.kind.APIVersion(t.version.Name),
		"kind":       t.kind.Kind + "List",
		"metadata":   map[string]any{"resourceVersion": strconv.FormatUint(v.Generation, 10)},
		"items":      items,
	})
}

// selectors reads labelSelector and fieldSelector; fields may be metadata.name and metadata.namespace.
func selectors(r *http.Request) (func(*object.Object) bool, error) {
	byLabel, err := labels.Parse(r.URL.Query().Get("labelSelector"))
	if err != nil {
		return nil, fmt.Errorf("labelSelector: %w", err)
	}
	byField, err := fields.ParseSelector(r.URL.Query().Get("fieldSelector"))
	if err != nil {
		return nil, fmt.Errorf("fieldSelector: %w", err)
	}
	for _, req := range byField.Requirements() {
		if req.Field != "metadata.name" && req.Field != "metadata.namespace" {
			return nil, fmt.Errorf("fieldSelector: %q is not supported, only metadata.name and metadata.namespace", req.Field)
		}
	}
	return func(o *object.Object) bool {
		return byLabel.Matches(labels.Set(o.Meta.Labels)) &&
			byField.Matches(fields.Set{"metadata.name": o.Name, "metadata.namespace": o.Namespace})
	}, nil
}

// lastApplied is where kubectl keeps the whole manifest, Secret data included.
const lastApplied = "kubectl.kubernetes.io/last-applied-configuration"

// render makes the JSON tree of one object as it is served: its content in the asked version, the generation that we count, and the status
// that we compute. What a Secret holds is left out.
func render(v *reconcile.View, t target, o *object.Object) map[string]any {
	tree := shallow(o.Content)
	tree["apiVersion"] = t.kind.APIVersion(t.version.Name)
	tree["kind"] = t.kind.Kind
	meta := shallow(asTree(tree["metadata"]))
	meta["name"] = o.Name
	if o.Namespace != "" {
		meta["namespace"] = o.Namespace
	}
	if o.Meta.Generation != 0 {
		meta["generation"] = o.Meta.Generation
	}
	tree["metadata"] = meta
	if t.kind.GroupKind == (object.GroupKind{Kind: "Secret"}) {
		delete(tree, "data")
		delete(tree, "stringData")
		notes := shallow(asTree(meta["annotations"]))
		if delete(notes, lastApplied); len(notes) == 0 {
			delete(meta, "annotations")
		} else {
			meta["annotations"] = notes
		}
	}
	if status := v.Statuses.Get(o.Key); status != nil {
		tree["status"] = status
	}
	return tree
}

func asTree(v any) map[string]any {
	tree, _ := v.(map[string]any) // nil is an empty tree
	return tree
}

// shallow copies one level, so that a shared tree can be changed there.
func shallow(tree map[string]any) map[string]any {
	c := make(map[string]any, len(tree)+1)
	maps.Copy(c, tree)
	return c
}
