// Annotated Gateways and ListenerSets: cert-manager's rules for which listeners get a certificate.
//
// A listener gets one if it ends TLS, has a hostname, and names a Secret of its own namespace. Listeners that name the same Secret share one
// certificate with all of their hostnames:
//
//	a  hostname: shop.example.com    certificateRefs: [shop-tls]   \ Certificate shop-tls
//	b  hostname: "*.example.com"     certificateRefs: [shop-tls]   / for both names
//	c  (no hostname)                 certificateRefs: [any-tls]    no certificate, and a warning
//
// A ListenerSet without an issuer of its own takes that of its Gateway.

package issue

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/wicketgate/wicketgate/certmanager"
	"github.com/wicketgate/wicketgate/object"
)

// skipped is a listener of an annotated object that gets no certificate for want of a hostname: Review knows which one to propose.
type skipped struct {
	object *object.Object
	index  int
	secret object.Key
	issuer string
}

// readListeners takes up what annotated Gateways and ListenerSets ask for.
func (p *Plan) readListeners(bySecret map[object.Key]*Certificate) {
	group := func(kind string) object.GroupKind { return object.GroupKind{Group: gatewayv1.GroupName, Kind: kind} }
	for _, o := range byPrecedence(p.objects, group("Gateway")) {
		if v, ok := o.Value.(*gatewayv1.Gateway); ok {
			p.readAnnotated(bySecret, o, o.Meta.Annotations, v.Spec.Listeners)
		}
	}
	for _, o := range byPrecedence(p.objects, group("ListenerSet")) {
		v, ok := o.Value.(*gatewayv1.ListenerSet)
		if !ok {
			continue
		}
		namespace := o.Namespace
		if v.Spec.ParentRef.Namespace != nil {
			namespace = string(*v.Spec.ParentRef.Namespace)
		}
		parent := p.objects.Get(object.Key{GroupKind: group("Gateway"), Namespace: namespace, Name: string(v.Spec.ParentRef.Name)})
		if parent == nil {
			continue
		}
		listeners := make([]gatewayv1.Listener, len(v.Spec.Listeners))
		for i, entry := range v.Spec.Listeners {
			listeners[i] = gatewayv1.Listener(entry)
		}
		p.readAnnotated(bySecret, o, inherited(o.Meta.Annotations, parent.Meta.Annotations), listeners)
	}
}

// inherited gives a ListenerSet's annotations, with the issuer of its Gateway where it names none.
func inherited(own, parent map[string]string) map[string]string {
	_, issuer := own[certmanager.AnnotationIssuer]
	_, cluster := own[certmanager.AnnotationClusterIssuer]
	if issuer || cluster {
		return own
	}
	all := maps.Clone(own)
	if all == nil {
		all = map[string]string{}
	}
	for _, key := range [...]string{
		certmanager.AnnotationIssuer, certmanager.AnnotationClusterIssuer, certmanager.AnnotationIssuerKind, certmanager.AnnotationIssuerGroup,
	} {
		if v, ok := parent[key]; ok {
			all[key] = v
		}
	}
	return all
}

// readAnnotated takes up the certificates of one object's listeners.
func (p *Plan) readAnnotated(bySecret map[object.Key]*Certificate, o *object.Object, annotations map[string]string, listeners []gatewayv1.Listener) {
	ref, asks, err := issuerRefOf(annotations)
	if !asks {
		return
	}
	p.asking[o.Key] = true
	if err != nil {
		p.fail(o, "metadata.annotations", err.Error())
		return
	}
	template := certmanager.CertificateSpec{IssuerRef: ref}
	if err := applyAnnotations(&template, annotations); err != nil {
		p.fail(o, "metadata.annotations", err.Error())
		return
	}
	made := map[object.Key]*Certificate{}
	var order []object.Key
	for i := range listeners {
		for _, secret := range p.secretsOf(o, &listeners[i], i, ref.Name) {
			if made[secret] == nil {
				spec := template
				spec.SecretName = secret.Name
				made[secret] = &Certificate{Spec: &spec, Source: o, Field: listenerField(i, "tls.certificateRefs"), Secret: secret}
				order = append(order, secret)
			}
			spec := made[secret].Spec
			if host := string(*listeners[i].Hostname); !slices.Contains(spec.DNSNames, host) {
				spec.DNSNames = append(slices.Clip(spec.DNSNames), host)
			}
		}
	}
	for _, secret := range order {
		p.wantImplied(bySecret, made[secret])
	}
}

// wantImplied takes up a certificate that an annotation asks for. A Certificate of a file that fills the Secret is what its author wants
// instead.
func (p *Plan) wantImplied(bySecret map[object.Key]*Certificate, c *Certificate) {
	if first := bySecret[c.Secret]; first != nil {
		if first.Object == first.Source {
			return
		}
		// Another Gateway's: what both of them ask for cannot be told from what only one does.
		if missing := missingNames(first, c); len(missing) > 0 {
			p.fail(c.Source, c.Field, c.Secret.String()+" gets its certificate through "+first.Source.Key.String()+", and that is not for "+
				strings.Join(missing, ", ")+": name another Secret")
		}
		return
	}
	named := object.Key{GroupKind: certificateKind(certmanager.CertificateKind), Namespace: c.Secret.Namespace, Name: c.Secret.Name}
	if other := p.objects.Get(named); other != nil {
		if v, ok := other.Value.(*certmanager.Certificate); ok {
			p.fail(c.Source, c.Field, "no certificate is obtained for "+c.Secret.String()+", because "+named.String()+" is a Certificate of that name, and it fills Secret "+
				v.Spec.SecretName+": refer to that, or write secretName: "+c.Secret.Name+" there")
		}
		return
	}
	c.Object = implied(c)
	bySecret[c.Secret] = c
}

// missingNames gives the names of want that have does not cover.
func missingNames(have, want *Certificate) []string {
	return slices.DeleteFunc(want.Names(), func(name string) bool { return slices.Contains(have.Names(), name) })
}

// secretsOf gives the Secrets of a listener that get a certificate for its hostname, and tells why others do not.
func (p *Plan) secretsOf(o *object.Object, l *gatewayv1.Listener, index int, issuer string) (secrets []object.Key) {
	if !terminates(l) || l.TLS == nil {
		return nil
	}
	for i := range l.TLS.CertificateRefs {
		ref := &l.TLS.CertificateRefs[i]
		field := listenerField(index, "tls.certificateRefs["+strconv.Itoa(i)+"]")
		if (ref.Group != nil && *ref.Group != "") || (ref.Kind != nil && *ref.Kind != "Secret") {
			continue // gateway.Build says what is wrong with it
		}
		namespace := o.Namespace
		if ref.Namespace != nil {
			namespace = string(*ref.Namespace)
		}
		secret := secretKey(namespace, string(ref.Name))
		switch {
		case namespace != o.Namespace:
			if p.objects.Get(secret) == nil {
				p.warn(o, field, "annotations ask for certificates in the namespace of the "+o.Kind+" alone, and "+secret.String()+
					" is in another: write a Certificate there, or leave out the namespace")
			}
		case l.Hostname == nil || *l.Hostname == "":
			if p.objects.Get(secret) == nil {
				p.skipped = append(p.skipped, skipped{o, index, secret, issuer})
			}
		default:
			secrets = append(secrets, secret)
		}
	}
	return secrets
}

// terminates says whether a listener's protocol and mode make it end TLS.
func terminates(l *gatewayv1.Listener) bool {
	if l.Protocol != gatewayv1.HTTPSProtocolType && l.Protocol != gatewayv1.TLSProtocolType {
		return false
	}
	return l.TLS == nil || l.TLS.Mode == nil || *l.TLS.Mode == gatewayv1.TLSModeTerminate
}

func listenerField(index int, path string) string {
	return "spec.listeners[" + strconv.Itoa(index) + "]." + path
}
