// Authorities: the CA certificates that a ConfigMap, Secret or ClusterTrustBundle holds, and by which the certificates of others are judged.

package gateway

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/wicketgate/wicketgate/object"
)

// caKey is the key under which ConfigMaps and Secrets hold CA certificates.
const caKey = "ca.crt"

// holdsAuthorities says whether objects of a kind can hold CA certificates.
func holdsAuthorities(k object.GroupKind) bool {
	return k == coreKind("ConfigMap") || k == coreKind("Secret") || k == trustBundleKind()
}

// trustBundleKind is the kind that belongs to no namespace: all may trust it, and none needs a grant (GEP-5075).
func trustBundleKind() object.GroupKind { return kind(certificatesGroup, "ClusterTrustBundle") }

// readAuthorities reads the PEM certificates of a ConfigMap's or Secret's ca.crt or of a ClusterTrustBundle. One that is malformed spoils
// all: what its author meant to trust is not known.
func readAuthorities(o *object.Object) ([]*x509.Certificate, error) {
	text, where, err := caData(o)
	if err != nil {
		return nil, err
	}
	var list []*x509.Certificate
	for rest := bytes.TrimSpace(text); len(rest) > 0; rest = bytes.TrimSpace(rest) {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return nil, errors.New(where + " has something that is not PEM")
		}
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("%s has a PEM block of type %q: only certificates belong there", where, block.Type)
		}
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%s has a malformed certificate: %w", where, err)
		}
		list = append(list, certificate)
	}
	if len(list) == 0 {
		return nil, errors.New(where + " is empty: it must have PEM certificates")
	}
	return list, nil
}

// caData gives the bytes of an object's CA certificates, and the name of the key or field that has them.
func caData(o *object.Object) (text []byte, where string, err error) {
	switch v := o.Value.(type) {
	case *corev1.ConfigMap:
		if text, ok := v.Data[caKey]; ok {
			return []byte(text), caKey, nil
		}
		if data, ok := v.BinaryData[caKey]; ok {
			return data, caKey, nil
		}
	case *corev1.Secret:
		if text, ok := v.StringData[caKey]; ok {
			return []byte(text), caKey, nil
		}
		if data, ok := v.Data[caKey]; ok {
			return data, caKey, nil
		}
	case *certificatesv1.ClusterTrustBundle:
		return []byte(v.Spec.TrustBundle), "spec.trustBundle", nil
	}
	return nil, "", errors.New("it has no key " + caKey)
}
