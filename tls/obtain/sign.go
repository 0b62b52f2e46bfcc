// Issuers of our own: selfSigned, ca, and the local authority of --local-ca.

package obtain

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/wicketgate/wicketgate/certmanager"
	"github.com/wicketgate/wicketgate/object"
	"github.com/wicketgate/wicketgate/tls/issue"
)

// signSelf makes a certificate that its own key signs.
func signSelf(s *certmanager.CertificateSpec, crl []string, now time.Time) (*keyPair, error) {
	key, err := newKey(s.PrivateKey)
	if err != nil {
		return nil, err
	}
	t, err := template(s, now)
	if err != nil {
		return nil, err
	}
	t.CRLDistributionPoints = crl
	der, err := x509.CreateCertificate(rand.Reader, t, t, key.Public(), key)
	if err != nil {
		return nil, err
	}
	text, err := encodeKey(key, s.PrivateKey)
	if err != nil {
		return nil, err
	}
	chain := toPEM("CERTIFICATE", der)
	return &keyPair{Key: text, Chain: chain, CA: chain}, nil
}

// authority signs certificates.
type authority struct {
	certificate *x509.Certificate
	key         crypto.Signer
	chain       string // PEM, the authority's own certificate first
}

// newAuthority reads an authority from its Secret's keys.
func newAuthority(chain, key []byte) (*authority, error) {
	pair, err := tls.X509KeyPair(chain, key)
	if err != nil {
		return nil, err
	}
	signer, ok := pair.PrivateKey.(crypto.Signer)
	if !ok {
		return nil, errors.New("its key cannot sign")
	}
	if !pair.Leaf.IsCA {
		return nil, errors.New("its certificate is not that of an authority: set isCA: true in the Certificate that makes it")
	}
	return &authority{certificate: pair.Leaf, key: signer, chain: string(chain)}, nil
}

// sign makes a certificate. It never outlives the authority.
func (a *authority) sign(s *certmanager.CertificateSpec, ca *certmanager.CAIssuer, now time.Time) (*keyPair, error) {
	if now.After(a.certificate.NotAfter) {
		return nil, fmt.Errorf("the authority's certificate expired on %s", a.certificate.NotAfter.UTC().Format(time.DateOnly))
	}
	key, err := newKey(s.PrivateKey)
	if err != nil {
		return nil, err
	}
	t, err := template(s, now)
	if err != nil {
		return nil, err
	}
	if t.NotAfter.After(a.certificate.NotAfter) {
		t.NotAfter = a.certificate.NotAfter
	}
	if ca != nil {
		t.CRLDistributionPoints, t.OCSPServer, t.IssuingCertificateURL = ca.CRLDistributionPoints, ca.OCSPServers, ca.IssuingCertificateURLs
	}
	der, err := x509.CreateCertificate(rand.Reader, t, a.certificate, key.Public(), a.key)
	if err != nil {
		return nil, err
	}
	text, err := encodeKey(key, s.PrivateKey)
	if err != nil {
		return nil, err
	}
	pair := &keyPair{Key: text, Chain: toPEM("CERTIFICATE", der), CA: a.root()}
	// A root is not sent: clients have it or do not trust it. What is between it and the certificate is.
	if a.certificate.CheckSignatureFrom(a.certificate) != nil {
		pair.Chain += a.chain
	}
	return pair, nil
}

// root is the last certificate of the authority's chain.
func (a *authority) root() (last string) {
	for rest := []byte(a.chain); ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return last
		}
		last = toPEM(block.Type, block.Bytes)
	}
}

// signHere obtains a certificate from an issuer that needs nobody else.
func (e *Engine) signHere(ctx context.Context, c *issue.Certificate) (*keyPair, error) {
	switch spec := c.Issuer.Spec; {
	case spec.SelfSigned != nil:
		return signSelf(c.Spec, spec.SelfSigned.CRLDistributionPoints, time.Now())
	case spec.CA != nil:
		a, err := e.authorityOf(c.Issuer)
		if err != nil {
			return nil, err
		}
		return a.sign(c.Spec, spec.CA, time.Now())
	case c.Issuer.Local:
		a, err := localAuthority(ctx, e.storage)
		if err != nil {
			return nil, err
		}
		return a.sign(c.Spec, nil, time.Now())
	}
	return nil, errors.New("the issuer has no type")
}

// authorityOf reads the authority of a ca issuer.
func (e *Engine) authorityOf(i *issue.Issuer) (*authority, error) {
	key := object.Key{Kind: "Secret", Namespace: i.Namespace(), Name: i.Spec.CA.SecretName}
	secret := e.secret(key)
	if secret == nil {
		return nil, fmt.Errorf("%s, which should have the authority's certificate and key, is not defined, and no Certificate has filled it yet", key)
	}
	a, err := newAuthority(secret.Data[certmanager.CertificateKey], secret.Data[certmanager.PrivateKeyKey])
	if err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	return a, nil
}

const (
	localPath     = "local-ca/authority.json"
	localLock     = "local-ca"
	localDuration = 10 * 365 * 24 * time.Hour
)

// LocalRoot gives, in PEM, the certificate of the gateway's own authority in a storage, which is made there first if need be.
func LocalRoot(ctx context.Context, storage Storage) (string, error) {
	a, err := localAuthority(ctx, storage)
	if err != nil {
		return "", err
	}
	return a.root(), nil
}

// localAuthority reads the gateway's own authority from a storage, and makes it there first if need be.
func localAuthority(ctx context.Context, storage Storage) (_ *authority, err error) {
	if err := storage.Lock(ctx, localLock); err != nil {
		return nil, fmt.Errorf("lock the local authority: %w", err)
	}
	defer func() { err = errors.Join(err, storage.Unlock(context.WithoutCancel(ctx), localLock)) }()
	text, err := storage.Load(ctx, localPath)
	switch {
	case err == nil:
		h, err := parseHeld(text)
		if err != nil {
			return nil, fmt.Errorf("the local authority in the state directory cannot be read: %w", err)
		}
		return newAuthority([]byte(h.Chain), []byte(h.Key))
	case !errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("read the local authority: %w", err)
	}
	pair, err := signSelf(&certmanager.CertificateSpec{
		CommonName: "Wicketgate local CA " + time.Now().UTC().Format("2006-01-02"), IsCA: true,
		Usages: []certmanager.KeyUsage{"cert sign", "crl sign"}, Duration: &metav1.Duration{Duration: localDuration},
	}, nil, time.Now())
	if err != nil {
		return nil, fmt.Errorf("make the local authority: %w", err)
	}
	if err := store(ctx, storage, localPath, held{keyPair: *pair, Obtained: time.Now()}); err != nil {
		return nil, fmt.Errorf("keep the local authority: %w", err)
	}
	return newAuthority([]byte(pair.Chain), []byte(pair.Key))
}
