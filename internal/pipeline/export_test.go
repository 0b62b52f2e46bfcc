// A directory as `kubectl get ... -o yaml` exports it from a cluster that another gateway served: testdata/export, written by hand to look so.

package pipeline

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/wicketgate/wicketgate/gateway"
	"github.com/wicketgate/wicketgate/object"
)

func TestExportedDirectoryLoads(t *testing.T) {
	files, err := filepath.Glob("testdata/export/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal("no files", err)
	}
	// One controller is ours: what a status has of another is not ours to change.
	s := newStand(t, gateway.Options{ControllerName: "istio.io/gateway-controller"})
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		s.write(t, filepath.Base(name), string(text))
	}
	out := s.load(t)
	ignored := map[string]int{}
	for _, p := range s.result.Problems {
		if p.Severity != object.Ignored {
			t.Errorf("%v", p)
		}
		kind, _, _ := strings.Cut(p.Message, " ")
		ignored[kind]++
	}
	for _, kind := range []string{
		"Deployment", "ReplicaSet", "Pod", "ServiceAccount", "Endpoints", "Node", "ValidatingAdmissionPolicy", "CertificateSigningRequest",
	} {
		if ignored[kind] != 1 {
			t.Errorf("%s is reported %d times, want once", kind, ignored[kind])
		}
	}
	for _, want := range []string{
		"PathPrefix        /cart -> HTTPRoute shop/cart rule 0: Service shop/cart:80",
	} {
		if !strings.Contains(out.routes, want) {
			t.Errorf("routes lack %q:\n%s", want, out.routes)
		}
	}
	checkExportedStatuses(t, s)
}

// checkExportedStatuses looks at what became of the statuses in the files.
func checkExportedStatuses(t *testing.T, s *stand) {
	t.Helper()
	key := func(k, namespace, name string) object.Key {
		return object.Key{Group: "gateway.networking.k8s.io", Kind: k, Namespace: namespace, Name: name}
	}
	parents := s.statuses.Get(key("HTTPRoute", "shop", "cart"))["parents"].([]any)
	if len(parents) != 2 {
		t.Fatalf("parents are %v", parents)
	}
	ours, theirs := parents[0].(map[string]any), parents[1].(map[string]any)
	if c := conditionOf(ours, "Accepted"); c == nil || c["message"] == "Route was valid" {
		t.Errorf("the entry of our own name was not written anew: %v", ours)
	}
	if theirs["controllerName"] != "example.com/other-controller" || conditionOf(theirs, "Accepted")["lastTransitionTime"] != "2025-12-01T00:00:00Z" {
		t.Errorf("the entry of another controller was changed: %v", theirs)
	}
	gw := s.statuses.Get(key("Gateway", "ingress", "public"))
	if c := conditionOf(gw, "example.com/LoadBalancerHealthy"); c == nil || c["reason"] != "Healthy" {
		t.Errorf("a condition that is not ours is gone: %v", gw["conditions"])
	}
	if c := conditionOf(gw, "Programmed"); c == nil || strings.Contains(c["message"].(string), "svc.cluster.local") {
		t.Errorf("Programmed is another controller's: %v", c)
	}
	if c := conditionOf(gw, "Accepted"); c["observedGeneration"] != int64(7) {
		t.Errorf("observedGeneration is %v, want that of the file", c["observedGeneration"])
	}
	if o := s.result.Objects.Get(key("Gateway", "ingress", "public")); o.Content["metadata"].(map[string]any)["managedFields"] != nil {
		t.Error("managedFields are kept")
	}
}

// conditionOf finds the condition of a type in a part of a status.
func conditionOf(part map[string]any, named string) map[string]any {
	list, _ := part["conditions"].([]any)
	for _, entry := range list {
		if c, ok := entry.(map[string]any); ok && c["type"] == named {
			return c
		}
	}
	return nil
}
