// Issuers: where certificates come from.

package certmanager

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Issuer is an Issuer, for the Certificates of its namespace, or a ClusterIssuer, for all.
type Issuer struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`

	Spec   IssuerSpec     `json:"spec"`
	Status map[string]any `json:"status,omitempty"` // computed here; a file's is not read
}

// IssuerSpec has exactly one of its fields.
type IssuerSpec struct {
	ACME       *ACMEIssuer       `json:"acme,omitempty"`
	CA         *CAIssuer         `json:"ca,omitempty"`
	SelfSigned *SelfSignedIssuer `json:"selfSigned,omitempty"`
	// Vault and Venafi are admitted, so that the file as a whole is, and never issue: the issuer's status says so.
	Vault  map[string]any `json:"vault,omitempty"`
	Venafi map[string]any `json:"venafi,omitempty"`
}

// SelfSignedIssuer signs every certificate with its own key.
type SelfSignedIssuer struct {
	CRLDistributionPoints []string `json:"crlDistributionPoints,omitempty"`
}

// CAIssuer signs with a certificate and key in a Secret.
type CAIssuer struct {
	SecretName             string   `json:"secretName"`
	CRLDistributionPoints  []string `json:"crlDistributionPoints,omitempty"`
	OCSPServers            []string `json:"ocspServers,omitempty"`
	IssuingCertificateURLs []string `json:"issuingCertificateURLs,omitempty"`
}

// ACMEIssuer orders certificates from an ACME server (RFC 8555).
type ACMEIssuer struct {
	Server         string `json:"server"` // the URL of its directory
	Email          string `json:"email,omitempty"`
	PreferredChain string `json:"preferredChain,omitempty"` // the common name of the issuer at the chain's end
	CABundle       []byte `json:"caBundle,omitempty"`       // PEM; what to trust instead of the system's roots
	Profile        string `json:"profile,omitempty"`
	// ExternalAccountBinding ties the account to one that the CA's customer has (RFC 8555 section 7.3.4).
	ExternalAccountBinding *ExternalAccountBinding `json:"externalAccountBinding,omitempty"`
	// PrivateKey names the Secret with the account's key. If the files have it the key is used; otherwise one is made and kept in the
	// state directory.
	PrivateKey SecretKeySelector `json:"privateKeySecretRef"`
	Solvers    []Solver          `json:"solvers,omitempty"`
}

// ExternalAccountBinding is a key that the CA gave out.
type ExternalAccountBinding struct {
	KeyID string            `json:"keyID"`
	Key   SecretKeySelector `json:"keySecretRef"` // base64url, as the CA gives it
	// KeyAlgorithm was deprecated by cert-manager and is always HS256.
	KeyAlgorithm string `json:"keyAlgorithm,omitempty"`
}

// Solver proves control of names in one way.
type Solver struct {
	Selector *Selector `json:"selector,omitempty"` // nil: every name
	HTTP01   *HTTP01   `json:"http01,omitempty"`
	DNS01    *DNS01    `json:"dns01,omitempty"`
}

// Selector says for which Certificates and names a solver is meant. All of its fields must match.
type Selector struct {
	MatchLabels map[string]string `json:"matchLabels,omitempty"`
	DNSNames    []string          `json:"dnsNames,omitempty"`
	DNSZones    []string          `json:"dnsZones,omitempty"`
}

// HTTP01 serves the challenge over plain HTTP. Where a cluster needs to be told through which Ingress or Gateway, and with which Pods, the
// gateway answers by itself: what the fields say is not used.
type HTTP01 struct {
	Ingress          *HTTP01Ingress `json:"ingress,omitempty"`
	GatewayHTTPRoute *HTTP01Route   `json:"gatewayHTTPRoute,omitempty"`
}

// HTTP01Ingress is how a cluster solves a challenge with an Ingress.
type HTTP01Ingress struct {
	Class            string         `json:"class,omitempty"`
	IngressClassName string         `json:"ingressClassName,omitempty"`
	Name             string         `json:"name,omitempty"`
	ServiceType      string         `json:"serviceType,omitempty"`
	PodTemplate      map[string]any `json:"podTemplate,omitempty"`
	IngressTemplate  map[string]any `json:"ingressTemplate,omitempty"`
}

// HTTP01Route is how a cluster solves a challenge with an HTTPRoute.
type HTTP01Route struct {
	ServiceType string            `json:"serviceType,omitempty"`
	Labels      map[string]string `json:"labels,omitempty"`
	ParentRefs  []map[string]any  `json:"parentRefs,omitempty"`
	PodTemplate map[string]any    `json:"podTemplate,omitempty"`
}

// DNS01 puts the challenge into a TXT record, through exactly one of the providers.
type DNS01 struct {
	CNAMEStrategy string        `json:"cnameStrategy,omitempty"` // None or Follow: whether _acme-challenge may be a CNAME
	Cloudflare    *Cloudflare   `json:"cloudflare,omitempty"`
	Route53       *Route53      `json:"route53,omitempty"`
	RFC2136       *RFC2136      `json:"rfc2136,omitempty"`
	DigitalOcean  *DigitalOcean `json:"digitalocean,omitempty"`
	ACMEDNS       *ACMEDNS      `json:"acmeDNS,omitempty"`
}

// Cloudflare is the API of Cloudflare, with a token or with a key and the account's email.
type Cloudflare struct {
	Email    string             `json:"email,omitempty"`
	APIToken *SecretKeySelector `json:"apiTokenSecretRef,omitempty"`
	APIKey   *SecretKeySelector `json:"apiKeySecretRef,omitempty"`
}

// Route53 is the DNS service of AWS. Without keys the environment's credentials are used.
type Route53 struct {
	Region            string             `json:"region,omitempty"`
	HostedZoneID      string             `json:"hostedZoneID,omitempty"`
	AccessKeyID       string             `json:"accessKeyID,omitempty"`
	AccessKeyIDSecret *SecretKeySelector `json:"accessKeyIDSecretRef,omitempty"`
	SecretAccessKey   *SecretKeySelector `json:"secretAccessKeySecretRef,omitempty"`
}

// RFC2136 is dynamic update (RFC 2136) with TSIG (RFC 8945).
type RFC2136 struct {
	Nameserver    string             `json:"nameserver"` // address, with or without a port
	TSIGKeyName   string             `json:"tsigKeyName,omitempty"`
	TSIGAlgorithm string             `json:"tsigAlgorithm,omitempty"` // HMACMD5, HMACSHA1, HMACSHA256 or HMACSHA512
	TSIGSecret    *SecretKeySelector `json:"tsigSecretSecretRef,omitempty"`
}

// DigitalOcean is the API of DigitalOcean.
type DigitalOcean struct {
	Token SecretKeySelector `json:"tokenSecretRef"`
}

// ACMEDNS is a server of the acme-dns project.
type ACMEDNS struct {
	Host    string            `json:"host"`
	Account SecretKeySelector `json:"accountSecretRef"`
}
