// TLS to backends: what a BackendTLSPolicy (GEP-1897) demands of a connection, as crypto/tls can check it.

package proxy

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/wicketgate/wicketgate/gateway"
	"github.com/wicketgate/wicketgate/proxy/backend"
)

// identity is with what a Gateway presents itself to the backends of a rule: nil if none of them is spoken TLS with, so that a rule is
// compiled once for all Gateways wherever it makes no difference.
func identity(r *gateway.Rule, gw *gateway.Gateway) *gateway.Identity {
	if gw.Identity == nil {
		return nil
	}
	secure := func(t *gateway.Target) bool { return t != nil && t.TLS != nil }
	mirrors := func(m *gateway.Mirror) bool { return secure(m.Target) }
	asks := func(a *gateway.ExternalAuth) bool { return a != nil && secure(a.Target) }
	if slices.ContainsFunc(r.Mirrors, mirrors) || asks(r.Auth) {
		return gw.Identity
	}
	for _, b := range r.Backends {
		if secure(b.Target) || slices.ContainsFunc(b.Mirrors, mirrors) || asks(b.Auth) {
			return gw.Identity
		}
	}
	return nil
}

// presented is with what a rule of this identity presents itself to a target: a Backend may name a certificate of its own.
func presented(t *gateway.Target, id *gateway.Identity) *gateway.Identity {
	switch {
	case t.TLS == nil:
		return nil
	case t.TLS.Identity != nil:
		return t.TLS.Identity
	}
	return id
}

// backendKey identifies a backend across snapshots. Connections are shared only where the same is spoken on them, the same is demanded of them, and
// they are made with the same certificate and begin with the same kind of header.
func backendKey(t *gateway.Target, id *gateway.Identity, p backend.Protocol) string {
	key := t.Key
	switch p {
	case backend.HTTP2:
		key += " HTTP/2"
	case backend.Auto:
		key += " ALPN"
	case backend.HTTP1:
	}
	if t.ProxyProtocol != 0 {
		key += " PROXY v" + strconv.Itoa(t.ProxyProtocol)
	}
	if t.TLS == nil {
		return key
	}
	key += " (" + t.TLS.Policy.Key.String() + " " + t.TLS.Fingerprint
	if id != nil {
		digest := sha256.New()
		for _, der := range id.Certificate.TLS.Certificate {
			_, _ = digest.Write(der) // never fails
		}
		key += " " + hex.EncodeToString(digest.Sum(nil)[:8])
	}
	return key + ")"
}

// backendTLS is how connections to a target are secured.
func backendTLS(demand *gateway.BackendTLS, id *gateway.Identity) *backend.TLS {
	config := &tls.Config{
		ServerName: demand.Hostname,
		RootCAs:    demand.Roots,
		MinVersion: max(tls.VersionTLS12, demand.MinVersion),
		MaxVersion: demand.MaxVersion,
		// A Backend may say that it trusts anybody.
		InsecureSkipVerify: demand.Insecure,
	}
	if id != nil {
		// Whatever authorities the backend names: it is for the backend to refuse the certificate, and for its log to say so.
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return id.Certificate.TLS, nil }
	}
	if len(demand.Hostnames)+len(demand.URIs) > 0 {
		// The certificate need not be valid for the server name then, which crypto/tls insists on; all else is checked as it would.
		config.InsecureSkipVerify = true
		config.VerifyConnection = func(state tls.ConnectionState) error { return verifyNames(demand, state.PeerCertificates) }
	}
	return &backend.TLS{Config: config, Policy: demand.Policy.Key.String()}
}

// verifyNames checks a chain, and that its leaf has one of the alternative names. It is asked at every handshake, also one that resumes
// a session.
func verifyNames(demand *gateway.BackendTLS, chain []*x509.Certificate) error {
	if len(chain) == 0 {
		return errors.New("the backend sent no certificate")
	}
	leaf, between := chain[0], x509.NewCertPool()
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: demand.Roots, Intermediates: between}); err != nil {
		return fmt.Errorf("failed to verify certificate: %w", err)
	}
	for _, hostname := range demand.Hostnames {
		if hasHostname(leaf, hostname) {
			return nil
		}
	}
	if slices.ContainsFunc(leaf.URIs, func(u *url.URL) bool { return slices.Contains(demand.URIs, u.String()) }) {
		return nil
	}
	return fmt.Errorf("the certificate has none of the subjectAltNames of the policy (%s); it is valid for %s",
		strings.Join(slices.Concat(demand.Hostnames, demand.URIs), ", "), describeNames(leaf))
}

// hasHostname says whether a certificate is valid for a hostname. A wildcard asks for any name with one label in its place.
func hasHostname(leaf *x509.Certificate, hostname string) bool {
	suffix, wildcard := strings.CutPrefix(hostname, "*")
	if !wildcard {
		return leaf.VerifyHostname(hostname) == nil
	}
	return slices.ContainsFunc(leaf.DNSNames, func(san string) bool {
		label, ok := strings.CutSuffix(strings.ToLower(san), suffix)
		return ok && label != "" && !strings.Contains(label, ".")
	})
}

// describeNames lists for what a certificate is valid.
func describeNames(leaf *x509.Certificate) string {
	names := slices.Clone(leaf.DNSNames)
	for _, u := range leaf.URIs {
		names = append(names, u.String())
	}
	if len(names) == 0 {
		return "no name"
	}
	return strings.Join(names, ", ")
}
