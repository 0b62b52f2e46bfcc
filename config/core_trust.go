// Admission of ClusterTrustBundles: CA certificates that anything in any namespace may trust.

package config

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"strings"

	certificatesv1 "k8s.io/api/certificates/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// maxTrustBundle is the longest trustBundle that an API server stores, in bytes.
const maxTrustBundle = 1 << 20

// nameIsTrustBundle says what is wrong with the name of a ClusterTrustBundle: a DNS name that may be preceded by that of a signer, with
// colons for slashes ("example.com:internal:v1").
func nameIsTrustBundle(name string, prefix bool) []string {
	if i := strings.LastIndexByte(name, ':'); i >= 0 {
		for part := range strings.SplitSeq(name[:i], ":") {
			if problems := validation.IsDNS1123Subdomain(part); len(problems) > 0 {
				return problems
			}
		}
		name = name[i+1:]
	}
	return apivalidation.NameIsDNSSubdomain(name, prefix)
}

// admitTrustBundle validates the spec of the ClusterTrustBundle with that name.
func admitTrustBundle(name string, spec *certificatesv1.ClusterTrustBundleSpec, f *findings) {
	path := field.NewPath("spec")
	if signer := spec.SignerName; signer == "" {
		if strings.Contains(name, ":") {
			f.errorf(field.NewPath("metadata", "name"), "%q has a signer's prefix, and the bundle has no spec.signerName", name)
		}
	} else {
		domain, rest, ok := strings.Cut(signer, "/")
		if !ok || rest == "" || len(validation.IsDNS1123Subdomain(domain)) > 0 {
			f.errorf(path.Child("signerName"), "%q is not the name of a signer: write a domain and a path, such as example.com/internal", signer)
		} else if want := strings.ReplaceAll(signer, "/", ":") + ":"; !strings.HasPrefix(name, want) {
			f.errorf(field.NewPath("metadata", "name"), "must begin with %q, because spec.signerName is %q", want, signer)
		}
	}
	admitAuthorities(spec.TrustBundle, path.Child("trustBundle"), f)
}

// admitAuthorities checks that a text is CA certificates in PEM, each once, and nothing else.
func admitAuthorities(text string, path *field.Path, f *findings) {
	if len(text) > maxTrustBundle {
		f.errorf(path, "holds %d bytes, and at most %d are allowed", len(text), maxTrustBundle)
		return
	}
	seen := map[string]bool{}
	for rest := bytes.TrimSpace([]byte(text)); len(rest) > 0; rest = bytes.TrimSpace(rest) {
		block, after := pem.Decode(rest)
		if block == nil {
			f.errorf(path, "has something that is not PEM")
			return
		}
		rest = after
		if block.Type != "CERTIFICATE" || len(block.Headers) > 0 {
			f.errorf(path, "has a PEM block of type %q or one with headers: only certificates without headers belong there", block.Type)
			return
		}
		certificate, err := x509.ParseCertificate(block.Bytes)
		switch {
		case err != nil:
			f.errorf(path, "has a malformed certificate: %v", err)
			return
		case !certificate.IsCA:
			f.errorf(path, "has the certificate of %q, which is not a CA's (its basic constraints do not say CA)", certificate.Subject)
		case seen[string(block.Bytes)]:
			f.errorf(path, "has the certificate of %q twice", certificate.Subject)
		}
		seen[string(block.Bytes)] = true
	}
	if len(seen) == 0 {
		f.errorf(path, "is required: at least one CA certificate in PEM")
	}
}
