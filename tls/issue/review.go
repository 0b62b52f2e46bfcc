// Review: what was probably meant otherwise. It compares what is wanted with what listeners and routes of the graph use.

package issue

import (
	"slices"
	"strconv"
	"strings"

	"github.com/wicketgate/wicketgate/certmanager"
	"github.com/wicketgate/wicketgate/gateway"
	"github.com/wicketgate/wicketgate/object"
)

// use is a listener that names a Secret.
type use struct {
	listener *gateway.Listener
	field    string
}

// Review tells of Certificates that nobody uses, of listeners that would get a certificate if they had a hostname, and of Secrets that no
// file has and nobody fills. The graph must be that of the same objects.
func (p *Plan) Review(g *gateway.Graph) []object.Problem {
	r := &review{plan: p, graph: g, uses: map[object.Key][]use{}}
	r.collect()
	for _, c := range p.Certificates {
		if c.Object == c.Source {
			r.unused(c)
		}
	}
	for _, s := range p.skipped {
		r.withoutHostname(s)
	}
	if len(p.Issuers) > 0 {
		r.unfilled()
	}
	sortProblems(r.problems)
	return r.problems
}

type review struct {
	plan     *Plan
	graph    *gateway.Graph
	uses     map[object.Key][]use
	problems []object.Problem
}

// collect finds every reference of a listener to a Secret.
func (r *review) collect() {
	for l := range r.graph.Listeners() {
		if l.Spec.TLS == nil {
			continue
		}
		for i := range l.Spec.TLS.CertificateRefs {
			ref := &l.Spec.TLS.CertificateRefs[i]
			namespace := l.Object().Namespace
			if ref.Namespace != nil {
				namespace = string(*ref.Namespace)
			}
			key := secretKey(namespace, string(ref.Name))
			r.uses[key] = append(r.uses[key], use{l, listenerField(l.Index, "tls.certificateRefs["+strconv.Itoa(i)+"]")})
		}
	}
}

// unused tells of a Certificate whose Secret no listener names. One for an authority, or for a Gateway's own identity, is used otherwise.
func (r *review) unused(c *Certificate) {
	if len(r.uses[c.Secret]) > 0 || c.Spec.IsCA || r.usedElsewhere(c.Secret) {
		return
	}
	name := c.Secret.Name
	if mistaken := r.uses[secretKey(c.Secret.Namespace, c.Object.Name)]; len(mistaken) > 0 && r.plan.objects.Get(secretKey(c.Secret.Namespace, c.Object.Name)) == nil {
		r.warn(c.Source, "spec.secretName", "no listener refers to Secret "+name+", but "+mistaken[0].listener.String()+" refers to "+c.Object.Name+
			", which is the name of this Certificate: write secretName: "+c.Object.Name+" here, or name: "+name+" there")
		return
	}
	for _, l := range r.covered(c) {
		if l.Spec.TLS != nil && len(l.Spec.TLS.CertificateRefs) > 0 && len(l.Certificates) == 0 {
			r.warn(c.Source, "spec.secretName", "no listener refers to Secret "+name+", but "+l.String()+" has the hostname and no usable certificate: write secretName: "+
				string(l.Spec.TLS.CertificateRefs[0].Name)+" here, or name: "+name+" there")
			return
		}
	}
	r.warn(c.Source, "spec.secretName", "no listener refers to Secret "+name+": name it in a listener's tls.certificateRefs")
}

// covered gives the listeners whose hostname a certificate names.
func (r *review) covered(c *Certificate) (list []*gateway.Listener) {
	for l := range r.graph.Listeners() {
		if l.Hostname != "" && l.Object().Namespace == c.Secret.Namespace && slices.Contains(c.Names(), l.Hostname) {
			list = append(list, l)
		}
	}
	return list
}

// usedElsewhere says whether a Secret is an issuer's authority or a Gateway's client certificate.
func (r *review) usedElsewhere(secret object.Key) bool {
	for _, i := range r.plan.Issuers {
		if i.Spec.CA != nil && secretKey(i.Namespace(), i.Spec.CA.SecretName) == secret {
			return true
		}
	}
	for _, gw := range r.graph.Gateways {
		if config := gw.Spec.Spec.TLS; config != nil && config.Backend != nil && config.Backend.ClientCertificateRef != nil {
			if ref := config.Backend.ClientCertificateRef; string(ref.Name) == secret.Name {
				return true
			}
		}
	}
	return false
}

// withoutHostname tells of a listener that an annotation would give a certificate if it had a hostname, and proposes one.
func (r *review) withoutHostname(s skipped) {
	for _, u := range r.uses[s.secret] {
		if u.listener.Object() == s.object && u.listener.Index == s.index {
			r.warn(s.object, listenerField(s.index, "name"), "listener "+u.listener.Name+" has no hostname, so issuer "+s.issuer+" gives it no certificate for Secret "+
				s.secret.Name+": add "+proposal(r.graph, u.listener))
			return
		}
	}
}

// proposal words the hostname that a listener's routes would let it have.
func proposal(g *gateway.Graph, l *gateway.Listener) string {
	hosts := routeHosts(g, l)
	switch {
	case len(hosts) == 0:
		return `a hostname, such as hostname: "www.example.com"`
	case len(hosts) == 1:
		return `hostname: "` + hosts[0] + `", which is what its routes serve`
	}
	if parent := sharedParent(hosts); parent != "" {
		return `hostname: "*.` + parent + `" (its routes serve ` + strings.Join(hosts, ", ") + "; a wildcard certificate needs a DNS-01 solver), or one listener for each of them"
	}
	return "one listener for each hostname that its routes serve: " + strings.Join(hosts, ", ")
}

// routeHosts gives the hostnames that the routes attached to a listener name.
func routeHosts(g *gateway.Graph, l *gateway.Listener) (hosts []string) {
	for _, a := range g.Attached[l].Routes {
		for _, h := range a.Hostnames {
			if h.Declared != "" && !slices.Contains(hosts, h.Declared) {
				hosts = append(hosts, h.Declared)
			}
		}
	}
	slices.Sort(hosts)
	return hosts
}

// sharedParent gives the domain of which all hosts are direct children, or "".
func sharedParent(hosts []string) string {
	_, parent, _ := strings.Cut(hosts[0], ".")
	for _, h := range hosts {
		if _, p, _ := strings.Cut(h, "."); p != parent || !strings.Contains(p, ".") {
			return ""
		}
	}
	return parent
}

// unfilled tells, where issuers are in use, of references to Secrets that no file has and no issuer fills. That the Secret is missing is
// said by the listener's conditions; this says how it would be filled.
func (r *review) unfilled() {
	for secret, uses := range r.uses {
		if r.plan.objects.Get(secret) != nil || r.planned(secret) || r.explained(secret) {
			continue
		}
		for _, u := range uses {
			o := u.listener.Object()
			if secret.Namespace != o.Namespace || r.plan.asking[o.Key] || len(u.listener.Managed) > 0 || !terminates(u.listener.Spec) {
				continue
			}
			r.warn(o, u.field, "nobody issues "+secret.String()+": add the annotation "+certmanager.AnnotationClusterIssuer+" to the "+o.Kind+
				", or a Certificate with secretName: "+secret.Name)
		}
	}
}

func (r *review) planned(secret object.Key) bool {
	return slices.ContainsFunc(r.plan.Certificates, func(c *Certificate) bool { return c.Secret == secret })
}

// explained says whether another message tells already why nobody fills a Secret.
func (r *review) explained(secret object.Key) bool {
	named := object.Key{GroupKind: certificateKind(certmanager.CertificateKind), Namespace: secret.Namespace, Name: secret.Name}
	return r.plan.objects.Get(named) != nil || slices.ContainsFunc(r.plan.skipped, func(s skipped) bool { return s.secret == secret })
}

func (r *review) warn(o *object.Object, field, message string) {
	r.problems = append(r.problems, problem(object.Warning, o, field, message))
}
