// What the fields of Certificates and Issuers come to, in the certificate and the Secret.

package obtain

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mholt/acmez/v3/acme"
	corev1 "k8s.io/api/core/v1"

	"github.com/wicketgate/wicketgate/certmanager"
)

const fullYAML = `apiVersion: cert-manager.io/v1
kind: Issuer
metadata: {name: self}
spec: {selfSigned: {crlDistributionPoints: ["http://crl.example/self"]}}
---
apiVersion: cert-manager.io/v1
kind: Issuer
metadata: {name: ca}
spec:
  ca:
    secretName: root
    crlDistributionPoints: ["http://crl.example/ca"]
    ocspServers: ["http://192.0.2.1"]
    issuingCertificateURLs: ["http://ca.example/root.crt"]
---
apiVersion: cert-manager.io/v1
kind: Certificate
metadata: {name: root}
spec: {secretName: root, commonName: my-root, isCA: true, duration: 1000h, issuerRef: {name: self}}
---
apiVersion: cert-manager.io/v1
kind: Certificate
metadata: {name: full}
spec:
  secretName: full
  issuerRef: {name: ca}
  commonName: full.example
  dnsNames: [full.example, "*.full.example"]
  ipAddresses: [192.0.2.7]
  duration: 48h
  subject:
    organizations: [Org]
    countries: [NL]
    organizationalUnits: [Unit]
    localities: [Town]
    provinces: [Province]
    streetAddresses: [Street 1]
    postalCodes: ["1234"]
    serialNumber: "42"
  usages: [server auth, client auth, key encipherment]
  privateKey: {algorithm: ECDSA, size: 384, encoding: PKCS8}
  secretTemplate: {labels: {team: shop}, annotations: {owner: them}}
`

func TestCertificateIsWhatItsFieldsSay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil, fullYAML)
		defer w.run()()
		synctest.Wait()
		root, leaf, secret := w.leaf("root"), w.leaf("full"), w.secret("full")
		for _, c := range []struct {
			field     string
			got, want any
		}{
			{"commonName", leaf.Subject.CommonName, "full.example"},
			{"dnsNames", leaf.DNSNames, []string{"full.example", "*.full.example"}},
			{"ipAddresses", leaf.IPAddresses[0].String(), "192.0.2.7"},
			{"duration", leaf.NotAfter.Sub(leaf.NotBefore).Round(time.Hour), 48 * time.Hour},
			{"subject", leaf.Subject.ToRDNSequence().String(), "SERIALNUMBER=42,CN=full.example,OU=Unit,O=Org,POSTALCODE=1234,STREET=Street 1,L=Town,ST=Province,C=NL"},
			{"usages", leaf.ExtKeyUsage, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}},
			{"usages of keys", leaf.KeyUsage, x509.KeyUsageKeyEncipherment},
			{"isCA", []bool{root.IsCA, leaf.IsCA}, []bool{true, false}},
			{"privateKey.size", leaf.PublicKey.(*ecdsa.PublicKey).Curve, elliptic.P384()},
			{"privateKey.encoding", strings.HasPrefix(string(secret.Data[corev1.TLSPrivateKeyKey]), "-----BEGIN PRIVATE KEY-----\n"), true},
			{"secretTemplate.labels", secret.Labels["team"], "shop"},
			{"secretTemplate.annotations", secret.Annotations["owner"], "them"},
			{"issuer", leaf.Issuer.CommonName, "my-root"},
			{"selfSigned.crlDistributionPoints", root.CRLDistributionPoints, []string{"http://crl.example/self"}},
			{"ca.crlDistributionPoints", leaf.CRLDistributionPoints, []string{"http://crl.example/ca"}},
			{"ca.ocspServers", leaf.OCSPServer, []string{"http://192.0.2.1"}},
			{"ca.issuingCertificateURLs", leaf.IssuingCertificateURL, []string{"http://ca.example/root.crt"}},
		} {
			if !reflect.DeepEqual(c.got, c.want) {
				t.Errorf("%s: %v, want %v", c.field, c.got, c.want)
			}
		}
	})
}

func TestKeysAreOfTheKindThatIsAskedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil, strings.Replace(fullYAML, "algorithm: ECDSA, size: 384, encoding: PKCS8", "algorithm: Ed25519", 1))
		defer w.run()()
		synctest.Wait()
		if _, ok := w.leaf("full").PublicKey.(ed25519.PublicKey); !ok {
			t.Errorf("the key is a %T", w.leaf("full").PublicKey)
		}
		w.want(strings.Replace(fullYAML, "algorithm: ECDSA, size: 384, encoding: PKCS8", "size: 2048", 1))
		synctest.Wait()
		if key, ok := w.leaf("full").PublicKey.(*rsa.PublicKey); !ok || key.N.BitLen() != 2048 {
			t.Errorf("the key is a %T", w.leaf("full").PublicKey)
		}
		if key := string(w.secret("full").Data[corev1.TLSPrivateKeyKey]); !strings.HasPrefix(key, "-----BEGIN RSA PRIVATE KEY-----\n") {
			t.Errorf("its encoding is %.40s", key)
		}
	})
}

func TestPreferredChain(t *testing.T) {
	chain := func(url, issuer string) acme.Certificate {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		template := &x509.Certificate{SerialNumber: big.NewInt(1)}
		template.Subject.CommonName = issuer
		der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
		if err != nil {
			t.Fatal(err)
		}
		return acme.Certificate{URL: url, ChainPEM: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}
	}
	chains := []acme.Certificate{chain("default", "Root X1"), chain("other", "Root X2")}
	for issuer, want := range map[string]string{"": "default", "Root X2": "other", "Root X9": "default"} {
		if got := preferred(chains, issuer).URL; got != want {
			t.Errorf("preferredChain %q: %s, want %s", issuer, got, want)
		}
	}
}

func TestKeyIsKeptIfRotationPolicySaysSo(t *testing.T) {
	c := wanted(nil)
	pair, err := placeholder([]string{"a.example"})
	if err != nil {
		t.Fatal(err)
	}
	before := &held{Key: pair.Key, request: requestDigest(c)}
	for policy, kept := range map[string]bool{"": false, certmanager.RotateAlways: false, certmanager.RotateNever: true} {
		c.Spec.PrivateKey = &certmanager.PrivateKey{RotationPolicy: policy}
		o := &ordering{want: c}
		if err := o.chooseKey(before); err != nil || (o.keyText == before.Key) != kept {
			t.Errorf("rotationPolicy %q: kept %v %v, want %v", policy, o.keyText == before.Key, err, kept)
		}
	}
}
