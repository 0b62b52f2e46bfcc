// The kinds of cert-manager: their columns, and the rules for Certificates, which are those of cert-manager's own admission.

package config

import (
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1validation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/wicketgate/wicketgate/certmanager"
)

// certManagerKinds are the kinds of cert-manager that are served, with the columns of its CRDs.
func certManagerKinds() []*Kind {
	ready := Column{Name: "Ready", Type: "string", JSONPath: `.status.conditions[?(@.type == "Ready")].status`}
	status := Column{Name: "Status", Type: "string", JSONPath: `.status.conditions[?(@.type == "Ready")].message`, Priority: 1}
	age := Column{Name: "Age", Type: "date", JSONPath: ".metadata.creationTimestamp"}
	return []*Kind{
		{
			Group: certManagerGroup, Kind: certmanager.CertificateKind,
			Plural: "certificates", Singular: "certificate", ShortNames: []string{"cert", "certs"},
			Namespaced: true, Versions: []*Version{{Name: "v1", Columns: []Column{
				ready,
				{Name: "Secret", Type: "string", JSONPath: ".spec.secretName"},
				{Name: "Issuer", Type: "string", JSONPath: ".spec.issuerRef.name", Priority: 1},
				{Name: "Not-After", Type: "string", JSONPath: ".status.notAfter", Priority: 1},
				status, age,
			}}},
			newValue: func() any { return new(certmanager.Certificate) }, core: true,
		},
		{
			Group: certManagerGroup, Kind: certmanager.ClusterIssuerKind,
			Plural: "clusterissuers", Singular: "clusterissuer", ShortNames: []string{"ciss"},
			Versions: []*Version{{Name: "v1", Columns: []Column{ready, status, age}}},
			newValue: func() any { return new(certmanager.Issuer) }, core: true,
		},
		{
			Group: certManagerGroup, Kind: certmanager.IssuerKind,
			Plural: "issuers", Singular: "issuer", ShortNames: []string{"iss"},
			Namespaced: true, Versions: []*Version{{Name: "v1", Columns: []Column{ready, status, age}}},
			newValue: func() any { return new(certmanager.Issuer) }, core: true,
		},
	}
}

// refusedFields are fields of cert-manager's kinds that have no meaning here, each with why. A path of a kind's fields; "*" stands for
// every item of a list.
func refusedFields(kind string) map[string]string {
	const noDNS = "this DNS provider is not supported: use cloudflare, route53, rfc2136, digitalocean or acmeDNS"
	switch kind {
	case certmanager.CertificateKind:
		return map[string]string{
			"spec.keystores":               "is not supported: nothing here reads keystores; remove it",
			"spec.otherNames":              "is not supported: a gateway's certificates name hosts; remove it",
			"spec.literalSubject":          "is not supported: use commonName and subject",
			"spec.nameConstraints":         "is not supported: remove it",
			"spec.additionalOutputFormats": "is not supported: nothing here reads other formats; remove it",
			"spec.emailAddresses":          "is not supported: a gateway's certificates name hosts; remove it",
			"spec.uris":                    "is not supported: a gateway's certificates name hosts; remove it",
			"spec.signatureAlgorithm":      "is not supported: the issuer's key decides it; remove it",
		}
	case certmanager.IssuerKind, certmanager.ClusterIssuerKind:
		const dns = "spec.acme.solvers.*.dns01."
		return map[string]string{
			"spec.acme.skipTLSVerify":               "is not supported: give the server's certificate authority in caBundle",
			"spec.acme.disableAccountKeyGeneration": "is not supported: the key of privateKeySecretRef is used wherever the files have that Secret; remove it",
			"spec.acme.enableDurationFeature":       "is not supported: the server decides how long certificates are valid; remove it",
			dns + "akamai":                          noDNS,
			dns + "azureDNS":                        noDNS,
			dns + "cloudDNS":                        noDNS,
			dns + "webhook":                         noDNS,
			dns + "route53.role":                    "is not supported: give the role in the environment's AWS configuration",
			dns + "route53.auth":                    "is not supported: there are no service accounts here; give the credentials in the environment or in Secrets",
		}
	}
	return nil
}

// refuseFields reports the fields of an object that are cert-manager's but not served, and takes them out of the tree, so that nobody calls
// them unknown.
func refuseFields(kind string, tree map[string]any, f *findings) {
	refused := refusedFields(kind)
	for _, path := range slices.Sorted(maps.Keys(refused)) {
		takeField(tree, nil, strings.Split(path, "."), func(at *field.Path) { f.errorf(at, "%s", refused[path]) })
	}
}

// takeField removes the field at the end of a path wherever it is, and tells of each.
func takeField(v any, at *field.Path, path []string, found func(*field.Path)) {
	switch v := v.(type) {
	case []any:
		if path[0] == "*" {
			for i, item := range v {
				takeField(item, at.Index(i), path[1:], found)
			}
		}
	case map[string]any:
		next, ok := v[path[0]]
		if !ok {
			return
		}
		if at = child(at, path[0]); len(path) > 1 {
			takeField(next, at, path[1:], found)
			return
		}
		delete(v, path[0])
		found(at)
	}
}

// child is the path of a field at another path, which may be nil.
func child(at *field.Path, name string) *field.Path {
	if at == nil {
		return field.NewPath(name)
	}
	return at.Child(name)
}

// Bounds of a Certificate's times and keys, as cert-manager has them.
const (
	minDuration    = time.Hour
	minRenewBefore = 5 * time.Minute
	maxCommonName  = 64 // RFC 5280 appendix A
	maxNames       = 100
)

// admitCertificate validates a Certificate.
func admitCertificate(s *certmanager.CertificateSpec, path *field.Path, f *findings) {
	if s.SecretName == "" {
		f.errorf(path.Child("secretName"), "is required: the name of the Secret that a listener's certificateRefs name")
	} else {
		invalid(f, path.Child("secretName"), s.SecretName, apivalidation.NameIsDNSSubdomain(s.SecretName, false))
	}
	admitIssuerRef(&s.IssuerRef, path.Child("issuerRef"), f)
	if s.CommonName == "" && len(s.DNSNames) == 0 && len(s.IPAddresses) == 0 {
		f.errorf(path.Child("dnsNames"), "is required, unless there are ipAddresses or a commonName")
	}
	if len(s.CommonName) > maxCommonName {
		f.errorf(path.Child("commonName"), "has %d characters, and at most %d are allowed: put the name into dnsNames instead", len(s.CommonName), maxCommonName)
	}
	if n := len(s.DNSNames) + len(s.IPAddresses); n > maxNames {
		f.errorf(path.Child("dnsNames"), "there are %d names, and a certificate can have %d: make several Certificates", n, maxNames)
	}
	for i, name := range s.DNSNames {
		admitDNSName(name, path.Child("dnsNames").Index(i), f)
	}
	for i, ip := range s.IPAddresses {
		if _, err := netip.ParseAddr(ip); err != nil {
			f.errorf(path.Child("ipAddresses").Index(i), "%q is not an IP address", ip)
		}
	}
	admitTimes(s, path, f)
	for i, u := range s.Usages {
		if !u.Known() {
			f.errorf(path.Child("usages").Index(i), "%q is not a usage such as \"server auth\" or \"digital signature\"", u)
		}
	}
	admitPrivateKey(s.PrivateKey, path.Child("privateKey"), f)
	if s.RevisionHistoryLimit != nil && *s.RevisionHistoryLimit < 1 {
		f.errorf(path.Child("revisionHistoryLimit"), "must be at least 1")
	}
	admitSecretTemplate(s.SecretTemplate, path.Child("secretTemplate"), f)
}

// admitDNSName checks a name of a certificate: a hostname, perhaps with a wildcard for the first label.
func admitDNSName(name string, path *field.Path, f *findings) {
	rest, wildcard := strings.CutPrefix(name, "*.")
	problems := validation.IsDNS1123Subdomain(strings.ToLower(rest))
	if wildcard && !strings.Contains(rest, ".") {
		problems = append(problems, "a wildcard needs a domain of at least two labels behind it")
	}
	invalid(f, path, name, problems)
}

// admitTimes checks duration, renewBefore and renewBeforePercentage, each alone and against each other.
func admitTimes(s *certmanager.CertificateSpec, path *field.Path, f *findings) {
	duration := certmanager.DefaultDuration
	if s.Duration != nil {
		if duration = s.Duration.Duration; duration < minDuration {
			f.errorf(path.Child("duration"), "must be at least %v", minDuration)
		}
	}
	if s.RenewBefore != nil {
		switch before := s.RenewBefore.Duration; {
		case s.RenewBeforePercentage != nil:
			f.errorf(path.Child("renewBeforePercentage"), "says the same as renewBefore: remove one of them")
		case before < minRenewBefore:
			f.errorf(path.Child("renewBefore"), "must be at least %v", minRenewBefore)
		case before >= duration:
			f.errorf(path.Child("renewBefore"), "must be shorter than the duration, %v", duration)
		}
	}
	if p := s.RenewBeforePercentage; p != nil && (*p < 1 || *p > 99) {
		f.errorf(path.Child("renewBeforePercentage"), "must be between 1 and 99")
	}
}

// admitPrivateKey checks what is asked of a key.
func admitPrivateKey(k *certmanager.PrivateKey, path *field.Path, f *findings) {
	if k == nil {
		return
	}
	oneOf(f, path.Child("rotationPolicy"), k.RotationPolicy, certmanager.RotateAlways, certmanager.RotateNever)
	oneOf(f, path.Child("encoding"), k.Encoding, certmanager.EncodingPKCS1, certmanager.EncodingPKCS8)
	oneOf(f, path.Child("algorithm"), string(k.Algorithm), string(certmanager.RSA), string(certmanager.ECDSA), string(certmanager.Ed25519))
	if problem := k.CheckSize(); problem != "" {
		f.errorf(path.Child("size"), "%s", problem)
	}
}

// oneOf checks a field that may be empty or one of a few words.
func oneOf(f *findings, path *field.Path, value string, allowed ...string) {
	if value != "" && !slices.Contains(allowed, value) {
		f.add(field.ErrorList{field.NotSupported(path, value, allowed)})
	}
}

// admitSecretTemplate checks the metadata that a Secret shall get.
func admitSecretTemplate(t *certmanager.SecretTemplate, path *field.Path, f *findings) {
	if t == nil {
		return
	}
	f.add(metav1validation.ValidateLabels(t.Labels, path.Child("labels")))
	f.add(apivalidation.ValidateAnnotations(t.Annotations, path.Child("annotations")))
	for _, key := range slices.Sorted(maps.Keys(t.Annotations)) {
		if strings.HasPrefix(key, certmanager.Group+"/") {
			f.errorf(path.Child("annotations").Key(key), "is reserved: remove it")
		}
	}
}

// admitIssuerRef checks a reference to an issuer. One of another group is admitted: what becomes of it, the Certificate's status says.
func admitIssuerRef(r *certmanager.IssuerRef, path *field.Path, f *findings) {
	if r.Name == "" {
		f.errorf(path.Child("name"), "is required: the name of an Issuer or ClusterIssuer")
	}
	if r.Group == "" || r.Group == certmanager.Group {
		oneOf(f, path.Child("kind"), r.Kind, certmanager.IssuerKind, certmanager.ClusterIssuerKind)
	}
}
