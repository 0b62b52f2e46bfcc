// Directories that are confined to namespaces: what may be found there, and what becomes of the rest.

package config

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/wicketgate/wicketgate/object"
)

func loadRoots(t *testing.T, roots ...Root) *Result {
	t.Helper()
	r, err := eager(Options{Roots: roots}).Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// problemsWith lists the problems whose text contains something.
func problemsWith(r *Result, text string) (list []object.Problem) {
	for _, p := range r.Problems {
		if strings.Contains(p.Message, text) {
			list = append(list, p)
		}
	}
	return list
}

func TestEveryKindIsConfined(t *testing.T) {
	for _, k := range Kinds() {
		for _, v := range k.Versions {
			for namespace, allowed := range map[string]bool{"team-a": k.Namespaced, "team-b": k.Namespaced, "team-c": false, "": false} {
				dir := t.TempDir()
				text := fmt.Sprintf("apiVersion: %s\nkind: %s\nmetadata: {name: x", k.APIVersion(v.Name), k.Kind)
				if namespace != "" && k.Namespaced {
					text += ", namespace: " + namespace
				}
				write(t, filepath.Join(dir, "x.yaml"), text+"}\n")
				r := loadRoots(t, Root{Path: dir, Namespaces: []string{"team-a", "team-b"}})
				refused := problemsWith(r, "may only hold objects of namespaces team-a, team-b")
				if (len(refused) > 0) == allowed {
					t.Errorf("%s in namespace %q: %v", k.APIVersion(v.Name)+" "+k.Kind, namespace, r.Problems)
				}
				if !allowed && r.Objects.Len() > 0 {
					t.Errorf("%s in namespace %q is in force", k.Kind, namespace)
				}
			}
		}
	}
}

func TestASingleNamespaceIsTheDefaultOne(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "x.yaml"), route("a", "/"))
	r := loadRoots(t, Root{Path: dir, Namespaces: []string{"shop"}})
	if keys := r.Objects.Keys(); len(keys) != 1 || keys[0].Namespace != "shop" || !r.Objects.Get(keys[0]).Confined {
		t.Errorf("in force: %v, %v", keys, r.Problems)
	}
	if r := loadRoots(t, Root{Path: dir}); r.Objects.Get(key("a")).Confined {
		t.Error("confined without namespaces")
	}
}

func TestAConfinedDirectoryTakesNothingFromOthers(t *testing.T) {
	dir := t.TempDir()
	shop, infra := filepath.Join(dir, "shop"), filepath.Join(dir, "infra")
	write(t, filepath.Join(infra, "a.yaml"), route("a", "/infra"))
	write(t, filepath.Join(shop, "a.yaml"), route("a", "/shop"))
	r := loadRoots(t, Root{Path: infra}, Root{Path: shop, Namespaces: []string{"default"}})
	if got := pathOf(t, r, "a"); got != "/infra" {
		t.Errorf("%s is in force", got)
	}
	twice := problemsWith(r, "is given at "+filepath.Join(infra, "a.yaml")+":2:1 already")
	if len(twice) != 1 || twice[0].Position.File != filepath.Join(shop, "a.yaml") {
		t.Errorf("problems: %v", r.Problems)
	}
}

func TestAWiderRootDoesNotFreeAConfinedOne(t *testing.T) {
	dir := t.TempDir()
	shop := filepath.Join(dir, "teams", "shop")
	write(t, filepath.Join(dir, "ns.yaml"), "apiVersion: v1\nkind: Namespace\nmetadata: {name: infra}\n")
	write(t, filepath.Join(shop, "ns.yaml"), "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop, labels: {trusted: \"yes\"}}\n")
	write(t, filepath.Join(shop, "only.yaml"), "apiVersion: v1\nkind: Namespace\nmetadata: {name: only}\n")
	confined := Root{Path: shop, Namespaces: []string{"shop"}}
	for name, roots := range map[string][]Root{
		"wider first":  {{Path: dir}, confined},
		"wider last":   {confined, {Path: dir}},
		"other names":  {{Path: dir + "/./"}, {Path: filepath.Join(dir, "teams") + "/../teams/shop", Namespaces: []string{"shop"}}},
		"a file alone": {{Path: dir}, confined, {Path: filepath.Join(shop, "only.yaml"), Namespaces: []string{"shop"}}},
	} {
		r := loadRoots(t, roots...)
		if keys := fmt.Sprint(r.Objects.Keys()); keys != "[Namespace infra]" {
			t.Errorf("%s: in force: %s", name, keys)
		}
		if n := len(problemsWith(r, "is cluster-scoped")); n != 2 {
			t.Errorf("%s: %v", name, r.Problems)
		}
	}
}
