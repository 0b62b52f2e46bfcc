// Issuers: which one a certificate comes from.

package issue

import (
	"strings"

	"github.com/wicketgate/wicketgate/certmanager"
	"github.com/wicketgate/wicketgate/object"
)

// The names that the flags' issuer goes by: the flags'.
const (
	ACMEFlag  = "acme-email"
	LocalFlag = "local-ca"
)

// readIssuers takes up every Issuer and ClusterIssuer of the files, and that of the flags.
func (p *Plan) readIssuers() {
	for _, kind := range [...]string{certmanager.ClusterIssuerKind, certmanager.IssuerKind} {
		for _, o := range p.objects.Kind(certificateKind(kind)) {
			v, ok := o.Value.(*certmanager.Issuer)
			if !ok {
				continue
			}
			i := &Issuer{Key: o.Key, Object: o, Spec: &v.Spec}
			switch {
			case v.Spec.Vault != nil:
				i.Unusable = unsupportedIssuer("vault")
				p.fail(o, "spec.vault", i.Unusable)
			case v.Spec.Venafi != nil:
				i.Unusable = unsupportedIssuer("venafi")
				p.fail(o, "spec.venafi", i.Unusable)
			}
			p.Issuers = append(p.Issuers, i)
			p.issuers[o.Key] = i
		}
	}
	key := object.Key{GroupKind: certificateKind(certmanager.ClusterIssuerKind)}
	switch {
	case p.opts.ACME != nil:
		key.Name = ACMEFlag
		p.flags = &Issuer{Key: key, Spec: &certmanager.IssuerSpec{ACME: p.opts.ACME}}
	case p.opts.LocalCA:
		key.Name = LocalFlag
		p.flags = &Issuer{Key: key, Spec: &certmanager.IssuerSpec{}, Local: true}
	default:
		return
	}
	p.Issuers = append(p.Issuers, p.flags)
}

func unsupportedIssuer(kind string) string {
	return "issuers of type " + kind + " are not supported: use acme, ca or selfSigned"
}

// issuerOf finds the issuer that a certificate names, or says why there is none.
func (p *Plan) issuerOf(c *Certificate) (i *Issuer, unusable string) {
	ref := c.Spec.IssuerRef
	if ref.Group != "" && ref.Group != certmanager.Group {
		return nil, ref.Kind + " " + ref.Name + " of group " + ref.Group + " is an external issuer, and those are not supported: refer to an Issuer or ClusterIssuer"
	}
	kind, namespace := ref.Kind, c.Object.Namespace
	if kind == "" {
		kind = certmanager.IssuerKind
	}
	if kind == certmanager.ClusterIssuerKind {
		namespace = ""
	}
	key := object.Key{GroupKind: certificateKind(kind), Namespace: namespace, Name: ref.Name}
	if i := p.issuers[key]; i != nil {
		return i, ""
	}
	if p.flags != nil && kind == certmanager.ClusterIssuerKind {
		p.warn(c.Source, issuerField(c), key.String()+" is not defined: the issuer of --"+p.flags.Key.Name+" takes its place")
		return p.flags, ""
	}
	return nil, key.String() + " is not defined" + p.issuerHint(key)
}

// issuerHint says what the author of a reference to a missing issuer may have meant, or what to do.
func (p *Plan) issuerHint(missing object.Key) string {
	other := object.Key{GroupKind: certificateKind(certmanager.ClusterIssuerKind), Name: missing.Name}
	if missing.Kind == certmanager.IssuerKind && p.issuers[other] != nil {
		return ", but " + other.String() + " is: write kind: ClusterIssuer, or the annotation " + certmanager.AnnotationClusterIssuer
	}
	for _, i := range p.Issuers {
		switch {
		case i.Object == nil:
		case missing.Kind == certmanager.ClusterIssuerKind && i.Key.Kind == certmanager.IssuerKind && i.Key.Name == missing.Name:
			return ", but " + i.Key.String() + " is: write kind: Issuer in its namespace, or make it a ClusterIssuer"
		case i.Key.Kind == missing.Kind && i.Key.Name == missing.Name:
			return ", but " + i.Key.String() + " is: an Issuer serves its own namespace alone; make it a ClusterIssuer"
		case i.Key.Kind == missing.Kind && i.Key.Namespace == missing.Namespace && strings.EqualFold(strings.ReplaceAll(i.Key.Name, "-", ""), strings.ReplaceAll(missing.Name, "-", "")):
			return `; did you mean "` + i.Key.Name + `"?`
		}
	}
	if missing.Kind == certmanager.ClusterIssuerKind {
		return ": add it, or give --acme-email or --local-ca, which then takes its place"
	}
	return ": add it"
}
