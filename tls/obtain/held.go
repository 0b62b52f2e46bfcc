// What is held of a certificate, in memory and in the storage.

package obtain

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/mholt/acmez/v3/acme"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/wicketgate/wicketgate/certmanager"
	"github.com/wicketgate/wicketgate/gateway"
	"github.com/wicketgate/wicketgate/object"
	"github.com/wicketgate/wicketgate/tls/issue"
)

// keyPair is a certificate chain with its key, in PEM. It is immutable.
type keyPair struct {
	Key   string `json:"key"`
	Chain string `json:"chain"`
	CA    string `json:"ca,omitempty"` // of an authority of our own or of the files
	// Staple is the authority's word that the certificate is not revoked (RFC 6066 section 8), in DER.
	Staple []byte `json:"staple,omitempty"`
}

// held is a certificate that was obtained. It is immutable.
type held struct {
	keyPair
	Request  []byte           `json:"request"` // requestDigest of what it was obtained for
	Obtained time.Time        `json:"obtained"`
	Renewal  acme.RenewalInfo `json:"renewal"` // what the server said, if it did
	Account  string           `json:"account,omitempty"`
	// StapleNext is when the staple is asked for again.
	StapleNext time.Time `json:"stapleNext"`
	// StapleEnd is when the staple ends; zero if it does not say so.
	StapleEnd time.Time `json:"stapleEnd,omitzero"`

	request string
	leaf    *x509.Certificate
}

// newHeld checks and completes a certificate that was obtained or read.
func newHeld(h held) (*held, error) {
	pair, err := tls.X509KeyPair([]byte(h.Chain), []byte(h.Key))
	if err != nil {
		return nil, err
	}
	h.leaf, h.request = pair.Leaf, string(h.Request)
	if h.leaf == nil {
		return nil, errors.New("the chain has no certificate")
	}
	return &h, nil
}

func parseHeld(text []byte) (*held, error) {
	var h held
	if err := json.Unmarshal(text, &h); err != nil {
		return nil, err
	}
	return newHeld(h)
}

// certificate makes of a pair what a listener serves.
func (k *keyPair) certificate(secret *object.Object, placeholder string) (*gateway.Certificate, error) {
	pair, err := tls.X509KeyPair([]byte(k.Chain), []byte(k.Key))
	if err != nil {
		return nil, fmt.Errorf("a certificate of our own: %w", err)
	}
	pair.OCSPStaple = k.Staple
	return &gateway.Certificate{Secret: secret, TLS: &pair, Placeholder: placeholder}, nil
}

// secret is the Secret of a want.
func (k *keyPair) secret(c *issue.Certificate) *corev1.Secret {
	s := &corev1.Secret{Type: corev1.SecretTypeTLS, Data: map[string][]byte{
		certmanager.CertificateKey: []byte(k.Chain), certmanager.PrivateKeyKey: []byte(k.Key),
	}}
	if k.CA != "" {
		s.Data[certmanager.CAKey] = []byte(k.CA)
	}
	if len(k.Staple) > 0 {
		s.Data[gateway.StapleKey] = k.Staple
	}
	s.Name, s.Namespace, s.Generation = c.Secret.Name, c.Secret.Namespace, 1
	s.Annotations = map[string]string{
		certmanager.AnnotationCertificateName: c.Object.Name,
		certmanager.AnnotationIssuerName:      c.Spec.IssuerRef.Name,
	}
	if t := c.Spec.SecretTemplate; t != nil {
		maps.Copy(s.Annotations, t.Annotations)
		s.Labels = maps.Clone(t.Labels)
	}
	return s
}

// secretObject is the Secret that Build sees. Waiting marks a placeholder.
func secretObject(c *issue.Certificate, k *keyPair, waiting string) *object.Object {
	s := k.secret(c)
	if waiting != "" {
		s.Annotations[gateway.PlaceholderAnnotation] = waiting
	}
	return issue.Made(c.Secret.GroupKind, "v1", s.ObjectMeta, s, c.Source.At(c.Field))
}

// hostObject stands for the Secret of a certificate that is found by hostname. No set has it.
func hostObject(host string, k *keyPair) *object.Object {
	s := &corev1.Secret{Type: corev1.SecretTypeTLS, Data: map[string][]byte{certmanager.CertificateKey: []byte(k.Chain)}}
	s.ObjectMeta = metav1.ObjectMeta{Name: host}
	return issue.Made(object.GroupKind{Kind: "Secret"}, "v1", s.ObjectMeta, s, object.Position{})
}
