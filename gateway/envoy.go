// Envoy Gateway's Backend: endpoints by name, by address or as Unix sockets, with TLS settings of their own or by a BackendTLSPolicy, whose
// validation takes precedence.

package gateway

import (
	"crypto/tls"
	"net/netip"
	"path"
	"slices"
	"strconv"
	"strings"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/wicketgate/wicketgate/envoygateway"
	"github.com/wicketgate/wicketgate/object"
)

// EnvoyBackend is one Backend of Envoy Gateway.
type EnvoyBackend struct {
	Object     *object.Object
	Conditions []Condition
}

// readBackends reads the Backends.
func (b *builder) readBackends() {
	all := typed[*envoygateway.Backend](b.set, backendKind())
	slices.SortFunc(all, func(x, y typedObject[*envoygateway.Backend]) int { return older(x.object, y.object) })
	for _, o := range all {
		e := &external{object: o.object, target: &Target{}}
		b.backends.externals[o.object.Key] = e
		b.readBackend(e, &o.value.Spec)
		b.reportFaults(o.object, e.faults)
		b.graph.Backends = append(b.graph.Backends, &EnvoyBackend{o.object, []Condition{
			e.faults.positive(typeAccepted, reasonAccepted, "The Backend is accepted"),
		}})
	}
}

func (b *builder) readBackend(e *external, spec *envoygateway.BackendSpec) {
	if spec.Type == envoygateway.TypeDynamicResolver {
		e.refuse(reasonInvalid, "spec.type", "type DynamicResolver, by which clients choose where requests go, is not supported: name the endpoints")
	}
	if deref(spec.Fallback, false) {
		e.refuse(reasonInvalid, "spec.fallback", "fallback is not supported: remove it")
	}
	for i := range spec.Endpoints {
		b.readBackendEndpoint(e, &spec.Endpoints[i], "spec.endpoints["+strconv.Itoa(i)+"]")
	}
	slices.SortFunc(e.target.Endpoints, netip.AddrPort.Compare)
	e.target.Endpoints = slices.Compact(e.target.Endpoints)
	e.target.AppProtocol = backendProtocol(spec.AppProtocols)
	if spec.TLS != nil {
		e.target.TLS = b.readSettings(e, spec)
	}
	b.applyPolicy(e)
}

// readBackendEndpoint adds one endpoint to the target. An endpoint that cannot be dialled is an error in the Backend, and not one less.
func (b *builder) readBackendEndpoint(e *external, from *envoygateway.Endpoint, field string) {
	if from.Hostname != nil {
		e.refuse(reasonInvalid, field+".hostname", "hostname is not supported: set the Host with a URLRewrite filter, and the server name with tls.sni")
	}
	switch {
	case from.FQDN != nil && isLocalName(from.FQDN.Hostname):
		e.refuse(reasonInvalid, field+".fqdn.hostname", from.FQDN.Hostname+localNameMessage+" into ip")
	case from.FQDN != nil:
		e.target.Hosts = append(e.target.Hosts, Host{Names: []string{from.FQDN.Hostname}, Port: uint16(from.FQDN.Port), Public: true})
	case from.IP != nil:
		address, err := netip.ParseAddr(from.IP.Address)
		if address = address.Unmap(); err != nil || address.IsUnspecified() || address.IsLinkLocalUnicast() || address.IsMulticast() {
			e.refuse(reasonInvalid, field+".ip.address", from.IP.Address+" is not an address that is dialled: it must be unicast, and not link-local")
			return
		}
		if b.refusesLoopback(e.object, from.IP.Address) {
			e.refuse(reasonInvalid, field+".ip.address", from.IP.Address+confinedLoopback)
			return
		}
		e.target.Endpoints = append(e.target.Endpoints, netip.AddrPortFrom(address, uint16(from.IP.Port)))
	case from.Unix != nil:
		if message := b.refusesSocket(e.object, from.Unix.Path); message != "" {
			e.refuse(reasonInvalid, field+".unix.path", message)
			return
		}
		e.target.Sockets = append(e.target.Sockets, path.Clean(from.Unix.Path))
	}
}

// refusesSocket says why an object may not name a Unix socket.
func (b *builder) refusesSocket(o *object.Object, socket string) string {
	dir := strings.TrimSuffix(path.Clean(b.opts.UnixDir), "/")
	switch {
	case b.opts.UnixDir == "":
		return "Unix sockets may not be dialled: start with --backend-unix-dir to let Backends name those below a directory"
	case !strings.HasPrefix(path.Clean(socket), dir+"/"):
		return socket + " is not below " + b.opts.UnixDir + ", the directory of --backend-unix-dir"
	case o.Confined && !b.opts.ConfinedLoopback:
		return socket + " is a service of this machine, which objects in a confined directory may not name: start with --allow-loopback-backends to let them"
	}
	return ""
}

// backendProtocol is the appProtocol that stands for what a Backend's endpoints speak. HTTP/2 carries WebSockets, too.
func backendProtocol(list []envoygateway.AppProtocol) string {
	switch {
	case slices.Contains(list, envoygateway.AppProtocolH2C):
		return "kubernetes.io/h2c"
	case slices.Contains(list, envoygateway.AppProtocolWSS):
		return "kubernetes.io/wss"
	case slices.Contains(list, envoygateway.AppProtocolWS):
		return "kubernetes.io/ws"
	}
	return ""
}

// readSettings reads a Backend's own TLS settings. The certificate is checked for the server name: sni, or the name that all endpoints have.
func (b *builder) readSettings(e *external, spec *envoygateway.BackendSpec) *BackendTLS {
	t := spec.TLS
	demand := &BackendTLS{Policy: e.object, Insecure: deref(t.InsecureSkipVerify, false), Hostname: serverName(spec)}
	for _, unsupported := range []struct {
		field string
		given bool
	}{
		{"ciphers", len(t.Ciphers) > 0},
		{"ecdhCurves", len(t.ECDHCurves) > 0},
		{"signatureAlgorithms", len(t.SignatureAlgorithms) > 0},
		{"alpnProtocols", len(t.ALPNProtocols) > 0},
	} {
		if unsupported.given {
			e.refuse(reasonInvalid, "spec.tls."+unsupported.field, unsupported.field+" is not supported: remove it")
		}
	}
	demand.MinVersion = e.version("spec.tls.minVersion", t.MinVersion)
	demand.MaxVersion = e.version("spec.tls.maxVersion", t.MaxVersion)
	if t.ClientCertificateRef != nil {
		b.present(e, demand, t.ClientCertificateRef, reasonInvalid, "spec.tls.clientCertificateRef")
	}
	return demand
}

// validated completes a Backend's TLS settings with whom to trust, where no policy says it.
func (b *builder) validated(e *external, demand *BackendTLS, t *envoygateway.BackendSettings) {
	if demand.Insecure {
		b.warn(e.object, "spec.tls.insecureSkipVerify", "certificates of the endpoints are not checked: anybody between may read and change what is sent")
		return
	}
	if demand.Hostname == "" {
		e.refuse(reasonInvalid, "spec.tls.sni", "sni is required where the endpoints have no name in common: the certificate is checked for it")
		return
	}
	if len(t.CACertificateRefs) == 0 && deref(t.WellKnownCACertificates, "") == "" {
		e.refuse(reasonInvalid, "spec.tls", "tls does not say whom to trust: add caCertificateRefs or wellKnownCACertificates: System")
		return
	}
	read := b.readValidation(e.object, &e.faults, "spec.tls", &gatewayv1.BackendTLSPolicyValidation{
		CACertificateRefs: t.CACertificateRefs, WellKnownCACertificates: t.WellKnownCACertificates, Hostname: gatewayv1.PreciseHostname(demand.Hostname),
	})
	if read != nil {
		demand.Roots, demand.Fingerprint = read.Roots, read.Fingerprint
	}
}

// applyPolicy lets a BackendTLSPolicy that targets the Backend say whom to trust and for which name.
func (b *builder) applyPolicy(e *external) {
	own := e.target.TLS
	policy, message := b.policyFor(targetKey{Key: e.object.Key}, nil, nil)
	switch {
	case message != "":
		e.refuse(reasonInvalid, "spec", message)
		return
	case policy == nil && own == nil:
		return
	case policy == nil:
		b.validated(e, own, e.object.Value.(*envoygateway.Backend).Spec.TLS)
	case own == nil:
		e.target.TLS = policy
		return
	default:
		merged := *policy
		merged.MinVersion, merged.MaxVersion, merged.Identity = own.MinVersion, own.MaxVersion, own.Identity
		own = &merged
	}
	own.seal()
	e.target.TLS = own
}

// serverName is what a Backend's endpoints are called in a handshake: sni, or the name that all of them have; "" if there is none.
func serverName(spec *envoygateway.BackendSpec) string {
	if spec.TLS.SNI != nil {
		return *spec.TLS.SNI
	}
	name := ""
	for _, e := range spec.Endpoints {
		if e.FQDN == nil || name != "" && name != e.FQDN.Hostname {
			return ""
		}
		name = e.FQDN.Hostname
	}
	return name
}

// version is crypto/tls's for a version of TLS; 0: its default.
func (e *external) version(field string, v *envoygateway.TLSVersion) uint16 {
	switch deref(v, envoygateway.TLSAuto) {
	case envoygateway.TLS12:
		return tls.VersionTLS12
	case envoygateway.TLS13:
		return tls.VersionTLS13
	case envoygateway.TLS10, envoygateway.TLS11:
		e.refuse(reasonInvalid, field, "TLS 1.0 and 1.1 are not spoken (RFC 8996): use 1.2 or 1.3")
	}
	return 0
}
