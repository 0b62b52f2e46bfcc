// Tests of what is common to all statuses: times, generations, foreign entries, order.

package gateway

import (
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/wicketgate/wicketgate/object"
)

const plainYAML = `
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: gw, generation: 3}
spec:
  gatewayClassName: any
  listeners: [{name: http, port: 80, protocol: HTTP}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: r, generation: 7}
spec:
  parentRefs: [{name: gw}]
  rules: [{backendRefs: [{name: app, port: 80}]}]
`

func gatewayKey(named string) object.Key { return keyOf(gatewayKind("Gateway"), "default", named) }
func routeKey(named string) object.Key   { return keyOf(gatewayKind("HTTPRoute"), "default", named) }

// conditionOf finds a condition in the tree of a status or a part of it.
func conditionOf(t *testing.T, part any, named string) map[string]any {
	t.Helper()
	for _, c := range part.(map[string]any)["conditions"].([]any) {
		if tree := c.(map[string]any); tree["type"] == named {
			return tree
		}
	}
	t.Fatalf("no condition %s in %v", named, part)
	return nil
}

func parentOf(t *testing.T, s *StatusSet, named string, index int) map[string]any {
	t.Helper()
	parents := s.Get(routeKey(named))["parents"].([]any)
	if index >= len(parents) {
		t.Fatalf("%d parents: %v", len(parents), parents)
	}
	return parents[index].(map[string]any)
}

func TestConditionsKeepTheTimeOfTheirLastTransition(t *testing.T) {
	first := Statuses(build(t, plainYAML), Bound{}, nil, testTime)
	// The route still is accepted, though its message may differ; references no longer resolve.
	broken := build(t, plainYAML+`
---
apiVersion: v1
kind: Service
metadata: {name: app}
spec: {type: ExternalName, externalName: example.org}
`)
	later := testTime.Add(time.Hour)
	second := Statuses(broken, Bound{}, first, later)
	third := Statuses(broken, Bound{}, second, later.Add(time.Hour))
	for _, s := range []struct {
		set            *StatusSet
		accepted, refs time.Time
	}{{first, testTime, testTime}, {second, testTime, later}, {third, testTime, later}} {
		parent := parentOf(t, s.set, "r", 0)
		if got, want := conditionOf(t, parent, "Accepted")["lastTransitionTime"], s.accepted.Format(time.RFC3339); got != want {
			t.Errorf("Accepted since %v, want %v", got, want)
		}
		if got, want := conditionOf(t, parent, "ResolvedRefs")["lastTransitionTime"], s.refs.Format(time.RFC3339); got != want {
			t.Errorf("ResolvedRefs since %v, want %v", got, want)
		}
	}
}

func TestStatusesAreEqualForEqualInputs(t *testing.T) {
	first := Statuses(build(t, plainYAML), Bound{}, nil, testTime)
	again := Statuses(build(t, plainYAML), Bound{}, first, testTime.Add(time.Hour))
	for _, k := range keysOf(first) {
		if !reflect.DeepEqual(first.Get(k), again.Get(k)) {
			t.Errorf("%s changed from\n%v to\n%v", k, first.Get(k), again.Get(k))
		}
	}
	if !slices.IsSortedFunc(keysOf(first), object.Key.Compare) {
		t.Errorf("keys are not in order: %v", keysOf(first))
	}
}

func TestObservedGenerationIsTheObjects(t *testing.T) {
	s := Statuses(build(t, plainYAML), Bound{}, nil, testTime)
	listener := s.Get(gatewayKey("gw"))["listeners"].([]any)[0]
	for _, c := range []map[string]any{
		conditionOf(t, s.Get(gatewayKey("gw")), "Accepted"), conditionOf(t, s.Get(gatewayKey("gw")), "Programmed"), conditionOf(t, listener, "Programmed"),
	} {
		if c["observedGeneration"] != int64(3) {
			t.Errorf("observedGeneration is %v, want 3", c["observedGeneration"])
		}
	}
	if got := conditionOf(t, parentOf(t, s, "r", 0), "Accepted")["observedGeneration"]; got != int64(7) {
		t.Errorf("observedGeneration of the route is %v, want 7", got)
	}
	if got := s.Generation(routeKey("r")); got != 7 {
		t.Errorf("Generation is %d, want 7", got)
	}
}

func TestParentRefsHaveGroupAndKind(t *testing.T) {
	parent := parentOf(t, Statuses(build(t, plainYAML), Bound{}, nil, testTime), "r", 0)
	want := map[string]any{"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "gw"}
	if !reflect.DeepEqual(parent["parentRef"], want) {
		t.Errorf("parentRef is %v, want %v", parent["parentRef"], want)
	}
}

// What other controllers and tools wrote into a file's status is returned as it is; what looks like ours is written anew.
func TestForeignStatusIsReturnedUntouched(t *testing.T) {
	text := `
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: gw, generation: 2}
spec:
  gatewayClassName: any
  listeners: [{name: http, port: 80, protocol: HTTP}]
status:
  conditions:
  - {type: example.net/Audited, status: "True", reason: Fine, message: by hand, lastTransitionTime: "2020-01-01T00:00:00Z", observedGeneration: 1}
  - {type: Accepted, status: "False", reason: Old, message: old, lastTransitionTime: "2020-01-01T00:00:00Z", observedGeneration: 1}
  listeners:
  - name: http
    attachedRoutes: 99
    conditions:
    - {type: example.net/Checked, status: "Unknown", reason: New, message: "", lastTransitionTime: "2020-01-01T00:00:00Z", observedGeneration: 1}
  - name: gone
    conditions: []
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: r}
spec:
  parentRefs: [{name: gw}]
  rules: [{backendRefs: [{name: app, port: 80}]}]
status:
  parents:
  - controllerName: example.net/other
    parentRef: {name: elsewhere}
    conditions: [{type: Accepted, status: "True", reason: Accepted, message: "", lastTransitionTime: "2020-01-01T00:00:00Z"}]
  - controllerName: wicketgate.dev/gateway-controller
    parentRef: {name: no-longer}
    conditions: []
`
	g := build(t, text)
	s := Statuses(g, Bound{}, nil, testTime)
	fileGateway := fileStatus(g.Objects.Get(gatewayKey("gw")))
	tree := s.Get(gatewayKey("gw"))
	if got := conditionOf(t, tree, "example.net/Audited"); !reflect.DeepEqual(got, conditionOf(t, fileGateway, "example.net/Audited")) {
		t.Errorf("the foreign condition became %v", got)
	}
	if got := conditionOf(t, tree, "Accepted"); got["status"] != "True" || got["observedGeneration"] != int64(2) {
		t.Errorf("our condition was not written anew: %v", got)
	}
	listeners := tree["listeners"].([]any)
	if len(listeners) != 1 || listeners[0].(map[string]any)["attachedRoutes"] != int64(1) {
		t.Fatalf("listeners are %v", listeners)
	}
	if got := conditionOf(t, listeners[0], "example.net/Checked"); got["status"] != "Unknown" || got["observedGeneration"] != int64(1) {
		t.Errorf("the foreign condition of the listener became %v", got)
	}
	fileRoute := fileStatus(g.Objects.Get(routeKey("r")))
	parents := s.Get(routeKey("r"))["parents"].([]any)
	if len(parents) != 2 || !reflect.DeepEqual(parents[1], fileRoute["parents"].([]any)[0]) {
		t.Errorf("parents are %v, want ours and then the foreign one", parents)
	}
}

func TestInterfacesAreReportedForAGatewayOnAllOfThem(t *testing.T) {
	g := build(t, plainYAML)
	s := Statuses(g, Bound{Interfaces: addrs("192.0.2.7", "2001:db8::7")}, nil, testTime)
	want := []any{
		map[string]any{"routability": "", "type": "IPAddress", "value": "192.0.2.7"},
		map[string]any{"routability": "", "type": "IPAddress", "value": "2001:db8::7"},
	}
	if got := s.Get(gatewayKey("gw"))["addresses"]; !reflect.DeepEqual(got, want) {
		t.Errorf("addresses are %v, want %v", got, want)
	}
}

func TestClassStatusListsFeaturesInOrder(t *testing.T) {
	g := build(t, `
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: c}
spec: {controllerName: wicketgate.dev/gateway-controller}
`)
	tree := Statuses(g, Bound{}, nil, testTime).Get(keyOf(gatewayKind("GatewayClass"), "", "c"))
	var names []string
	for _, f := range tree["supportedFeatures"].([]any) {
		names = append(names, f.(map[string]any)["name"].(string))
	}
	if !slices.IsSorted(names) || !slices.Contains(names, "HTTPRoute") || slices.Contains(names, "Mesh") {
		t.Errorf("features are %v", names)
	}
}

// A nil StatusSet is the one before the first.
func TestNilStatusSetIsEmpty(t *testing.T) {
	var s *StatusSet
	if s.Get(routeKey("r")) != nil || s.Generation(routeKey("r")) != 0 || len(keysOf(s)) != 0 {
		t.Error("a nil StatusSet holds something")
	}
}

func keysOf(s *StatusSet) (list []object.Key) {
	for k := range s.All() {
		list = append(list, k)
	}
	return list
}
