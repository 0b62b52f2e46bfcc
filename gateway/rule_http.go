// Rules of HTTPRoutes: timeouts, retries, and what else only they have.

package gateway

import (
	"strconv"
	"time"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// newHTTPRule makes one rule of an HTTPRoute, and appends it to the route if requests can match it.
func (b *builder) newHTTPRule(r *Route, spec *gatewayv1.HTTPRouteRule, index int, set *ruleSet) {
	rule := newRule(r, spec.Name, index)
	rule.Filters = spec.Filters
	for i := range spec.BackendRefs {
		rule.Backends = append(rule.Backends, newBackend(&spec.BackendRefs[i].BackendRef, spec.BackendRefs[i].Filters))
	}
	before := len(set.dropped)
	rule.Matches = checkMatches(rule, spec.Matches, &set.dropped)
	checkFilters(rule, spec.Matches, &set.dropped)
	checkExtras(rule, spec, &set.dropped)
	b.resolveBackends(rule, set)
	b.newMirrors(rule, set)
	b.newAuth(rule, set)
	b.settle(rule, set.dropped[before:], set)
	if len(rule.Matches) > 0 {
		r.Rules = append(r.Rules, rule)
	}
}

// checkExtras reads timeouts, retries and sessions.
func checkExtras(rule *Rule, spec *gatewayv1.HTTPRouteRule, dropped *faults) {
	if t := spec.Timeouts; t != nil {
		rule.Timeouts.Request = checkDuration(rule, t.Request, "timeouts.request", dropped)
		rule.Timeouts.BackendRequest = checkDuration(rule, t.BackendRequest, "timeouts.backendRequest", dropped)
	}
	rule.Retry = checkRetry(rule, spec.Retry, dropped)
	rule.Session = checkSession(rule, spec.SessionPersistence, dropped) //nolint:staticcheck // deprecated is not the same as gone
}

// Defaults of a retry stanza. That of attempts is the schema's; the base interval is left to implementations.
const (
	defaultAttempts = 1
	defaultBackoff  = 25 * time.Millisecond
)

// checkRetry reads the rule's retry stanza, nil if it has none. Every code that the schema admits (400 to 599) is served.
func checkRetry(rule *Rule, spec *gatewayv1.HTTPRouteRetry, dropped *faults) *Retry {
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
