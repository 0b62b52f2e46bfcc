// Discovery: which groups, versions and kinds there are, as Kubernetes' clients ask before they do anything else.

package admin

import (
	"net/http"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/wicketgate/wicketgate/config"
)

// coreVersions answers /api.
func (a *api) coreVersions(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, metav1.APIVersions{
		Kind:     "APIVersions",
		Versions: []string{"v1"},
		// Clients outside of a cluster have found us already; the field must be there.
		ServerAddressByClientCIDRs: []metav1.ServerAddressByClientCIDR{},
	})
}

// groups answers /apis.
func (a *api) groups(w http.ResponseWriter, _ *http.Request) {
	list := metav1.APIGroupList{Kind: "APIGroupList", APIVersion: "v1", Groups: []metav1.APIGroup{}}
	for _, k := range config.Kinds() {
		n := len(list.Groups)
		if k.Group != "" && (n == 0 || list.Groups[n-1].Name != k.Group) { // kinds come ordered by group
			list.Groups = append(list.Groups, *describeGroup(k.Group))
		}
	}
	writeJSON(w, http.StatusOK, list)
}

// group answers /apis/GROUP.
func (a *api) group(w http.ResponseWriter, r *http.Request, name string) {
	g := describeGroup(name)
	if len(g.Versions) == 0 {
		writeStatus(w, notFoundPath(r.URL.Path))
		return
	}
	g.TypeMeta = metav1.TypeMeta{Kind: "APIGroup", APIVersion: "v1"}
	writeJSON(w, http.StatusOK, g)
}

// describeGroup lists a group's versions; the first kind to have one decides its place, and "v1" is preferred.
func describeGroup(name string) *metav1.APIGroup {
	g := &metav1.APIGroup{Name: name}
	seen := map[string]bool{}
	for _, k := range config.Kinds() {
		if k.Group != name {
			continue
		}
		for _, v := range k.Versions {
			if !seen[v.Name] {
				seen[v.Name] = true
				g.Versions = append(g.Versions, metav1.GroupVersionForDiscovery{GroupVersion: k.APIVersion(v.Name), Version: v.Name})
			}
		}
	}
	for i, v := range g.Versions {
		if i == 0 || v.Version == "v1" {
			g.PreferredVersion = v
		}
	}
	return g
}

// resources answers /api/v1 and /apis/GROUP/VERSION.
func (a *api) resources(w http.ResponseWriter, r *http.Request, group, version string) {
	list := metav1.APIResourceList{Kind: "APIResourceList", APIVersion: "v1"}
	for _, k := range config.Kinds() {
		if k.Group != group || k.Version(version) == nil {
			continue
		}
		list.GroupVersion = k.APIVersion(version)
		list.APIResources = append(list.APIResources, metav1.APIResource{
			Name: k.Plural, SingularName: k.Singular, Namespaced: k.Namespaced, Kind: k.Kind,
			Verbs: metav1.Verbs{"get", "list"}, ShortNames: k.ShortNames,
		}, metav1.APIResource{Name: k.Plural + "/status", Namespaced: k.Namespaced, Kind: k.Kind, Verbs: metav1.Verbs{"get"}})
	}
	if list.GroupVersion == "" {
		writeStatus(w, notFoundPath(r.URL.Path))
		return
	}
	writeJSON(w, http.StatusOK, list)
}
