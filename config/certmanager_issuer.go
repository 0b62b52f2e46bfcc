// Admission of Issuers and ClusterIssuers.

package config

import (
	"crypto/x509"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	metav1validation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/wicketgate/wicketgate/certmanager"
)

// admitIssuer validates an issuer's specification. Vault and Venafi are admitted with whatever is in them.
func admitIssuer(s *certmanager.IssuerSpec, path *field.Path, f *findings) {
	given := count(s.ACME != nil, s.CA != nil, s.SelfSigned != nil, len(s.Vault) > 0, len(s.Venafi) > 0)
	if given != 1 {
		f.errorf(path, "must have exactly one of acme, ca, selfSigned, vault and venafi, not %d", given)
	}
	if s.CA != nil && s.CA.SecretName == "" {
		f.errorf(path.Child("ca", "secretName"), "is required: the Secret with the authority's tls.crt and tls.key")
	}
	if s.ACME != nil {
		admitACME(s.ACME, path.Child("acme"), f)
	}
}

// count counts what is true.
func count(given ...bool) (n int) {
	for _, g := range given {
		if g {
			n++
		}
	}
	return n
}

// admitACME validates an ACME issuer.
func admitACME(a *certmanager.ACMEIssuer, path *field.Path, f *findings) {
	if u, err := url.Parse(a.Server); a.Server == "" {
		f.errorf(path.Child("server"), "is required: the URL of the server's directory, such as https://acme-v02.api.letsencrypt.org/directory")
	} else if err != nil || u.Scheme != "https" || u.Host == "" {
		f.errorf(path.Child("server"), "%q is not the https URL of an ACME server's directory", a.Server)
	}
	if a.Email != "" && !strings.Contains(a.Email, "@") {
		f.errorf(path.Child("email"), "%q is not an email address", a.Email)
	}
	if a.PrivateKey.Name == "" {
		f.errorf(path.Child("privateKeySecretRef", "name"), "is required: under this name the account's key is kept")
	}
	if len(a.CABundle) > 0 && !x509.NewCertPool().AppendCertsFromPEM(a.CABundle) {
		f.errorf(path.Child("caBundle"), "holds no certificate: it must be base64 of PEM")
	}
	if b := a.ExternalAccountBinding; b != nil {
		at := path.Child("externalAccountBinding")
		required(f, at.Child("keyID"), b.KeyID)
		requiredKey(f, at.Child("keySecretRef"), &b.Key)
		oneOf(f, at.Child("keyAlgorithm"), b.KeyAlgorithm, "HS256")
	}
	for i := range a.Solvers {
		admitSolver(&a.Solvers[i], path.Child("solvers").Index(i), f)
	}
}

// required reports a field that is empty.
func required(f *findings, path *field.Path, value string) {
	if value == "" {
		f.errorf(path, "is required")
	}
}

// requiredKey reports what lacks of a reference to a Secret's key.
func requiredKey(f *findings, path *field.Path, s *certmanager.SecretKeySelector) {
	if s == nil {
		f.errorf(path, "is required")
		return
	}
	required(f, path.Child("name"), s.Name)
	required(f, path.Child("key"), s.Key)
}

// admitSolver validates one way of solving challenges.
func admitSolver(s *certmanager.Solver, path *field.Path, f *findings) {
	if given := count(s.HTTP01 != nil, s.DNS01 != nil); given != 1 {
		f.errorf(path, "must have exactly one of http01 and dns01, not %d", given)
	}
	if h := s.HTTP01; h != nil && count(h.Ingress != nil, h.GatewayHTTPRoute != nil) == 2 {
		f.errorf(path.Child("http01"), "has both ingress and gatewayHTTPRoute: remove one of them")
	}
	if s.Selector != nil {
		at := path.Child("selector")
		f.add(metav1validation.ValidateLabels(s.Selector.MatchLabels, at.Child("matchLabels")))
		for i, name := range s.Selector.DNSNames {
			admitDNSName(name, at.Child("dnsNames").Index(i), f)
		}
		for i, zone := range s.Selector.DNSZones {
			admitDNSName(zone, at.Child("dnsZones").Index(i), f)
		}
	}
	if s.DNS01 != nil {
		admitDNS01(s.DNS01, path.Child("dns01"), f)
	}
}

// admitDNS01 validates a DNS provider.
func admitDNS01(d *certmanager.DNS01, path *field.Path, f *findings) {
	oneOf(f, path.Child("cnameStrategy"), d.CNAMEStrategy, "None", "Follow")
	given := count(d.Cloudflare != nil, d.Route53 != nil, d.RFC2136 != nil, d.DigitalOcean != nil, d.ACMEDNS != nil)
	if given != 1 && !f.rejected() { // a provider that is not supported was reported already
		f.errorf(path, "must have exactly one provider of cloudflare, route53, rfc2136, digitalocean and acmeDNS, not %d", given)
	}
	if c := d.Cloudflare; c != nil {
		at := path.Child("cloudflare")
		switch {
		case count(c.APIToken != nil, c.APIKey != nil) != 1:
			f.errorf(at, "must have exactly one of apiTokenSecretRef and apiKeySecretRef")
		case c.APIToken != nil:
			requiredKey(f, at.Child("apiTokenSecretRef"), c.APIToken)
		default:
			requiredKey(f, at.Child("apiKeySecretRef"), c.APIKey)
			required(f, at.Child("email"), c.Email)
		}
	}
	if r := d.Route53; r != nil && (r.AccessKeyID != "" || r.AccessKeyIDSecret != nil) != (r.SecretAccessKey != nil) {
		f.errorf(path.Child("route53"), "must have both an access key ID and secretAccessKeySecretRef, or neither, for the environment's credentials")
	}
	if d.RFC2136 != nil {
		admitRFC2136(d.RFC2136, path.Child("rfc2136"), f)
	}
	if d.DigitalOcean != nil {
		requiredKey(f, path.Child("digitalocean", "tokenSecretRef"), &d.DigitalOcean.Token)
	}
	if d.ACMEDNS != nil {
		required(f, path.Child("acmeDNS", "host"), d.ACMEDNS.Host)
		requiredKey(f, path.Child("acmeDNS", "accountSecretRef"), &d.ACMEDNS.Account)
	}
}

// admitRFC2136 validates dynamic updates: a TSIG key is given as a whole or not at all.
func admitRFC2136(r *certmanager.RFC2136, path *field.Path, f *findings) {
	if !isServer(r.Nameserver) {
		f.errorf(path.Child("nameserver"), "%q is not an address or host name with or without a port, such as 10.0.0.2:53", r.Nameserver)
	}
	oneOf(f, path.Child("tsigAlgorithm"), r.TSIGAlgorithm, "HMACMD5", "HMACSHA1", "HMACSHA256", "HMACSHA512")
	if (r.TSIGKeyName != "") != (r.TSIGSecret != nil) {
		f.errorf(path, "must have both tsigKeyName and tsigSecretSecretRef, or neither")
	} else if r.TSIGSecret != nil {
		requiredKey(f, path.Child("tsigSecretSecretRef"), r.TSIGSecret)
	}
}

// isServer says whether text is an IP address or host name, perhaps with a port. IPv6 addresses are in brackets.
func isServer(text string) bool {
	host := text
	if strings.Count(text, ":") == 1 || strings.Contains(text, "]:") {
		var port string
		var err error
		if host, port, err = net.SplitHostPort(text); err != nil {
			return false
		}
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return false
		}
	}
	if _, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
		return true
	}
	return len(validation.IsDNS1123Subdomain(strings.ToLower(host))) == 0
}
