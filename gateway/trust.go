// Authorities: the CA certificates that a ConfigMap or Secret holds, and by which the certificates of others are judged.

package gateway

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"

	"github.com/wicketgate/wicketgate/object"
)

// caKey is the key under which ConfigMaps and Secrets hold CA certificates.
const caKey = "ca.crt"

// readAuthorities reads the PEM certificates of a ConfigMap's or Secret's ca.crt. One that is malformed spoils all: what its author meant to
// trust is not known.
func readAuthorities(o *object.Object) ([]*x509.Certificate, error) {
	text, err := caData(o)
	if err != nil {
		return nil, err
	}
	var list []*x509.Certificate
	for rest := bytes.TrimSpace(text); len(rest) > 0; rest = bytes.TrimSpace(rest) {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return nil, errors.New(caKey + " has something that is not PEM")
		}
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("%s has a PEM block of type %q: only certificates belong there", caKey, block.Type)
		}
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%s has a malformed certificate: %w", caKey, err)
		}
		list = append(list, certificate)
	}
	if len(list) == 0 {
		return nil, errors.New(caKey + " is empty: it must have PEM certificates")
	}
	return list, nil
}

// caData gives the bytes of ca.crt.
func caData(o *object.Object) ([]byte, error) {
	switch v := o.Value.(type) {
	case *corev1.ConfigMap:
		if text, ok := v.Data[caKey]; ok {
			return []byte(text), nil
		}
		if data, ok := v.BinaryData[caKey]; ok {
			return data, nil
		}
	case *corev1.Secret:
		if text, ok := v.StringData[caKey]; ok {
			return []byte(text), nil
		}
		if data, ok := v.Data[caKey]; ok {
			return data, nil
		}
	}
	return nil, errors.New("it has no key " + caKey)
}
