// Certificates of listeners: from a certificateRef to a key pair that can be served.

package gateway

import (
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/wicketgate/wicketgate/internal/keypair"
	"github.com/wicketgate/wicketgate/object"
)

// certificateResult is what reading a Secret as a certificate gave; one a Secret and Build.
type certificateResult struct {
	certificate *Certificate
	err         error
}

// checkTLS resolves the certificates of a listener that ends TLS. One that does not resolve leaves the others in service.
func (b *builder) checkTLS(l *Listener) {
	config := l.Spec.TLS
	if config == nil {
		if b.opts.Managed != nil {
			l.managed = true
			return
		}
		l.faults.add(typeResolvedRefs, reasonInvalidCertificate, l.field(""), "protocol "+string(l.Protocol)+" needs tls.certificateRefs with the name of a Secret")
		return
	}
	if mode := deref(config.Mode, gatewayv1.TLSModeTerminate); mode != gatewayv1.TLSModeTerminate {
		l.faults.add(typeAccepted, reasonUnsupportedValue, l.field("tls.mode"),
			"tls.mode "+string(mode)+" does not go with protocol "+string(l.Protocol)+": use Terminate")
	}
	if len(config.CertificateRefs) == 0 && b.opts.Managed == nil {
		l.faults.add(typeResolvedRefs, reasonInvalidCertificate, l.field("tls"), "tls.certificateRefs is required: no other source of certificates is supported")
	}
	for i := range config.CertificateRefs {
		field := l.field("tls.certificateRefs[" + strconv.Itoa(i) + "]")
		certificate, reason, message := b.resolveCertificate(l.Object(), &config.CertificateRefs[i])
		if reason != "" {
			l.faults.add(typeResolvedRefs, reason, field, message)
			continue
		}
		l.Certificates = append(l.Certificates, certificate)
	}
	l.managed = b.opts.Managed != nil && len(l.Certificates) == 0
	b.readOptions(l, config.Options)
	b.warnCoverage(l)
}

// checkPassthrough warns of what of a listener's tls has no meaning where the backends end TLS.
func (b *builder) checkPassthrough(l *Listener) {
	if len(l.Spec.TLS.CertificateRefs) > 0 {
		b.warn(l.Object(), l.field("tls.certificateRefs"), "certificates are not used with tls.mode Passthrough: remove them, or use mode Terminate")
	}
	var keys []string
	for _, key := range slices.Sorted(maps.Keys(l.Spec.TLS.Options)) {
		keys = append(keys, string(key))
	}
	b.warnOptions(l, keys)
}

// warnCoverage tells when no certificate of a listener is valid for its hostname: clients would refuse it.
func (b *builder) warnCoverage(l *Listener) {
	if l.Hostname == "" || len(l.Certificates) == 0 {
		return
	}
	for _, c := range l.Certificates {
		if c.Placeholder != "" || covers(c.TLS.Leaf, l.Hostname) {
			return
		}
	}
	b.warn(l.Object(), l.field("tls.certificateRefs"), "no certificate of the listener is valid for "+l.Hostname+": clients will refuse it")
}

// covers says whether a certificate is valid for some host that a listener's hostname stands for. A wildcard in a certificate stands for
// one label, in a listener's hostname for any number of them, so that "*.example.com" is also served with a certificate of one host in it.
func covers(leaf *x509.Certificate, hostname string) bool {
	suffix, wildcard := strings.CutPrefix(hostname, "*")
	if !wildcard {
		return leaf.VerifyHostname(hostname) == nil
	}
	return slices.ContainsFunc(leaf.DNSNames, func(san string) bool { return strings.HasSuffix(strings.ToLower(san), suffix) })
}

// resolveCertificate follows a Gateway's or ListenerSet's reference to a Secret with a certificate; the reason is empty if all went well. The
// grant comes first: without one the answer must not tell whether the Secret exists. What is granted to a Gateway is not to its ListenerSets.
func (b *builder) resolveCertificate(from *object.Object, ref *gatewayv1.SecretObjectReference) (c *Certificate, reason, message string) {
	group, k := string(deref(ref.Group, "")), string(deref(ref.Kind, "Secret"))
	target := keyOf(kind(group, k), string(deref(ref.Namespace, gatewayv1.Namespace(from.Namespace))), string(ref.Name))
	if group != "" || k != "Secret" {
		return nil, reasonInvalidCertificate, target.String() + kindGroup(group) + " cannot hold a certificate: refer to a Secret"
	}
	if !b.grants.permits(from.GroupKind, from.Namespace, target) {
		return nil, reasonNotPermitted, notPermitted(from.GroupKind, from.Namespace, target)
	}
	secret := b.set.Get(target)
	if secret == nil {
		return nil, reasonInvalidCertificate, target.String() + " is not defined" + b.secretHint(target)
	}
	result, known := b.certs[target]
	if !known {
		result.certificate, result.err = readCertificate(secret)
		b.certs[target] = result
	}
	if result.err != nil {
		return nil, reasonInvalidCertificate, target.String() + ": " + result.err.Error()
	}
	return result.certificate, "", ""
}

// secretHint finds what the author of a reference to a missing Secret may have meant: a cert-manager Certificate's own name
// instead of the name of the Secret that it fills, the same Secret in another namespace, or a name mistyped.
func (b *builder) secretHint(missing object.Key) string {
	certificate := b.set.Get(keyOf(kind(certManagerGroup, "Certificate"), missing.Namespace, missing.Name))
	if certificate != nil {
		if spec, ok := certificate.Content["spec"].(map[string]any); ok {
			if filled, ok := spec["secretName"].(string); ok && filled != missing.Name {
				return `: Certificate ` + missing.Name + ` puts its certificate into Secret "` + filled + `"; refer to that`
			}
		}
	}
	return b.hint(missing)
}

// readCertificate reads a Secret's tls.crt and tls.key. Validity in time is not judged here: Build has no clock.
func readCertificate(o *object.Object) (*Certificate, error) {
	secret, ok := o.Value.(*corev1.Secret)
	if !ok {
		return nil, errors.New("not a Secret")
	}
	pair := [2][]byte{}
	for i, key := range [...]string{corev1.TLSCertKey, corev1.TLSPrivateKeyKey} {
		pair[i] = secret.Data[key]
		if text, ok := secret.StringData[key]; ok {
			pair[i] = []byte(text)
		}
		if len(pair[i]) == 0 {
			return nil, fmt.Errorf("it has no %s; a Secret of type %s has %s and %s", key, corev1.SecretTypeTLS, corev1.TLSCertKey, corev1.TLSPrivateKeyKey)
		}
	}
	parsed, err := keypair.Parse(pair[0], pair[1])
	if err != nil {
		return nil, fmt.Errorf("%s and %s are not a usable certificate and key: %w", corev1.TLSCertKey, corev1.TLSPrivateKeyKey, err)
	}
	if parsed.Leaf == nil {
		if parsed.Leaf, err = x509.ParseCertificate(parsed.Certificate[0]); err != nil {
			return nil, fmt.Errorf("%s is not a certificate: %w", corev1.TLSCertKey, err)
		}
	}
	parsed.OCSPStaple = secret.Data[StapleKey]
	return &Certificate{Secret: o, TLS: &parsed, Placeholder: o.Meta.Annotations[PlaceholderAnnotation]}, nil
}

// PlaceholderAnnotation marks a Secret that was made up, with a self-signed certificate, because the port is to be up before the certificate
// that was asked for is there. Its value says what is waited for.
const PlaceholderAnnotation = "wicketgate.dev/placeholder"

// StapleKey is the key under which a Secret has an OCSP response for its certificate, in DER, to be stapled to handshakes.
const StapleKey = "ocsp-staple.der"

// checkBackendTLS resolves the certificate with which the Gateway presents itself to backends (GEP-3155). Without it nothing is sent
// that should be sent with it.
func (b *builder) checkBackendTLS(gw *Gateway) {
	config := gw.Spec.Spec.TLS
	if config == nil || config.Backend == nil || config.Backend.ClientCertificateRef == nil {
		return
	}
	const field = "spec.tls.backend.clientCertificateRef"
	certificate, reason, message := b.resolveCertificate(gw.Object, config.Backend.ClientCertificateRef)
	gw.Identity = &Identity{Certificate: certificate}
	if reason == "" {
		return
	}
	gw.Identity.Unusable = "the client certificate of " + gw.Object.Key.String() + " does not resolve: " + message
	if reason == reasonInvalidCertificate {
		reason = string(gatewayv1.GatewayReasonInvalidClientCertificateRef)
	}
	gw.faults.add(typeResolvedRefs, reason, field, message)
}

// validity says what is wrong with a certificate at a time, or "".
func (c *Certificate) validity(now time.Time) string {
	switch leaf := c.TLS.Leaf; {
	case leaf == nil || c.Placeholder != "":
		return ""
	case now.After(leaf.NotAfter):
		return "the certificate of " + c.Secret.Key.String() + " expired on " + leaf.NotAfter.UTC().Format(time.DateOnly) + ": clients will refuse it"
	case now.Before(leaf.NotBefore):
		return "the certificate of " + c.Secret.Key.String() + " is not valid before " + leaf.NotBefore.UTC().Format(time.RFC3339) + ": clients will refuse it"
	}
	return ""
}

// CertificateProblems tells of certificates that are served though they have expired or are not valid yet. It is apart from Graph.Problems
// because it depends on the time.
func CertificateProblems(g *Graph, now time.Time) []object.Problem {
	var problems []object.Problem
	for _, gw := range g.Gateways {
		for l := range gw.all() {
			for _, c := range l.Certificates {
				if message := c.validity(now); message != "" {
					field := l.field("tls.certificateRefs")
					problems = append(problems, object.Problem{
						Severity: object.Warning, Position: l.Object().At(field), Object: l.Object().Key, Field: field, Message: message,
					})
				}
			}
		}
	}
	slices.SortStableFunc(problems, compareProblems)
	return problems
}
