// Tests of what holds for every Gateway with ListenerSets: a later set changes nothing for those before it.

package gateway

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wicketgate/wicketgate/object"
)

const listenerSetYAML = `
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: same-name}
spec:
  gatewayClassName: any
  allowedListeners: {namespaces: {from: Same}}
  listeners: [{name: http, port: 80, protocol: HTTP, hostname: gw.example}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: ListenerSet
metadata: {name: same-name, generation: 5}
spec:
  parentRef: {name: same-name}
  listeners: [{name: http, port: 80, protocol: HTTP, hostname: set.example}]
status:
  conditions:
  - {type: example.net/Audited, status: "True", reason: Fine, message: by hand, lastTransitionTime: "2020-01-01T00:00:00Z", observedGeneration: 1}
  - {type: Accepted, status: Unknown, reason: Pending, message: Waiting for controller, lastTransitionTime: "1970-01-01T00:00:00Z"}
  listeners:
  - name: http
    conditions:
    - {type: example.net/Checked, status: "True", reason: Fine, message: by hand, lastTransitionTime: "2020-01-01T00:00:00Z", observedGeneration: 1}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: r}
spec:
  parentRefs: [{name: same-name}, {kind: ListenerSet, name: same-name}]
  hostnames: [set.example]
`

func listenerSetKey(named string) object.Key {
	return keyOf(gatewayKind("ListenerSet"), "default", named)
}

func TestListenerSetStatus(t *testing.T) {
	s := Statuses(build(t, listenerSetYAML), Bound{}, nil, testTime)
	if got := s.Get(gatewayKey("same-name"))["attachedListenerSets"]; got != int64(1) {
		t.Errorf("attachedListenerSets is %v, want 1", got)
	}
	tree := s.Get(listenerSetKey("same-name"))
	listener := tree["listeners"].([]any)[0]
	for _, c := range []map[string]any{
		conditionOf(t, tree, "Accepted"), conditionOf(t, tree, "Programmed"), conditionOf(t, listener, "Conflicted"), conditionOf(t, listener, "Programmed"),
	} {
		if c["observedGeneration"] != int64(5) || c["lastTransitionTime"] != testTime.Format(time.RFC3339) {
			t.Errorf("the condition was not written anew: %v", c)
		}
	}
	// What others wrote into the file stays.
	for _, c := range []map[string]any{conditionOf(t, tree, "example.net/Audited"), conditionOf(t, listener, "example.net/Checked")} {
		if c["observedGeneration"] != int64(1) {
			t.Errorf("the foreign condition became %v", c)
		}
	}
}

// A Gateway and a ListenerSet of one name are two parents, and their conditions have times of their own.
func TestParentsOfOneNameAreToldApart(t *testing.T) {
	first := Statuses(build(t, listenerSetYAML), Bound{}, nil, testTime)
	matching := strings.Replace(listenerSetYAML, "hostnames: [set.example]", "hostnames: [set.example, gw.example]", 1)
	second := Statuses(build(t, matching), Bound{}, first, testTime.Add(time.Hour))
	for i, want := range []struct {
		before, after string
		since         time.Time
	}{{"False", "True", testTime.Add(time.Hour)}, {"True", "True", testTime}} {
		before, after := conditionOf(t, parentOf(t, first, "r", i), "Accepted"), conditionOf(t, parentOf(t, second, "r", i), "Accepted")
		if before["status"] != want.before || after["status"] != want.after || after["lastTransitionTime"] != want.since.Format(time.RFC3339) {
			t.Errorf("parent %d: from %v to %v, want %+v", i, before, after, want)
		}
	}
}

func TestListenersKnowTheirObject(t *testing.T) {
	g := build(t, listenerSetYAML)
	for _, l := range g.Sockets[0].Listeners {
		want := "Gateway"
		if l.Hostname == "set.example" {
			want = "ListenerSet"
		}
		if got := l.Object().Kind; got != want {
			t.Errorf("listener %q is of a %s, want a %s", l.Hostname, got, want)
		}
	}
}

// Whatever a ListenerSet asks for, those that come before it and their Gateway serve what they served without it. Listeners that are in force
// on one socket are always distinct.
func TestALaterListenerSetTakesNothingFromOthers(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	for range 300 {
		docs := []string{randomListeners(random, "Gateway", 0, 4)}
		for i := range 1 + random.IntN(4) {
			docs = append(docs, randomListeners(random, "ListenerSet", i+1, 4))
		}
		text := strings.Join(docs, "\n---\n")
		all := build(t, text)
		without := build(t, strings.Join(docs[:len(docs)-1], "\n---\n"))
		if got, want := outcomes(all), outcomes(without); !reflect.DeepEqual(got[:len(want)], want) {
			t.Fatalf("the last ListenerSet changes\n%v\nto\n%v\n%s", want, got, text)
		}
		for _, s := range all.Sockets {
			seen := map[string]bool{}
			for _, l := range s.Listeners {
				if seen[l.Hostname] || s.Protocol != family(l.Protocol) || l.Set == nil && l.Gateway.Listeners[l.Index] != l {
					t.Fatalf("%s does not belong on %v\n%s", l, s.Bind, text)
				}
				seen[l.Hostname] = true
			}
		}
	}
}

// randomListeners is a Gateway or ListenerSet with few ports, protocols and hostnames, so that most of them clash.
func randomListeners(random *rand.Rand, k string, index, most int) string {
	parent := "parentRef: {name: o0}"
	if k == "Gateway" {
		parent = "gatewayClassName: any\n  allowedListeners: {namespaces: {from: All}}"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "apiVersion: gateway.networking.k8s.io/v1\nkind: %s\nmetadata: {name: o%d}\nspec:\n  %s\n  listeners:\n", k, index, parent)
	pick := func(of ...string) string { return of[random.IntN(len(of))] }
	for i := range 1 + random.IntN(most) {
		protocol, tls := pick("HTTP", "HTTP", "HTTPS", "TCP", "UDP", "TLS"), ""
		if protocol == "HTTPS" {
			tls = ", tls: {certificateRefs: [{name: cert}]}"
		}
		fmt.Fprintf(&b, "  - {name: l%d, port: %s, protocol: %s, hostname: %s%s}\n", i, pick("80", "81"), protocol, pick(`""`, "a.example", `"*.example"`), tls)
	}
	if k == "Gateway" {
		b.WriteString("---\napiVersion: v1\nkind: Secret\nmetadata: {name: cert, annotations: {certificate: a.example}}\n")
	}
	return b.String()
}

// outcomes says of every listener, by precedence, whether it carries traffic and what its conditions are.
func outcomes(g *Graph) []string {
	var list []string
	for l := range g.Gateways[0].all() {
		own := slices.DeleteFunc(slices.Clone(l.Conditions), func(c Condition) bool { return c.Type == typeOverlapping })
		list = append(list, fmt.Sprint(l, l.Usable, own))
	}
	return list
}
