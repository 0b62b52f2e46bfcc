// BackendTLSPolicies (GEP-1897): which one is in force for a port of a Service, and what it demands of the connection.
//
// A policy is read once. For each Service and sectionName that policies target, the first by precedence (older, then namespace/name) is in
// force and the others are Conflicted; a port of a Service follows the policy for its name, and without one the policy for the whole
// Service. Nothing is ever sent in plaintext to what a policy targets: a policy that is invalid, and one whose sectionName is no port
// of the Service, leaves the ports that it may be about without traffic.

package gateway

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/wicketgate/wicketgate/object"
)

// Policy is one BackendTLSPolicy.
type Policy struct {
	Object *object.Object
	Spec   *gatewayv1.BackendTLSPolicy
	// Ancestors are the Gateways from which a route leads to what the policy targets, by precedence.
	Ancestors  []*Gateway
	Conditions []Condition // Accepted and ResolvedRefs, the same for every ancestor

	tls    *BackendTLS // nil if the policy is invalid
	faults faults
}

// BackendTLS is what a policy, or a Backend or XBackend itself, demands of connections to backends. It is immutable.
type BackendTLS struct {
	Policy *object.Object // whichever it is
	// Hostname is sent as the server name (SNI). The backend's certificate must be valid for it, unless there are alternative names.
	Hostname string
	// Roots are whom to trust; nil: the authorities of the system.
	Roots *x509.CertPool
	// Insecure: any certificate is taken, because a Backend says so (insecureSkipVerify). Hostname may be empty then, and only then.
	Insecure bool
	// MinVersion and MaxVersion are crypto/tls's; 0: the default.
	MinVersion, MaxVersion uint16
	// Identity is a client certificate in place of the Gateway's own; nil: that one, if there is one.
	Identity *Identity
	// Hostnames and URIs are the alternative names, of which the certificate must have at least one; both are empty if there are none.
	Hostnames, URIs []string
	// Fingerprint is equal for two policies that demand the same.
	Fingerprint string
}

// buildPolicies reads the BackendTLSPolicies and decides which are in force where.
func (b *builder) buildPolicies() {
	all := typed[*gatewayv1.BackendTLSPolicy](b.set, gatewayKind("BackendTLSPolicy"))
	slices.SortFunc(all, func(x, y typedObject[*gatewayv1.BackendTLSPolicy]) int { return older(x.object, y.object) })
	for _, o := range all {
		p := &Policy{Object: o.object, Spec: o.value}
		b.graph.Policies = append(b.graph.Policies, p)
		b.readPolicy(p)
		for i, ref := range o.value.Spec.TargetRefs {
			b.target(p, i, &ref)
		}
	}
	for _, p := range b.graph.Policies {
		b.reportFaults(p.Object, p.faults)
	}
}

// target puts a policy in force for what a targetRef names.
func (b *builder) target(p *Policy, index int, ref *gatewayv1.LocalPolicyTargetReferenceWithSectionName) {
	field := "spec.targetRefs[" + strconv.Itoa(index) + "]"
	service := keyOf(kind(string(ref.Group), string(ref.Kind)), p.Object.Namespace, string(ref.Name))
	if service.GroupKind != coreKind("Service") && service.GroupKind != backendKind() {
		p.faults.add(typeAccepted, reasonInvalid, field, service.String()+kindGroup(string(ref.Group))+" cannot be the target of the policy: refer to a Service")
		b.mistarget(p, service)
		return
	}
	section := string(deref(ref.SectionName, ""))
	at := service
	if b.backends.policies[at] == nil {
		b.backends.policies[at] = map[string]*Policy{}
	}
	if other := b.backends.policies[at][section]; other != nil {
		what := service.String()
		if section != "" {
			what = "port " + section + " of " + what
		}
		p.faults.add(typeAccepted, string(gatewayv1.PolicyReasonConflicted), field, other.Object.Key.String()+" takes precedence for "+what)
		return
	}
	b.backends.policies[at][section] = p
	object := b.set.Get(service)
	if object == nil {
		if !b.opts.DNSBackends || section != "" || service.Kind != "Service" {
			p.faults.add(typeAccepted, string(gatewayv1.PolicyReasonTargetNotFound), field, service.String()+" is not defined"+b.hint(service))
		}
		return
	}
	if service.GroupKind == backendKind() && section != "" {
		p.faults.add(typeAccepted, string(gatewayv1.PolicyReasonTargetNotFound), field, service.String()+" has no sections: remove sectionName")
	}
	if v, ok := object.Value.(*corev1.Service); ok && section != "" && !hasPort(v, section) {
		p.faults.add(typeAccepted, string(gatewayv1.PolicyReasonTargetNotFound), field, service.String()+" has no port named "+quoteName(section)+
			": ports without a policy of their own carry no traffic, because this one may be meant for them")
	}
}

// mistarget keeps plaintext from what a policy seems to be meant for although it cannot be its target.
func (b *builder) mistarget(p *Policy, at object.Key) {
	b.backends.policies[at] = map[string]*Policy{"": p} // for XBackends: nothing is sent to one as if the policy were not there
	if at.Kind == "Service" {                           // of another group: a mistake for the core group's, which is ""
		b.backends.mistaken[keyOf(coreKind("Service"), at.Namespace, at.Name)] = p
	}
}

func hasPort(s *corev1.Service, named string) bool {
	return slices.ContainsFunc(s.Spec.Ports, func(p corev1.ServicePort) bool { return p.Name == named })
}

// policyFor finds what the policies demand of connections to a port of a Service: nil if none targets it. Without a Service object (port
// nil) nobody knows the ports' names, and a policy for one of them may be meant for this one.
func (b *builder) policyFor(target targetKey, port *corev1.ServicePort, spec *corev1.Service) (demand *BackendTLS, message string) {
	if target.udp { // TLS is not for packets
		return nil, ""
	}
	all := b.backends.policies[target.Key]
	p := all[""]
	if port != nil && port.Name != "" && all[port.Name] != nil {
		p = all[port.Name]
	}
	if p == nil {
		for _, section := range slices.Sorted(maps.Keys(all)) {
			if spec == nil || !hasPort(spec, section) {
				return nil, all[section].Object.Key.String() + " targets port " + section + ", which is not one that is defined, and requests are not sent without TLS"
			}
		}
		if mistaken := b.backends.mistaken[target.Key]; mistaken != nil {
			return nil, mistaken.Object.Key.String() + " seems to be meant for it (the group of a Service is \"\"), and requests are not sent without TLS"
		}
		return nil, b.backends.refused.plaintext(target.Key, port, spec)
	}
	if p.tls == nil {
		return nil, p.Object.Key.String() + " is invalid, and requests are not sent without it: see its conditions"
	}
	return p.tls, ""
}

// readPolicy validates a policy's own fields.
func (b *builder) readPolicy(p *Policy) {
	p.tls = b.readValidation(p.Object, &p.faults, "spec.validation", &p.Spec.Spec.Validation)
	if len(p.Spec.Spec.Options) > 0 {
		var keys []string
		for k := range p.Spec.Spec.Options {
			keys = append(keys, string(k))
		}
		slices.Sort(keys)
		b.warn(p.Object, "spec.options", "TLS options are another gateway's and are not used: "+strings.Join(keys, ", "))
	}
}

// readValidation reads whom to trust and for which names, from a field of an object. What is wrong is added to own; nil if that leaves nothing
// to go by.
func (b *builder) readValidation(o *object.Object, own *faults, field string, v *gatewayv1.BackendTLSPolicyValidation) *BackendTLS {
	demand := &BackendTLS{Policy: o, Hostname: strings.ToLower(string(v.Hostname))}
	digest := sha256.New()
	fmt.Fprintf(digest, "%q", demand.Hostname)
	valid := b.readRoots(o, own, field, v, demand, func(root []byte) { _, _ = digest.Write(root) })
	if demand.Hostname == "" {
		valid = false
		own.add(typeAccepted, reasonInvalid, field+".hostname", "hostname is required")
	}
	for i, san := range v.SubjectAltNames {
		switch {
		case san.Type == gatewayv1.HostnameSubjectAltNameType && san.Hostname != "":
			demand.Hostnames = append(demand.Hostnames, strings.ToLower(string(san.Hostname)))
		case san.Type == gatewayv1.URISubjectAltNameType && san.URI != "":
			demand.URIs = append(demand.URIs, string(san.URI))
		default:
			valid = false
			own.add(typeAccepted, reasonInvalid, field+".subjectAltNames["+strconv.Itoa(i)+"]",
				"type "+strconv.Quote(string(san.Type))+" without the name that belongs to it: use Hostname with hostname, or URI with uri")
		}
	}
	fmt.Fprintf(digest, "%q%q", demand.Hostnames, demand.URIs)
	demand.Fingerprint = hex.EncodeToString(digest.Sum(nil)[:8])
	if !valid {
		return nil
	}
	return demand
}

// readRoots sets whom to trust. It is false if that is nobody; references that do not resolve leave the others in force.
func (b *builder) readRoots(o *object.Object, own *faults, field string, v *gatewayv1.BackendTLSPolicyValidation, demand *BackendTLS, seen func(root []byte)) bool {
	if len(v.CACertificateRefs) == 0 {
		known := deref(v.WellKnownCACertificates, "")
		if known == gatewayv1.WellKnownCACertificatesSystem {
			return true
		}
		own.add(typeAccepted, reasonInvalid, field+".wellKnownCACertificates",
			"wellKnownCACertificates "+strconv.Quote(string(known))+" is not known: use System, or caCertificateRefs")
		return false
	}
	demand.Roots = x509.NewCertPool()
	found := false
	var unresolved faults
	for i, ref := range v.CACertificateRefs {
		list, reason, message := b.authorities(o, &ref)
		if reason != "" {
			unresolved.add(typeResolvedRefs, reason, field+".caCertificateRefs["+strconv.Itoa(i)+"]", message)
			continue
		}
		for _, c := range list {
			found = true
			demand.Roots.AddCert(c)
			seen(c.Raw)
		}
	}
	*own = append(*own, unresolved...)
	if !found {
		_, message := unresolved.summary(typeResolvedRefs)
		own.add(typeAccepted, string(gatewayv1.BackendTLSPolicyReasonNoValidCACertificate), field+".caCertificateRefs[0]", message)
	}
	return found
}

// authorities follows a caCertificateRef; the reason is empty if all went well.
func (b *builder) authorities(from *object.Object, ref *gatewayv1.LocalObjectReference) (list []*x509.Certificate, reason, message string) {
	target := keyOf(kind(string(ref.Group), string(ref.Kind)), from.Namespace, string(ref.Name))
	if target.GroupKind == trustBundleKind() {
		target.Namespace = ""
	}
	if !holdsAuthorities(target.GroupKind) {
		return nil, string(gatewayv1.BackendTLSPolicyReasonInvalidKind), target.String() + kindGroup(string(ref.Group)) +
			" cannot hold CA certificates: refer to a ConfigMap, a Secret or a ClusterTrustBundle"
	}
	o := b.set.Get(target)
	if o == nil {
		return nil, string(gatewayv1.BackendTLSPolicyReasonInvalidCACertificateRef), target.String() + " is not defined" + b.hint(target)
	}
	list, err := readAuthorities(o)
	if err != nil {
		return nil, string(gatewayv1.BackendTLSPolicyReasonInvalidCACertificateRef), target.String() + ": " + err.Error()
	}
	return list, "", ""
}

// endsTLS says whether any of the parent's listeners lets the Gateway speak with backends itself: where TLS is passed through, a policy has
// nothing to say.
func (p *Parent) endsTLS() bool {
	return slices.ContainsFunc(p.Attachments, func(a *Attachment) bool { return !a.Listener.Passthrough })
}

// targets are what its targetRefs name.
func (p *Policy) targets() (list []object.Key) {
	for _, ref := range p.Spec.Spec.TargetRefs {
		list = append(list, keyOf(kind(string(ref.Group), string(ref.Kind)), p.Object.Namespace, string(ref.Name)))
	}
	return list
}

// concludePolicies gives policies their conditions, and finds the Gateways from which they are met.
func (b *builder) concludePolicies() {
	met := map[*Policy]map[*Gateway]bool{}
	targets := map[object.Key][]*Policy{}
	for _, p := range b.graph.Policies {
		met[p] = map[*Gateway]bool{}
		for _, at := range p.targets() {
			targets[at] = append(targets[at], p)
		}
	}
	for backend, policies := range targets {
		for _, route := range b.users(backend) {
			for _, parent := range route.Parents {
				for _, p := range policies {
					if parent.endsTLS() {
						met[p][parent.Gateway] = true
					}
				}
			}
		}
	}
	for _, p := range b.graph.Policies {
		for _, gw := range b.graph.Gateways {
			if met[p][gw] {
				p.Ancestors = append(p.Ancestors, gw)
			}
		}
		p.Conditions = []Condition{
			p.faults.positive(typeAccepted, reasonAccepted, "The policy is accepted"),
			p.faults.positive(typeResolvedRefs, reasonResolvedRefs, "All references are resolved"),
		}
	}
}
