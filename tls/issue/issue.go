// Package issue decides which certificates are wanted: it reads cert-manager's kinds and annotations, and says what is wrong with them.
// It is pure: no clock, no network, no files. Who obtains the certificates is another matter (package tls/obtain).
//
// There are three ways to ask for one, in the order in which they win where two of them mean the same Secret:
//
//	Certificate            asks for itself
//	annotated Gateway      asks for each Secret that a listener with a hostname names (cert-manager's rules); so does a ListenerSet
//	--acme-email           asks for each hostname that is served with TLS and has no certificate otherwise
//
// The first two depend on objects alone, so Read runs before gateway.Build, which needs the Secrets. The third, and the search for likely
// mistakes, need to know what routes and listeners mean: Hostnames and Review read the graph.
package issue

import (
	"cmp"
	"slices"
	"strings"

	"github.com/wicketgate/wicketgate/certmanager"
	"github.com/wicketgate/wicketgate/gateway"
	"github.com/wicketgate/wicketgate/object"
)

// Options are what flags say.
type Options struct {
	// ACME, if set, is the issuer that flags describe. It also takes the place of a ClusterIssuer that no file has, so that a pasted
	// "cluster-issuer: letsencrypt-prod" works.
	ACME *certmanager.ACMEIssuer
	// LocalCA makes an authority of the gateway's own that issuer.
	LocalCA bool
}

// Plan is what a set of objects asks for. It is immutable.
type Plan struct {
	Issuers      []*Issuer      // of files, by key; the flags' last
	Certificates []*Certificate // by key of their Secrets, one a Secret
	Problems     []object.Problem

	objects *object.Set
	opts    Options
	issuers map[object.Key]*Issuer
	flags   *Issuer // nil: no flag asks for certificates
	skipped []skipped
	asking  map[object.Key]bool // Gateways and ListenerSets whose annotations ask, perhaps wrongly
}

// Issuer is a source of certificates.
type Issuer struct {
	Key    object.Key     // of the Issuer or ClusterIssuer
	Object *object.Object // nil for the flags' issuer
	Spec   *certmanager.IssuerSpec
	// Local: certificates are signed by the gateway's own authority. Spec is empty then.
	Local bool
	// Unusable says why it never issues; empty if it may.
	Unusable string
}

// Namespace is where the Secrets are that the issuer's specification names.
func (i *Issuer) Namespace() string {
	if i.Key.Namespace == "" {
		return certmanager.ClusterNamespace
	}
	return i.Key.Namespace
}

// Certificate is one certificate that is wanted.
type Certificate struct {
	// Object is the Certificate: one of a file, or one made up for what an annotation asks for.
	Object *object.Object
	Spec   *certmanager.CertificateSpec
	// Source is the object of a file that asks, at Field: the Certificate itself, a Gateway or a ListenerSet.
	Source *object.Object
	Field  string
	Secret object.Key
	Issuer *Issuer // nil if Unusable
	// Unusable says why it is not obtained; empty if it is.
	Unusable string
	// Given is the Secret of a file that takes the certificate's place; nothing is obtained then.
	Given *object.Object
	// Hostname is set for a certificate that is found by it, and not by its Secret.
	Hostname string
	// OnDemand: it is wanted because a client asked for the name, and for as long as clients do.
	OnDemand bool
}

// ID names the certificate wherever something is remembered of it.
func (c *Certificate) ID() string {
	if c.Hostname != "" {
		return "hostname/" + NameOf(c.Hostname)
	}
	return "secret/" + c.Secret.Namespace + "/" + c.Secret.Name
}

// Names are the hosts that the certificate is for, in lower case: common name, DNS names and addresses, each once.
func (c *Certificate) Names() []string { return names(c.Spec) }

func names(s *certmanager.CertificateSpec) []string {
	var all []string
	for _, n := range slices.Concat(s.DNSNames, s.IPAddresses, []string{s.CommonName}) {
		if n = strings.ToLower(n); n != "" && !slices.Contains(all, n) {
			all = append(all, n)
		}
	}
	return all
}

// Read finds what the objects of files ask for.
func Read(set *object.Set, opts Options) *Plan {
	p := &Plan{objects: set, opts: opts, issuers: map[object.Key]*Issuer{}, asking: map[object.Key]bool{}}
	p.readIssuers()
	bySecret := map[object.Key]*Certificate{}
	for _, o := range byPrecedence(set, certificateKind(certmanager.CertificateKind)) {
		if v, ok := o.Value.(*certmanager.Certificate); ok {
			p.want(bySecret, &Certificate{Object: o, Spec: &v.Spec, Source: o, Field: "spec.secretName", Secret: secretKey(o.Namespace, v.Spec.SecretName)})
		}
	}
	p.readListeners(bySecret)
	for _, c := range bySecret {
		p.Certificates = append(p.Certificates, c)
	}
	slices.SortFunc(p.Certificates, func(a, b *Certificate) int { return a.Secret.Compare(b.Secret) })
	for _, c := range p.Certificates {
		p.settle(c)
	}
	sortProblems(p.Problems)
	return p
}

// want takes up a certificate, unless an earlier one fills the same Secret.
func (p *Plan) want(bySecret map[object.Key]*Certificate, c *Certificate) {
	if first := bySecret[c.Secret]; first != nil {
		p.fail(c.Source, c.Field, c.Secret.String()+" is filled by "+first.Object.Key.String()+" already: choose another secretName")
		return
	}
	bySecret[c.Secret] = c
}

// settle finds a certificate's issuer, and whether there is anything to obtain.
func (p *Plan) settle(c *Certificate) {
	if given := p.objects.Get(c.Secret); given != nil {
		c.Given = given
		p.warn(c.Source, c.Field, c.Secret.String()+" is given in "+given.Position.String()+" and is used as it is: no certificate is obtained for it")
		return
	}
	c.Issuer, c.Unusable = p.issuerOf(c)
	switch {
	case c.Unusable != "":
		p.fail(c.Source, issuerField(c), c.Unusable)
	case c.Issuer.Unusable != "":
		c.Unusable = c.Issuer.Key.String() + " cannot issue: " + c.Issuer.Unusable
		c.Issuer = nil
	}
}

// issuerField is the field that names a certificate's issuer.
func issuerField(c *Certificate) string {
	if c.Object == c.Source {
		return "spec.issuerRef"
	}
	return "metadata.annotations"
}

func certificateKind(kind string) object.GroupKind {
	return object.GroupKind{Group: certmanager.Group, Kind: kind}
}

func secretKey(namespace, name string) object.Key {
	return object.Key{Kind: "Secret", Namespace: namespace, Name: name}
}

// byPrecedence gives the objects of a kind, dated ones first, the older first, then by namespace and name.
func byPrecedence(set *object.Set, kind object.GroupKind) []*object.Object {
	list := slices.Clone(set.Kind(kind))
	slices.SortStableFunc(list, func(a, b *object.Object) int {
		at, bt := a.Meta.CreationTimestamp, b.Meta.CreationTimestamp
		switch {
		case at.IsZero() != bt.IsZero() && at.IsZero():
			return 1
		case at.IsZero() != bt.IsZero():
			return -1
		}
		return at.Time.Compare(bt.Time)
	})
	return list
}

func (p *Plan) fail(o *object.Object, field, message string) {
	p.report(object.Error, o, field, message)
}

func (p *Plan) warn(o *object.Object, field, message string) {
	p.report(object.Warning, o, field, message)
}

func (p *Plan) report(severity object.Severity, o *object.Object, field, message string) {
	p.Problems = append(p.Problems, problem(severity, o, field, message))
}

func problem(severity object.Severity, o *object.Object, field, message string) object.Problem {
	return object.Problem{Severity: severity, Position: o.At(field), Object: o.Key, Field: field, Message: message}
}

// sortProblems orders problems as a reader goes through the files.
func sortProblems(list []object.Problem) {
	slices.SortStableFunc(list, func(a, b object.Problem) int {
		return cmp.Or(cmp.Compare(a.Position.File, b.Position.File), cmp.Compare(a.Position.Line, b.Position.Line),
			cmp.Compare(a.Position.Column, b.Position.Column), a.Object.Compare(b.Object), cmp.Compare(a.Message, b.Message))
	})
}

// Wants says whether a certificate that is found by hostname may be listed beside the files' objects: no object has its name.
func (p *Plan) Wants(c *Certificate) bool {
	return p.flags != nil && p.objects.Get(c.Object.Key) == nil
}

// Managed gives the certificates that the flags' issuer obtains: one for each hostname that listeners of the graph need. Without that issuer
// there are none.
func (p *Plan) Managed(g *gateway.Graph) []*Certificate {
	if p.flags == nil {
		return nil
	}
	byHost := map[string]*Certificate{}
	var list []*Certificate
	for l := range g.Listeners() {
		for _, host := range l.Managed {
			if byHost[host] != nil {
				continue
			}
			byHost[host] = p.forHostname(l, host)
			list = append(list, byHost[host])
		}
	}
	slices.SortFunc(list, func(a, b *Certificate) int { return strings.Compare(a.Hostname, b.Hostname) })
	return list
}

// forHostname is the certificate of the flags' issuer for a hostname of a listener.
func (p *Plan) forHostname(l *gateway.Listener, host string) *Certificate {
	name := NameOf(host)
	c := &Certificate{
		Spec:   &certmanager.CertificateSpec{DNSNames: []string{host}, SecretName: name, IssuerRef: refTo(p.flags)},
		Source: l.Object(), Field: listenerField(l.Index, "hostname"), Secret: secretKey(l.Object().Namespace, name),
		Issuer: p.flags, Hostname: host,
	}
	c.Object = implied(c)
	return c
}

// Demand is what clients may ask for. It is immutable; nil stands for nothing.
type Demand struct {
	plan      *Plan
	listeners []*gateway.Listener // that have names on demand
}

// Demand finds the listeners of a graph that have names on demand.
func (p *Plan) Demand(g *gateway.Graph) *Demand {
	if p.flags == nil {
		return nil
	}
	d := &Demand{plan: p}
	for l := range g.Listeners() {
		if l.OnDemand != nil && l.Usable {
			d.listeners = append(d.listeners, l)
		}
	}
	return d
}

// Certificate is the certificate for a name that a client asks for, in lower case, or nil if no listener has it on demand.
func (d *Demand) Certificate(name string) *Certificate {
	if d == nil {
		return nil
	}
	for _, l := range d.listeners {
		if l.OnDemand.Covers(name) {
			c := d.plan.forHostname(l, name)
			c.OnDemand = true
			return c
		}
	}
	return nil
}

// wildcardLabel stands for the asterisk of a hostname in names of objects and files. No hostname has such a label.
const wildcardLabel = "_wildcard"

// NameOf is the name that stands for a hostname, perhaps with a wildcard.
func NameOf(hostname string) string { return strings.Replace(hostname, "*", wildcardLabel, 1) }

// HostnameOf is the hostname that a name stands for.
func HostnameOf(name string) string { return strings.Replace(name, wildcardLabel, "*", 1) }

func refTo(i *Issuer) certmanager.IssuerRef {
	return certmanager.IssuerRef{Name: i.Key.Name, Kind: i.Key.Kind, Group: certmanager.Group}
}
