// What Gateways demand of their clients' certificates (GEP-91), port by port.
//
// A Gateway's spec.tls.frontend has a default for all of its HTTPS listeners and may have others for single ports, which replace it, also
// where they ask for nothing. Because a connection can serve every listener of its port, no listener has a configuration of its own. References
// that do not resolve leave the others in force; if none resolves, the listeners carry no traffic, rather than traffic of clients that nobody
// checked.
//
// Example: with a default that trusts "staff", port 8443 that trusts "partners" and port 9443 with an empty tls, the listeners on 443 ask for
// certificates of staff, those on 8443 for partners', and those on 9443 for none.

package gateway

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"slices"
	"strconv"
	"strings"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/wicketgate/wicketgate/object"
)

// ClientValidation is what a listener demands of its clients' certificates. It is immutable.
type ClientValidation struct {
	// Roots are whom to trust.
	Roots *x509.CertPool
	// InsecureFallback serves clients without a certificate, and with one that is not valid, as well; they are asked for it all the same.
	InsecureFallback bool
	// Fingerprint is equal for two that demand the same.
	Fingerprint string

	trusted map[[sha256.Size]byte]bool // the certificates in Roots
}

// NewClientValidation demands certificates of clients that lead to one of these authorities.
func NewClientValidation(authorities []*x509.Certificate, insecureFallback bool) *ClientValidation {
	v := &ClientValidation{Roots: x509.NewCertPool(), InsecureFallback: insecureFallback, trusted: map[[sha256.Size]byte]bool{}}
	var sums []string
	for _, c := range authorities {
		sum := sha256.Sum256(c.Raw)
		if !v.trusted[sum] {
			v.Roots.AddCert(c)
			v.trusted[sum] = true
			sums = append(sums, string(sum[:]))
		}
	}
	slices.Sort(sums)
	digest := sha256.Sum256([]byte(strings.Join(sums, "")))
	v.Fingerprint = hex.EncodeToString(digest[:8])
	if insecureFallback {
		v.Fingerprint += " with fallback"
	}
	return v
}

// Admits says whether a client may use a connection whose handshake found these chains, from its certificate to a root, to be valid. It may
// have been made while something else was demanded. Nil demands nothing.
func (v *ClientValidation) Admits(chains [][]*x509.Certificate) bool {
	if v == nil || v.InsecureFallback {
		return true
	}
	return slices.ContainsFunc(chains, func(chain []*x509.Certificate) bool {
		return len(chain) > 0 && v.trusted[sha256.Sum256(chain[len(chain)-1].Raw)]
	})
}

// equal says whether two demand the same.
func (v *ClientValidation) equal(other *ClientValidation) bool {
	if v == nil || other == nil {
		return v == other
	}
	return v.Fingerprint == other.Fingerprint
}

// clientDemand is the result of reading one configuration of a Gateway; one a configuration and Build.
type clientDemand struct {
	validation *ClientValidation // nil if the configuration asks for none, or if none of its references resolves
	faults     faults            // with fields of the Gateway
}

// clientConfig names a configuration: the default (-1) or an entry of perPort.
type clientConfig struct {
	gateway *Gateway
	index   int
}

const defaultClientConfig = -1

// checkClientValidation resolves what the clients of an HTTPS listener have to show.
func (b *builder) checkClientValidation(l *Listener) {
	config := l.Gateway.Spec.Spec.TLS
	if config == nil || config.Frontend == nil {
		return
	}
	key := clientConfig{l.Gateway, slices.IndexFunc(config.Frontend.PerPort, func(p gatewayv1.TLSPortConfig) bool { return p.Port == l.Port })}
	demand := b.clients[key]
	if demand == nil {
		demand = b.readClientValidation(key)
		b.clients[key] = demand
	}
	l.Clients = demand.validation
	for _, f := range demand.faults {
		if l.Set != nil {
			// The field is not of the ListenerSet, and which ConfigMaps another namespace has is not for its owner to know.
			f.field, f.message = l.field("port"), "what "+l.Gateway.Object.Key.String()+" demands of clients' certificates on port "+
				strconv.Itoa(int(l.Port))+" does not resolve: its owner has to repair spec.tls.frontend"
		}
		l.faults = append(l.faults, f)
	}
}

// warnNoValidation tells of a listener of protocol TLS whose port has a configuration: the specification has it for "all Listeners handling
// HTTPS traffic", and no others.
func (b *builder) warnNoValidation(l *Listener) {
	config := l.Gateway.Spec.Spec.TLS
	if config == nil || config.Frontend == nil {
		return
	}
	spec := config.Frontend.Default.Validation
	if i := slices.IndexFunc(config.Frontend.PerPort, func(p gatewayv1.TLSPortConfig) bool { return p.Port == l.Port }); i >= 0 {
		spec = config.Frontend.PerPort[i].TLS.Validation
	}
	if spec != nil {
		b.warn(l.Object(), l.field("protocol"), "clients of a listener of protocol TLS show no certificates: spec.tls.frontend is for listeners of protocol HTTPS")
	}
}

// readClientValidation reads one configuration.
func (b *builder) readClientValidation(key clientConfig) *clientDemand {
	frontend := key.gateway.Spec.Spec.TLS.Frontend
	spec, field := frontend.Default.Validation, "spec.tls.frontend.default.validation.caCertificateRefs"
	if key.index != defaultClientConfig {
		spec = frontend.PerPort[key.index].TLS.Validation
		field = "spec.tls.frontend.perPort[" + strconv.Itoa(key.index) + "].tls.validation.caCertificateRefs"
	}
	demand := &clientDemand{}
	if spec == nil {
		return demand
	}
	var trusted []*x509.Certificate
	for i := range spec.CACertificateRefs {
		list, reason, message := b.clientAuthorities(key.gateway.Object, &spec.CACertificateRefs[i])
		if reason != "" {
			demand.faults.add(typeResolvedRefs, reason, field+"["+strconv.Itoa(i)+"]", message)
		}
		trusted = append(trusted, list...)
	}
	if len(trusted) == 0 {
		_, message := demand.faults.summary(typeResolvedRefs)
		demand.faults.add(typeAccepted, string(gatewayv1.ListenerReasonNoValidCACertificate), field+"[0]", message)
		return demand
	}
	demand.validation = NewClientValidation(trusted, spec.Mode == gatewayv1.AllowInsecureFallback)
	return demand
}

// clientAuthorities follows a caCertificateRef of a Gateway; the reason is empty if all went well. As with certificates, the answer tells
// whether the target exists only where a grant permits to know.
func (b *builder) clientAuthorities(from *object.Object, ref *gatewayv1.ObjectReference) (list []*x509.Certificate, reason, message string) {
	target := keyOf(kind(string(ref.Group), string(ref.Kind)), string(deref(ref.Namespace, gatewayv1.Namespace(from.Namespace))), string(ref.Name))
	clusterScoped := target.GroupKind == trustBundleKind()
	if clusterScoped {
		target.Namespace = "" // everybody may refer to it
	}
	if !holdsAuthorities(target.GroupKind) {
		return nil, string(gatewayv1.ListenerReasonInvalidCACertificateKind), target.String() + kindGroup(string(ref.Group)) +
			" cannot hold CA certificates: refer to a ConfigMap, a Secret or a ClusterTrustBundle"
	}
	if !clusterScoped && !b.grants.permits(from.GroupKind, from.Namespace, target) {
		return nil, reasonNotPermitted, notPermitted(from.GroupKind, from.Namespace, target)
	}
	o := b.set.Get(target)
	if o == nil {
		return nil, string(gatewayv1.ListenerReasonInvalidCACertificateRef), target.String() + " is not defined" + b.hint(target)
	}
	list, err := readAuthorities(o)
	if err != nil {
		return nil, string(gatewayv1.ListenerReasonInvalidCACertificateRef), target.String() + ": " + err.Error()
	}
	return list, "", ""
}

// insecureFrontend says whether any configuration of the Gateway lets clients in without a valid certificate.
func (gw *Gateway) insecureFrontend() bool {
	config := gw.Spec.Spec.TLS
	if config == nil || config.Frontend == nil {
		return false
	}
	insecure := func(v *gatewayv1.FrontendTLSValidation) bool {
		return v != nil && v.Mode == gatewayv1.AllowInsecureFallback
	}
	return insecure(config.Frontend.Default.Validation) || slices.ContainsFunc(config.Frontend.PerPort, func(p gatewayv1.TLSPortConfig) bool {
		return insecure(p.TLS.Validation)
	})
}

// reportUnusedPorts warns of configurations for ports that no HTTPS listener has: often one of the two numbers has a typing error, and the
// listener that was meant falls to the default.
func (b *builder) reportUnusedPorts() {
	for _, gw := range b.graph.Gateways {
		config := gw.Spec.Spec.TLS
		if config == nil || config.Frontend == nil {
			continue
		}
		for i, p := range config.Frontend.PerPort {
			if b.clients[clientConfig{gw, i}] == nil {
				b.warn(gw.Object, "spec.tls.frontend.perPort["+strconv.Itoa(i)+"].port", "no HTTPS listener of the Gateway has port "+
					strconv.Itoa(int(p.Port))+", so that its validation of client certificates has no effect")
			}
		}
	}
}
