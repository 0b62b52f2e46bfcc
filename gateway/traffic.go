// XBackendTrafficPolicies: sessions with a Service, and a budget for retries of requests to it (GEP-3388). Of several policies for a Service the first
// by precedence is in force.

package gateway

import (
	"slices"
	"strconv"
	"time"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
	xv1alpha1 "sigs.k8s.io/gateway-api/apisx/v1alpha1"

	"github.com/wicketgate/wicketgate/object"
)

// RetryBudget bounds the retries of requests to a backend, whichever rules they come from. It is immutable.
type RetryBudget struct {
	// Percent of all requests within Interval may be retries.
	Percent  int
	Interval time.Duration
	// So many within MinInterval are allowed whatever the share is.
	MinCount    int
	MinInterval time.Duration
}

// traffic is an XBackendTrafficPolicy.
type traffic struct {
	object  *object.Object
	faults  faults
	targets []object.Key
	session *Session
	budget  *RetryBudget
}

// The schema's defaults.
const (
	defaultBudgetPercent  = 20
	defaultBudgetInterval = 10 * time.Second
	defaultMinRetries     = 10
	defaultMinInterval    = time.Second
)

// readTrafficPolicies reads the policies, and decides which is in force for which Service. Routes are built after.
func (b *builder) readTrafficPolicies() {
	for _, o := range byAge[*xv1alpha1.XBackendTrafficPolicy](b, "XBackendTrafficPolicy") {
		p := &traffic{object: o.object}
		b.traffic = append(b.traffic, p)
		spec := &o.value.Spec
		if spec.SessionPersistence != nil { //nolint:staticcheck // deprecated is not the same as gone
			p.session = newSession(spec.SessionPersistence, o.object.Key.String(), func(path, message string) { //nolint:staticcheck // as above
				p.faults.add(typeAccepted, reasonInvalid, "spec.sessionPersistence."+path, message)
			})
		}
		if spec.RetryConstraint != nil {
			p.budget = p.readBudget(spec.RetryConstraint)
		}
		for i, ref := range spec.TargetRefs {
			field := "spec.targetRefs[" + strconv.Itoa(i) + "]"
			target := keyOf(kind(string(ref.Group), string(ref.Kind)), o.object.Namespace, string(ref.Name))
			if target.GroupKind != coreKind("Service") {
				p.faults.add(typeAccepted, reasonInvalid, field, target.String()+kindGroup(string(ref.Group))+" cannot be the target of the policy: refer to a Service")
				continue
			}
			p.targets = append(p.targets, target)
			if first := b.backends.traffic[target]; first != nil {
				p.faults.add(typeAccepted, reasonConflicted, field, first.object.Key.String()+" takes precedence for "+target.String())
				continue
			}
			b.backends.traffic[target] = p
			if b.set.Get(target) == nil && !b.opts.DNSBackends {
				p.faults.add(typeAccepted, string(gatewayv1.PolicyReasonTargetNotFound), field, target.String()+" is not defined"+b.hint(target))
			}
		}
		if slices.ContainsFunc(p.faults, func(f fault) bool { return f.reason == reasonInvalid }) {
			p.session, p.budget = nil, nil // its author meant something else
		}
	}
}

// readBudget reads a retryConstraint.
func (p *traffic) readBudget(spec *xv1alpha1.RetryConstraint) *RetryBudget {
	const field = "spec.retryConstraint"
	out := &RetryBudget{Percent: defaultBudgetPercent, Interval: defaultBudgetInterval, MinCount: defaultMinRetries, MinInterval: defaultMinInterval}
	interval := func(d *xv1alpha1.Duration, into *time.Duration, path string) {
		if d == nil {
			return
		}
		parsed, err := time.ParseDuration(string(*d))
		if err != nil || parsed <= 0 {
			p.faults.add(typeAccepted, reasonInvalid, field+path, strconv.Quote(string(*d))+` is not a duration of more than 0: write for example "10s"`)
			return
		}
		*into = parsed
	}
	if budget := spec.Budget; budget != nil {
		out.Percent = deref(budget.Percent, out.Percent)
		interval(budget.Interval, &out.Interval, ".budget.interval")
	}
	if least := spec.MinRetryRate; least != nil {
		out.MinCount = deref(least.Count, out.MinCount)
		interval(least.Interval, &out.MinInterval, ".minRetryRate.interval")
	}
	return out
}

// applyTraffic gives a target what the policy for its Service says.
func (b *builder) applyTraffic(t *Target, service object.Key) {
	if p := b.backends.traffic[service]; p != nil {
		t.Session, t.Budget = p.session, p.budget
	}
}

// concludeTrafficPolicies gives the policies their status, at each Gateway with a route that leads to their Services.
func (b *builder) concludeTrafficPolicies() {
	for _, p := range b.traffic {
		b.conclude(p.object, p.faults, p.targets, "The policy is accepted")
	}
}
