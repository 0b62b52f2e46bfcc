// The status of ListenerSets: their own listeners alone, and whether these can be reached.

package gateway

import (
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// listenerSet writes the status of a ListenerSet. One that its Gateway does not admit has no listeners there that could have a status.
func (p *projection) listenerSet(s *ListenerSet) {
	w := p.writer(s.Object)
	file := fileStatus(s.Object)
	conditions := append(slices.Clone(s.Conditions), p.listenerSetProgrammed(s))
	tree := map[string]any{"conditions": w.conditions("", conditions, foreignConditions(file))}
	if len(s.Listeners) > 0 {
		listeners := make([]any, 0, len(s.Listeners))
		for _, l := range s.Listeners {
			listeners = append(listeners, p.listener(w, l, fileListener(file, l.Name)))
		}
		tree["listeners"] = listeners
	}
	p.add(w, tree)
}

// listenerSetProgrammed sums up the listeners: every one that is valid must be bound.
func (p *projection) listenerSetProgrammed(s *ListenerSet) Condition {
	switch accepted := s.Conditions[0]; {
	case accepted.Status == metav1.ConditionTrue:
	case accepted.Reason == reasonParentNotAccepted:
		return notProgrammed(reasonParentNotProgrammed, accepted.Message)
	default:
		return notProgrammed(accepted.Reason, accepted.Message)
	}
	if _, message := s.Gateway.faults.summary(typeProgrammed); message != "" {
		return notProgrammed(reasonParentNotProgrammed, s.Gateway.Object.Key.String()+" has no usable address: "+message)
	}
	var errs []error
	for _, l := range s.Listeners {
		errs = append(errs, p.failures(l)...)
	}
	if len(errs) > 0 {
		return notProgrammed(reasonPortUnavailable, joinErrors(errs))
	}
	return programmed("The ListenerSet is ready")
}
