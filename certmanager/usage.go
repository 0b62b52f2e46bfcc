// Key usages under the names that cert-manager gives them.

package certmanager

import (
	"crypto/x509"
	"slices"
)

// KeyUsage is a key usage or an extended one, such as "server auth".
type KeyUsage string

// usage is what a name means: one of the two is set.
type usage struct {
	name     KeyUsage
	key      x509.KeyUsage
	extended x509.ExtKeyUsage
}

// usages lists every name. "signing" is another word for "digital signature".
func usages() []usage {
	return []usage{
		{name: "signing", key: x509.KeyUsageDigitalSignature},
		{name: "digital signature", key: x509.KeyUsageDigitalSignature},
		{name: "content commitment", key: x509.KeyUsageContentCommitment},
		{name: "key encipherment", key: x509.KeyUsageKeyEncipherment},
		{name: "key agreement", key: x509.KeyUsageKeyAgreement},
		{name: "data encipherment", key: x509.KeyUsageDataEncipherment},
		{name: "cert sign", key: x509.KeyUsageCertSign},
		{name: "crl sign", key: x509.KeyUsageCRLSign},
		{name: "encipher only", key: x509.KeyUsageEncipherOnly},
		{name: "decipher only", key: x509.KeyUsageDecipherOnly},
		{name: "any", extended: x509.ExtKeyUsageAny},
		{name: "server auth", extended: x509.ExtKeyUsageServerAuth},
		{name: "client auth", extended: x509.ExtKeyUsageClientAuth},
		{name: "code signing", extended: x509.ExtKeyUsageCodeSigning},
		{name: "email protection", extended: x509.ExtKeyUsageEmailProtection},
		{name: "s/mime", extended: x509.ExtKeyUsageEmailProtection},
		{name: "ipsec end system", extended: x509.ExtKeyUsageIPSECEndSystem},
		{name: "ipsec tunnel", extended: x509.ExtKeyUsageIPSECTunnel},
		{name: "ipsec user", extended: x509.ExtKeyUsageIPSECUser},
		{name: "timestamping", extended: x509.ExtKeyUsageTimeStamping},
		{name: "ocsp signing", extended: x509.ExtKeyUsageOCSPSigning},
		{name: "microsoft sgc", extended: x509.ExtKeyUsageMicrosoftServerGatedCrypto},
		{name: "netscape sgc", extended: x509.ExtKeyUsageNetscapeServerGatedCrypto},
	}
}

// Known says whether there is a usage of that name.
func (u KeyUsage) Known() bool {
	return slices.ContainsFunc(usages(), func(k usage) bool { return k.name == u })
}

// X509Usages gives the key usages and extended key usages that a list of names stands for. An empty list stands for what cert-manager gives
// a certificate that asks for none: digital signature and key encipherment. A CA may sign certificates in any case.
func X509Usages(list []KeyUsage, isCA bool) (key x509.KeyUsage, extended []x509.ExtKeyUsage) {
	if len(list) == 0 {
		key = x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment
	}
	for _, k := range usages() {
		switch {
		case !slices.Contains(list, k.name):
		case k.key != 0:
			key |= k.key
		case !slices.Contains(extended, k.extended):
			extended = append(extended, k.extended)
		}
	}
	if isCA {
		key |= x509.KeyUsageCertSign
	}
	return key, extended
}
