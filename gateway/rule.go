// Rules of routes: which can be served, which answer with 500, and which cannot even be matched. What only HTTPRoutes or GRPCRoutes have is in
// rule_http.go and rule_grpc.go.
//
// A rule that asks for something that is not served fails closed: it stays in the graph with its matches and is Unusable, so that its
// requests are answered with 500, rather than falling to a less specific rule that does not protect them. A match that does not
// compile is left out; a rule without any match that compiles is left out as a whole.

package gateway

import (
	"strconv"
	"strings"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/wicketgate/wicketgate/object"
)

// ruleSet is what making the rules of a route found out; every parentRef of the route shares it.
type ruleSet struct {
	served  int    // rules that are in force as written
	dropped faults // of rules that are not, under typeAccepted
	refs    faults // of backendRefs, under typeResolvedRefs
	sources []string
	message string           // of ResolvedRefs=True
	uses    []object.Key     // the backends that the rules refer to, each once
	told    []object.Problem // of the rules
}

// newRules fills Route.Rules.
func (b *builder) newRules(r *Route) *ruleSet {
	set := &ruleSet{}
	switch v := r.Object.Value.(type) {
	case *gatewayv1.HTTPRoute:
		rules := v.Spec.Rules
		if rules == nil {
			rules = []gatewayv1.HTTPRouteRule{{}} // the schema's default
		}
		for i := range rules {
			b.newHTTPRule(r, &rules[i], i, set)
		}
	case *gatewayv1.GRPCRoute:
		for i := range v.Spec.Rules {
			b.newGRPCRule(r, &v.Spec.Rules[i], i, set)
		}
	case *gatewayv1.TLSRoute:
		for i := range v.Spec.Rules {
			b.newStreamRule(r, v.Spec.Rules[i].Name, v.Spec.Rules[i].BackendRefs, i, set)
		}
	case *gatewayv1.TCPRoute:
		for i := range v.Spec.Rules {
			b.newStreamRule(r, v.Spec.Rules[i].Name, v.Spec.Rules[i].BackendRefs, i, set)
		}
	case *gatewayv1.UDPRoute:
		for i := range v.Spec.Rules {
			b.newStreamRule(r, v.Spec.Rules[i].Name, v.Spec.Rules[i].BackendRefs, i, set)
		}
	}
	return set
}

// newRule makes a rule with its name and without anything else.
func newRule(r *Route, named *gatewayv1.SectionName, index int) *Rule {
	return &Rule{Object: r.Object, Index: index, Name: string(deref(named, ""))}
}

// newStreamRule makes the rule of a TLSRoute, TCPRoute or UDPRoute: it matches all that the listener and the hostnames leave. Versions v1alpha2
// admit more than one, of which the first leaves nothing to the others.
func (b *builder) newStreamRule(r *Route, named *gatewayv1.SectionName, refs []gatewayv1.BackendRef, index int, set *ruleSet) {
	rule := newRule(r, named, index)
	for i := range refs {
		rule.Backends = append(rule.Backends, newBackend(&refs[i], nil))
	}
	b.resolveBackends(rule, set)
	set.served++
	if index > 0 {
		b.warn(r.Object, rule.field(""), "the rule is never reached, because the first one matches everything: remove it, or put its backendRefs there")
		return
	}
	b.warnNoTraffic(rule)
	r.Rules = append(r.Rules, rule)
}

// settle decides whether a rule is served as written, once everything of it was looked at; dropped are the faults that this brought up.
func (b *builder) settle(rule *Rule, dropped faults, set *ruleSet) {
	if len(dropped) > 0 {
		_, rule.Unusable = dropped.summary(typeAccepted)
		return
	}
	set.served++
	b.warnNoTraffic(rule)
	b.warnCORS(rule)
}

// field is the path of one of the rule's fields in its route.
func (r *Rule) field(path string) string {
	field := "spec.rules[" + strconv.Itoa(r.Index) + "]"
	if path == "" {
		return field
	}
	return field + "." + path
}

// drop records why the rule is not in force as written.
func (r *Rule) drop(f *faults, reason, path, message string) {
	named := strconv.Itoa(r.Index)
	if r.Name != "" {
		named += " (" + r.Name + ")"
	}
	*f = append(*f, fault{typeAccepted, reason, r.field(path), "rule " + named + " " + path + ": ", message})
}

// maxSources bounds how many backends the ResolvedRefs message lists.
const maxSources = 16

// resolved is the message of ResolvedRefs=True: where the endpoints of each backend come from.
func (s *ruleSet) resolved() string {
	switch n := len(s.sources); {
	case n == 0:
		return "The route has no backends to resolve"
	case n > maxSources:
		return "All references are resolved: " + strings.Join(s.sources[:maxSources], ", ") + " and " + strconv.Itoa(n-maxSources) + " more"
	}
	return "All references are resolved: " + strings.Join(s.sources, ", ")
}
