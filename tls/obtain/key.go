// Keys, certificate templates and certificates that are signed here.

package obtain

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"time"

	"github.com/wicketgate/wicketgate/certmanager"
)

// newKey makes a private key of the kind that is asked for; nil asks for the default.
func newKey(k *certmanager.PrivateKey) (crypto.Signer, error) {
	switch algorithm, size := k.Wanted(); algorithm {
	case certmanager.RSA:
		return rsa.GenerateKey(rand.Reader, size)
	case certmanager.Ed25519:
		_, key, err := ed25519.GenerateKey(rand.Reader)
		return key, err
	default:
		curve := map[int]elliptic.Curve{256: elliptic.P256(), 384: elliptic.P384(), 521: elliptic.P521()}[size]
		if curve == nil {
			return nil, fmt.Errorf("there is no ECDSA key of %d bits", size)
		}
		return ecdsa.GenerateKey(curve, rand.Reader)
	}
}

// encodeKey writes a key in PEM, as PKCS #8 or, where nothing asks for that, in the older form of its algorithm.
func encodeKey(key crypto.Signer, k *certmanager.PrivateKey) (string, error) {
	if k == nil || k.Encoding != certmanager.EncodingPKCS8 {
		switch key := key.(type) {
		case *rsa.PrivateKey:
			return toPEM("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(key)), nil
		case *ecdsa.PrivateKey:
			der, err := x509.MarshalECPrivateKey(key)
			return toPEM("EC PRIVATE KEY", der), err
		}
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	return toPEM("PRIVATE KEY", der), err
}

// parseKey reads a private key in any of those forms.
func parseKey(text []byte) (crypto.Signer, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New("it is not a private key in PEM")
	}
	if key, err := x509.ParsePKCS1PrivateKey(block.Bytes); err == nil {
		return key, nil
	}
	if key, err := x509.ParseECPrivateKey(block.Bytes); err == nil {
		return key, nil
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("it is not a private key: %w", err)
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, errors.New("its private key cannot sign")
	}
	return signer, nil
}

func toPEM(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

// subjectOf gives a certificate's subject.
func subjectOf(s *certmanager.CertificateSpec) pkix.Name {
	name := pkix.Name{CommonName: s.CommonName}
	if sub := s.Subject; sub != nil {
		name.Organization, name.Country, name.OrganizationalUnit = sub.Organizations, sub.Countries, sub.OrganizationalUnits
		name.Locality, name.Province, name.StreetAddress = sub.Localities, sub.Provinces, sub.StreetAddresses
		name.PostalCode, name.SerialNumber = sub.PostalCodes, sub.SerialNumber
	}
	return name
}

// backdate is how far in the past certificates of our own begin, for clients whose clocks are slow.
const backdate = 5 * time.Minute

// template is the certificate that a specification describes, to be signed here.
func template(s *certmanager.CertificateSpec, now time.Time) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	duration := certmanager.DefaultDuration
	if s.Duration != nil {
		duration = s.Duration.Duration
	}
	t := &x509.Certificate{
		SerialNumber: serial, Subject: subjectOf(s), NotBefore: now.Add(-backdate), NotAfter: now.Add(duration),
		DNSNames: s.DNSNames, BasicConstraintsValid: true, IsCA: s.IsCA,
	}
	for _, ip := range s.IPAddresses {
		t.IPAddresses = append(t.IPAddresses, net.ParseIP(ip))
	}
	if t.KeyUsage, t.ExtKeyUsage = certmanager.X509Usages(s.Usages, s.IsCA); len(s.Usages) == 0 && !s.IsCA {
		t.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} // clients want to see it
	}
	return t, nil
}

// placeholder is a self-signed certificate for names, to be shown until there is another.
func placeholder(names []string) (*keyPair, error) {
	spec := &certmanager.CertificateSpec{CommonName: "wicketgate placeholder"}
	for _, n := range names {
		if net.ParseIP(n) != nil {
			spec.IPAddresses = append(spec.IPAddresses, n)
		} else {
			spec.DNSNames = append(spec.DNSNames, n)
		}
	}
	return signSelf(spec, nil, time.Now())
}
