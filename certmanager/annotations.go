// Annotations: what a Gateway or ListenerSet says instead of a Certificate.

package certmanager

// The annotations that ask for certificates, and those that say what they must be like.
const (
	AnnotationIssuer        = "cert-manager.io/issuer"
	AnnotationClusterIssuer = "cert-manager.io/cluster-issuer"
	AnnotationIssuerKind    = "cert-manager.io/issuer-kind"
	AnnotationIssuerGroup   = "cert-manager.io/issuer-group"

	AnnotationCommonName     = "cert-manager.io/common-name"
	AnnotationDuration       = "cert-manager.io/duration"
	AnnotationRenewBefore    = "cert-manager.io/renew-before"
	AnnotationRenewBeforePct = "cert-manager.io/renew-before-percentage"
	AnnotationUsages         = "cert-manager.io/usages"
	AnnotationHistoryLimit   = "cert-manager.io/revision-history-limit"
	AnnotationKeyAlgorithm   = "cert-manager.io/private-key-algorithm"
	AnnotationKeyEncoding    = "cert-manager.io/private-key-encoding"
	AnnotationKeySize        = "cert-manager.io/private-key-size"
	AnnotationKeyRotation    = "cert-manager.io/private-key-rotation-policy"
	AnnotationSecretTemplate = "cert-manager.io/secret-template"

	AnnotationOrganizations   = "cert-manager.io/subject-organizations"
	AnnotationUnits           = "cert-manager.io/subject-organizationalunits"
	AnnotationCountries       = "cert-manager.io/subject-countries"
	AnnotationProvinces       = "cert-manager.io/subject-provinces"
	AnnotationLocalities      = "cert-manager.io/subject-localities"
	AnnotationPostalCodes     = "cert-manager.io/subject-postalcodes"
	AnnotationStreetAddresses = "cert-manager.io/subject-streetaddresses"
	AnnotationSerialNumber    = "cert-manager.io/subject-serialnumber"
)

// The annotations that a Secret with a certificate bears.
const (
	AnnotationCertificateName = "cert-manager.io/certificate-name"
	AnnotationIssuerName      = "cert-manager.io/issuer-name"
)
