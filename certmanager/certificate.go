// Package certmanager has the types of cert-manager's kinds (cert-manager.io/v1) as far as Wicketgate gives them a meaning: Certificate,
// Issuer and ClusterIssuer, with the ACME fields. A field that is not here is refused at admission, by name.
//
// It is a leaf, like the modules of the Gateway API's and Kubernetes' own types: config admits objects into these types, and the packages
// below tls read them. Values are immutable once they are in an object.Set.
package certmanager

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Group is the API group of the kinds.
const Group = "cert-manager.io"

// The kinds.
const (
	CertificateKind   = "Certificate"
	IssuerKind        = "Issuer"
	ClusterIssuerKind = "ClusterIssuer"
)

// ClusterNamespace is where the Secrets that a ClusterIssuer names are: cert-manager's default for its cluster resource namespace.
const ClusterNamespace = "cert-manager"

// Certificate asks for a certificate, to be kept in a Secret and renewed.
type Certificate struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`

	Spec   CertificateSpec `json:"spec"`
	Status map[string]any  `json:"status,omitempty"` // computed here; a file's is not read
}

// CertificateSpec says what the certificate must be like.
type CertificateSpec struct {
	Subject    *Subject `json:"subject,omitempty"`
	CommonName string   `json:"commonName,omitempty"`
	// Duration is how long the certificate shall be valid; nil: DefaultDuration. ACME servers decide it themselves.
	Duration *metav1.Duration `json:"duration,omitempty"`
	// RenewBefore is how long before its end the certificate is renewed; RenewBeforePercentage says it as a part of its validity. Neither:
	// a third of the validity.
	RenewBefore           *metav1.Duration `json:"renewBefore,omitempty"`
	RenewBeforePercentage *int32           `json:"renewBeforePercentage,omitempty"`
	DNSNames              []string         `json:"dnsNames,omitempty"`
	IPAddresses           []string         `json:"ipAddresses,omitempty"`
	SecretName            string           `json:"secretName"`
	SecretTemplate        *SecretTemplate  `json:"secretTemplate,omitempty"`
	IssuerRef             IssuerRef        `json:"issuerRef"`
	IsCA                  bool             `json:"isCA,omitempty"`
	Usages                []KeyUsage       `json:"usages,omitempty"`
	PrivateKey            *PrivateKey      `json:"privateKey,omitempty"`
	// EncodeUsagesInRequest and RevisionHistoryLimit concern CertificateRequests, which do not exist here: taken as they come.
	EncodeUsagesInRequest *bool  `json:"encodeUsagesInRequest,omitempty"`
	RevisionHistoryLimit  *int32 `json:"revisionHistoryLimit,omitempty"`
}

// DefaultDuration is how long certificates of issuers of our own are valid where nothing says otherwise.
const DefaultDuration = 90 * 24 * time.Hour

// Subject is the certificate's subject besides its common name.
type Subject struct {
	Organizations       []string `json:"organizations,omitempty"`
	Countries           []string `json:"countries,omitempty"`
	OrganizationalUnits []string `json:"organizationalUnits,omitempty"`
	Localities          []string `json:"localities,omitempty"`
	Provinces           []string `json:"provinces,omitempty"`
	StreetAddresses     []string `json:"streetAddresses,omitempty"`
	PostalCodes         []string `json:"postalCodes,omitempty"`
	SerialNumber        string   `json:"serialNumber,omitempty"`
}

// SecretTemplate is metadata that the Secret gets.
type SecretTemplate struct {
	Annotations map[string]string `json:"annotations,omitempty"`
	Labels      map[string]string `json:"labels,omitempty"`
}

// IssuerRef names an issuer. Kind is Issuer if empty, and Group cert-manager.io.
type IssuerRef struct {
	Name  string `json:"name"`
	Kind  string `json:"kind,omitempty"`
	Group string `json:"group,omitempty"`
}

// PrivateKey says what key a certificate gets.
type PrivateKey struct {
	RotationPolicy string       `json:"rotationPolicy,omitempty"` // RotateAlways (the default) or RotateNever
	Encoding       string       `json:"encoding,omitempty"`       // EncodingPKCS1 (the default) or EncodingPKCS8
	Algorithm      KeyAlgorithm `json:"algorithm,omitempty"`
	Size           int32        `json:"size,omitempty"` // bits; 0: the algorithm's default
}

// Values of PrivateKey.
const (
	RotateAlways  = "Always" // a new key for every certificate
	RotateNever   = "Never"
	EncodingPKCS1 = "PKCS1" // also SEC 1 for ECDSA
	EncodingPKCS8 = "PKCS8"
)

// KeyAlgorithm is the kind of a private key. Where nothing says otherwise keys are ECDSA on P-256: every client of today verifies it, and a
// handshake costs the server a small part of one with RSA.
type KeyAlgorithm string

// The algorithms.
const (
	RSA     KeyAlgorithm = "RSA"
	ECDSA   KeyAlgorithm = "ECDSA"
	Ed25519 KeyAlgorithm = "Ed25519"
)

// SecretKeySelector names a key of a Secret in the issuer's namespace.
type SecretKeySelector struct {
	Name string `json:"name"`
	Key  string `json:"key,omitempty"`
}

// Keys of the Secrets that certificates are kept in.
const (
	CertificateKey = corev1.TLSCertKey
	PrivateKeyKey  = corev1.TLSPrivateKeyKey
	CAKey          = "ca.crt"
)

// Wanted gives the algorithm and size of a key: those asked for, or the defaults. A size without an algorithm means RSA, as in
// cert-manager.
func (k *PrivateKey) Wanted() (KeyAlgorithm, int) {
	algorithm, size := ECDSA, 0
	if k != nil {
		size = int(k.Size)
		switch {
		case k.Algorithm != "":
			algorithm = k.Algorithm
		case size != 0:
			algorithm = RSA
		}
	}
	if size == 0 {
		size = map[KeyAlgorithm]int{RSA: 2048, ECDSA: 256}[algorithm]
	}
	return algorithm, size
}

// CheckSize says what is wrong with the size of a key, or "".
func (k *PrivateKey) CheckSize() string {
	algorithm, size := k.Wanted()
	switch {
	case algorithm == RSA && (size < 2048 || size > 8192):
		return "must be from 2048 to 8192 for an RSA key"
	case algorithm == ECDSA && size != 256 && size != 384 && size != 521:
		return "must be 256, 384 or 521 for an ECDSA key"
	}
	return ""
}
