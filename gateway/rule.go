// Rules of an HTTPRoute: which can be served, which answer with 500, and which cannot even be matched.
//
// A rule that asks for something that is not served fails closed: it stays in the graph with its matches and is Unusable, so that its
// requests are answered with 500, rather than falling to a less specific rule that does not protect them. A match that does not
// compile is left out; a rule without any match that compiles is left out as a whole.

package gateway

import (
	"strconv"
	"strings"
	"time"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// ruleSet is what making the rules of a route found out; every parentRef of the route shares it.
type ruleSet struct {
	served  int    // rules that are in force as written
	dropped faults // of rules that are not, under typeAccepted
	refs    faults // of backendRefs, under typeResolvedRefs
	sources []string
}

// newRules fills Route.Rules.
func (b *builder) newRules(r *Route) *ruleSet {
	set := &ruleSet{}
	rules := r.Spec.Spec.Rules
	if rules == nil {
		rules = []gatewayv1.HTTPRouteRule{{}} // the schema's default
	}
	for i := range rules {
		b.newRule(r, &rules[i], i, set)
	}
	return set
}

// newRule makes one rule, and appends it to the route if requests can match it.
func (b *builder) newRule(r *Route, spec *gatewayv1.HTTPRouteRule, index int, set *ruleSet) {
	rule := &Rule{Route: r, Spec: spec, Index: index}
	before := len(set.dropped)
	matches := checkMatches(rule, &set.dropped)
	checkFilters(rule, &set.dropped)
	checkExtras(rule, &set.dropped)
	b.newBackends(rule, set)
	b.newMirrors(rule, set)
	if len(set.dropped) > before {
		_, rule.Unusable = set.dropped[before:].summary(typeAccepted)
	} else {
		set.served++
		b.warnNoTraffic(rule)
		b.warnCORS(rule)
	}
	if len(matches) == 0 {
		return
	}
	if !sameMatches(matches, spec.Matches) {
		spec := *spec
		spec.Matches = matches
		rule.Spec = &spec
	}
	r.Rules = append(r.Rules, rule)
}

// sameMatches says whether matches are the very ones of the spec, so that it need not be copied.
func sameMatches(a, b []gatewayv1.HTTPRouteMatch) bool {
	return len(a) == len(b) && len(a) > 0 && &a[0] == &b[0]
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
	if r.Spec.Name != nil {
		named += " (" + string(*r.Spec.Name) + ")"
	}
	*f = append(*f, fault{typeAccepted, reason, r.field(path), "rule " + named + " " + path + ": ", message})
}

// checkExtras reads timeouts, and refuses what else of a rule is not served yet.
func checkExtras(rule *Rule, dropped *faults) {
	if t := rule.Spec.Timeouts; t != nil {
		rule.Timeouts.Request = checkDuration(rule, t.Request, "timeouts.request", dropped)
		rule.Timeouts.BackendRequest = checkDuration(rule, t.BackendRequest, "timeouts.backendRequest", dropped)
	}
	rule.Retry = checkRetry(rule, dropped)
	if rule.Spec.SessionPersistence != nil { //nolint:staticcheck // deprecated is not the same as gone
		rule.drop(dropped, reasonUnsupportedValue, "sessionPersistence", "sessionPersistence is not served yet: remove it")
	}
}

// Defaults of a retry stanza. That of attempts is the schema's; the base interval is left to implementations.
const (
	defaultAttempts = 1
	defaultBackoff  = 25 * time.Millisecond
)

// checkRetry reads the rule's retry stanza, nil if it has none. Every code that the schema admits (400 to 599) is served.
func checkRetry(rule *Rule, dropped *faults) *Retry {
	spec := rule.Spec.Retry
	if spec == nil {
		return nil
	}
	retry := &Retry{Attempts: deref(spec.Attempts, defaultAttempts), Backoff: defaultBackoff}
	if spec.Backoff != nil {
		retry.Backoff = checkDuration(rule, spec.Backoff, "retry.backoff", dropped)
	}
	for _, code := range spec.Codes {
		retry.Codes = append(retry.Codes, int(code))
	}
	return retry
}

// checkDuration reads a duration of GEP-2257, which is a part of what time.ParseDuration takes. "0s" means no limit.
func checkDuration(rule *Rule, d *gatewayv1.Duration, path string, dropped *faults) time.Duration {
	if d == nil {
		return 0
	}
	parsed, err := time.ParseDuration(string(*d))
	if err != nil || parsed < 0 {
		rule.drop(dropped, reasonUnsupportedValue, path, strconv.Quote(string(*d))+` is not a duration: write for example "10s" or "500ms"`)
		return 0
	}
	return parsed
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
