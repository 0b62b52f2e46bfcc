// What annotations say about the certificate that they ask for.

package issue

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/wicketgate/wicketgate/certmanager"
)

// issuerRefOf reads which issuer annotations ask for; asks is false if they ask for none.
func issuerRefOf(annotations map[string]string) (ref certmanager.IssuerRef, asks bool, err error) {
	issuer, hasIssuer := annotations[certmanager.AnnotationIssuer]
	cluster, hasCluster := annotations[certmanager.AnnotationClusterIssuer]
	kind, hasKind := annotations[certmanager.AnnotationIssuerKind]
	group, hasGroup := annotations[certmanager.AnnotationIssuerGroup]
	both := func(a, b string) error {
		return fmt.Errorf("annotations %s and %s exclude each other: remove one of them", a, b)
	}
	switch {
	case !hasIssuer && !hasCluster:
		return ref, false, nil
	case hasIssuer && hasCluster:
		return ref, true, both(certmanager.AnnotationIssuer, certmanager.AnnotationClusterIssuer)
	case hasCluster && hasKind:
		return ref, true, both(certmanager.AnnotationClusterIssuer, certmanager.AnnotationIssuerKind)
	case hasCluster && hasGroup:
		return ref, true, both(certmanager.AnnotationClusterIssuer, certmanager.AnnotationIssuerGroup)
	}
	ref = certmanager.IssuerRef{Name: issuer, Kind: certmanager.IssuerKind, Group: certmanager.Group}
	if hasCluster {
		ref.Name, ref.Kind = cluster, certmanager.ClusterIssuerKind
	}
	if hasKind {
		ref.Kind = kind
	}
	if hasGroup {
		ref.Group = group
	}
	if ref.Name == "" {
		return ref, true, fmt.Errorf("annotation %s names no issuer", certmanager.AnnotationIssuer)
	}
	return ref, true, nil
}

// applyAnnotations sets the fields of a specification that annotations give. An error names the annotation.
func applyAnnotations(s *certmanager.CertificateSpec, annotations map[string]string) error {
	for _, set := range setters() {
		text, ok := annotations[set.key]
		if !ok {
			continue
		}
		if err := set.apply(s, strings.TrimSpace(text)); err != nil {
			return fmt.Errorf("annotation %s: %w", set.key, err)
		}
	}
	if problem := s.PrivateKey.CheckSize(); problem != "" {
		return fmt.Errorf("annotation %s: %s", certmanager.AnnotationKeySize, problem)
	}
	if s.Duration != nil && s.RenewBefore != nil && s.RenewBefore.Duration >= s.Duration.Duration {
		return fmt.Errorf("annotation %s: must be shorter than the duration, %v", certmanager.AnnotationRenewBefore, s.Duration.Duration)
	}
	return nil
}

// setter gives one annotation's value to a specification.
type setter struct {
	key   string
	apply func(*certmanager.CertificateSpec, string) error
}

func setters() []setter {
	subject := func(key string, field func(*certmanager.Subject) *[]string) setter {
		return setter{key, func(s *certmanager.CertificateSpec, text string) error {
			return splitInto(field(subjectOf(s)), text)
		}}
	}
	return []setter{
		{certmanager.AnnotationCommonName, func(s *certmanager.CertificateSpec, text string) error {
			s.CommonName = text
			return nil
		}},
		{certmanager.AnnotationDuration, func(s *certmanager.CertificateSpec, text string) error {
			return durationInto(&s.Duration, text, time.Hour)
		}},
		{certmanager.AnnotationRenewBefore, func(s *certmanager.CertificateSpec, text string) error {
			return durationInto(&s.RenewBefore, text, 5*time.Minute)
		}},
		{certmanager.AnnotationRenewBeforePct, func(s *certmanager.CertificateSpec, text string) error {
			return numberInto(&s.RenewBeforePercentage, text, 1, 99)
		}},
		{certmanager.AnnotationHistoryLimit, func(s *certmanager.CertificateSpec, text string) error {
			return numberInto(&s.RevisionHistoryLimit, text, 1, 1<<30)
		}},
		{certmanager.AnnotationUsages, usagesInto},
		{certmanager.AnnotationKeyAlgorithm, func(s *certmanager.CertificateSpec, text string) error {
			return wordInto(&keyOf(s).Algorithm, text, certmanager.RSA, certmanager.ECDSA, certmanager.Ed25519)
		}},
		{certmanager.AnnotationKeyEncoding, func(s *certmanager.CertificateSpec, text string) error {
			return wordInto(&keyOf(s).Encoding, text, certmanager.EncodingPKCS1, certmanager.EncodingPKCS8)
		}},
		{certmanager.AnnotationKeyRotation, func(s *certmanager.CertificateSpec, text string) error {
			return wordInto(&keyOf(s).RotationPolicy, text, certmanager.RotateAlways, certmanager.RotateNever)
		}},
		{certmanager.AnnotationKeySize, func(s *certmanager.CertificateSpec, text string) error {
			var size *int32
			err := numberInto(&size, text, 1, 1<<20)
			if err == nil {
				keyOf(s).Size = *size
			}
			return err
		}},
		{certmanager.AnnotationSecretTemplate, secretTemplateInto},
		subject(certmanager.AnnotationOrganizations, func(s *certmanager.Subject) *[]string { return &s.Organizations }),
		subject(certmanager.AnnotationUnits, func(s *certmanager.Subject) *[]string { return &s.OrganizationalUnits }),
		subject(certmanager.AnnotationCountries, func(s *certmanager.Subject) *[]string { return &s.Countries }),
		subject(certmanager.AnnotationProvinces, func(s *certmanager.Subject) *[]string { return &s.Provinces }),
		subject(certmanager.AnnotationLocalities, func(s *certmanager.Subject) *[]string { return &s.Localities }),
		subject(certmanager.AnnotationPostalCodes, func(s *certmanager.Subject) *[]string { return &s.PostalCodes }),
		subject(certmanager.AnnotationStreetAddresses, func(s *certmanager.Subject) *[]string { return &s.StreetAddresses }),
		{certmanager.AnnotationSerialNumber, func(s *certmanager.CertificateSpec, text string) error {
			subjectOf(s).SerialNumber = text
			return nil
		}},
	}
}

func subjectOf(s *certmanager.CertificateSpec) *certmanager.Subject {
	if s.Subject == nil {
		s.Subject = &certmanager.Subject{}
	}
	return s.Subject
}

func keyOf(s *certmanager.CertificateSpec) *certmanager.PrivateKey {
	if s.PrivateKey == nil {
		s.PrivateKey = &certmanager.PrivateKey{}
	}
	return s.PrivateKey
}

func durationInto(field **metav1.Duration, text string, least time.Duration) error {
	d, err := time.ParseDuration(text)
	switch {
	case err != nil:
		return fmt.Errorf("%q is not a duration like 2160h (days have no unit: 90 days are 2160h)", text)
	case d < least:
		return fmt.Errorf("must be at least %v", least)
	}
	*field = &metav1.Duration{Duration: d}
	return nil
}

func numberInto(field **int32, text string, least, most int32) error {
	n, err := strconv.ParseInt(text, 10, 32)
	if err != nil || int32(n) < least || int32(n) > most {
		return fmt.Errorf("%q is not a number from %d to %d", text, least, most)
	}
	v := int32(n)
	*field = &v
	return nil
}

func wordInto[T ~string](field *T, text string, allowed ...T) error {
	for _, a := range allowed {
		if T(text) == a {
			*field = a
			return nil
		}
	}
	return fmt.Errorf("%q is none of %v", text, allowed)
}

// splitInto reads values separated by commas; one with a comma in it is in double quotes.
func splitInto(field *[]string, text string) error {
	if text == "" {
		return nil
	}
	values, err := csv.NewReader(strings.NewReader(text)).Read()
	if err != nil {
		return fmt.Errorf("%q is not a list with commas: %w", text, err)
	}
	*field = values
	return nil
}

func usagesInto(s *certmanager.CertificateSpec, text string) error {
	for word := range strings.SplitSeq(text, ",") {
		u := certmanager.KeyUsage(strings.TrimSpace(word))
		if !u.Known() {
			return fmt.Errorf("%q is not a usage such as \"server auth\" or \"digital signature\"", string(u))
		}
		s.Usages = append(s.Usages, u)
	}
	return nil
}

func secretTemplateInto(s *certmanager.CertificateSpec, text string) error {
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.DisallowUnknownFields()
	var t certmanager.SecretTemplate
	if err := decoder.Decode(&t); err != nil {
		return fmt.Errorf("is not a secretTemplate in JSON: %w", err)
	}
	for key := range t.Annotations {
		if strings.HasPrefix(key, certmanager.Group+"/") {
			return fmt.Errorf("annotation %s of the Secret is reserved: remove it", key)
		}
	}
	s.SecretTemplate = &t
	return nil
}
