// Discovery: which groups, versions and resources there are.

package apiserver

import (
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// verbs are what every resource supports.
var verbs = metav1.Verbs{"get", "list", "create", "update", "patch", "delete"}

// discover answers a discovery path, or returns nil if the path is none.
func (s *Server) discover(path string) any {
	names, versions := groups(s.resources)
	switch path {
	case "/api":
		return metav1.APIVersions{Kind: "APIVersions", APIVersion: "v1", Versions: versions[""]}
	case "/apis":
		list := metav1.APIGroupList{Kind: "APIGroupList", APIVersion: "v1"}
		for _, g := range names {
			if g != "" {
				list.Groups = append(list.Groups, group(g, versions[g]))
			}
		}
		return list
	}
	p := strings.Split(strings.TrimPrefix(path, "/"), "/")
	switch {
	case len(p) == 2 && p[0] == "api" && slices.Contains(versions[""], p[1]):
		return s.resourceList("", p[1])
	case len(p) == 2 && p[0] == "apis" && versions[p[1]] != nil:
		g := group(p[1], versions[p[1]])
		g.TypeMeta = metav1.TypeMeta{Kind: "APIGroup", APIVersion: "v1"}
		return g
	case len(p) == 3 && p[0] == "apis" && slices.Contains(versions[p[1]], p[2]):
		return s.resourceList(p[1], p[2])
	}
	return nil
}

func group(name string, versions []string) metav1.APIGroup {
	g := metav1.APIGroup{Name: name}
	for _, v := range versions {
		g.Versions = append(g.Versions, metav1.GroupVersionForDiscovery{GroupVersion: name + "/" + v, Version: v})
	}
	g.PreferredVersion = g.Versions[0]
	return g
}

func (s *Server) resourceList(group, version string) metav1.APIResourceList {
	list := metav1.APIResourceList{
		Kind: "APIResourceList", APIVersion: "v1",
		GroupVersion: apiVersion(group, version),
	}
	for _, r := range s.resources {
		if r.Group != group || !slices.Contains(r.Versions, version) {
			continue
		}
		one := metav1.APIResource{Name: r.Plural, SingularName: strings.ToLower(r.Kind), Namespaced: r.Namespaced, Kind: r.Kind, Verbs: verbs}
		list.APIResources = append(list.APIResources, one)
		if r.Status {
			one.Name += "/status"
			one.Verbs = metav1.Verbs{"get", "patch", "update"}
			list.APIResources = append(list.APIResources, one)
		}
	}
	return list
}
