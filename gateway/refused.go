// What admission has refused and may not be taken for absent (object.Refused): nothing goes the way that such an object may have been there to
// close. An earlier version that is still in force is in the Set as any object is, and nothing of this applies.
//
//	BackendTLSPolicy  its Services get no plaintext
//	Service           its name is not looked up instead; it might say that TLS is spoken
//	EndpointSlice     the Service's name is not looked up instead
//	Namespace         selectors that look at more than its name do not match it
//	GatewayClass      its Gateways are not served where only those of one controller are
//
// Of other kinds the absence is safe: what a Gateway, a listener, a Backend, a ReferenceGrant, a Secret or a ConfigMap would allow is not allowed.

package gateway

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/wicketgate/wicketgate/object"
)

// refusedMessage goes behind the name of an object.
const refusedMessage = " was refused and no earlier version of it is known (see what is wrong with its file)"

// refusals are what a Set says about refused objects, by what they are about.
type refusals struct {
	policies map[object.Key][]refusedPolicy // by target
	slices   map[name]string                // by Service: what is to be told
}

type refusedPolicy struct {
	policy  object.Key
	section string
}

func indexRefusals(set *object.Set) refusals {
	r := refusals{policies: map[object.Key][]refusedPolicy{}, slices: map[name]string{}}
	for _, p := range set.Refused(gatewayKind("BackendTLSPolicy")) {
		for _, t := range p.Targets {
			at := object.Key{GroupKind: t.GroupKind, Namespace: p.Namespace, Name: t.Name}
			r.policies[at] = append(r.policies[at], refusedPolicy{p.Key, t.Section})
		}
	}
	for _, s := range set.Refused(sliceKind()) {
		for _, t := range s.Targets {
			r.slices[name{s.Namespace, t.Name}] = s.Key.String() + refusedMessage
		}
	}
	return r
}

// plaintext says why nothing is sent in plaintext to a port that no policy in force is for, or "". A sectionName that is no port of the Service may
// mean any of them. port and service are nil where the target is no Service that is defined.
func (r *refusals) plaintext(target object.Key, port *corev1.ServicePort, service *corev1.Service) string {
	for _, p := range r.policies[target] {
		if p.section == "" || port == nil || service == nil || p.section == port.Name || !hasPort(service, p.section) {
			return p.policy.String() + refusedMessage + ", and requests are not sent without TLS"
		}
	}
	return ""
}

// onlyByName reports whether a selector looks at nothing but the names of namespaces.
func onlyByName(s labels.Selector) bool {
	requirements, _ := s.Requirements()
	for _, r := range requirements {
		if r.Key() != nameLabel {
			return false
		}
	}
	return true
}
