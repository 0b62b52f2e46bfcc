// Objects for tests, from YAML, without the admission that config does. Build must cope with what admission would have filled in.

package gateway

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"strings"
	"sync"
	"testing"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
	xv1alpha1 "sigs.k8s.io/gateway-api/apisx/v1alpha1"
	"sigs.k8s.io/yaml"

	"github.com/wicketgate/wicketgate/envoygateway"
	"github.com/wicketgate/wicketgate/object"
)

// testTime is "now" in tests.
var testTime = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// parseObjects reads documents, of which each becomes an object in namespace default unless it says otherwise.
func parseObjects(t testing.TB, text string) []*object.Object {
	t.Helper()
	var all []*object.Object
	line := 1
	for doc := range strings.SplitSeq("\n"+text, "\n---\n") {
		if strings.TrimSpace(doc) != "" {
			all = append(all, parseObject(t, doc, line))
		}
		line += strings.Count(doc, "\n") + 1
	}
	return all
}

func parseObject(t testing.TB, doc string, line int) *object.Object {
	t.Helper()
	raw, err := yaml.YAMLToJSON([]byte(doc))
	if err != nil {
		t.Fatalf("line %d: %v", line, err)
	}
	tree := unstructured.Unstructured{}
	if err := tree.UnmarshalJSON(raw); err != nil {
		t.Fatalf("line %d: %v", line, err)
	}
	gvk := tree.GroupVersionKind()
	value := newValue(gvk.Kind)
	if value != nil {
		if err := json.Unmarshal(raw, value); err != nil {
			t.Fatalf("line %d: %v", line, err)
		}
	}
	o := &object.Object{
		Key:      keyOf(kind(gvk.Group, gvk.Kind), tree.GetNamespace(), tree.GetName()),
		Version:  gvk.Version,
		Value:    value,
		Content:  tree.Object,
		Position: object.Position{File: "in.yaml", Line: line},
	}
	o.Meta = metav1.ObjectMeta{
		Name: o.Name, Namespace: o.Namespace, Generation: max(1, tree.GetGeneration()), Labels: tree.GetLabels(), Annotations: tree.GetAnnotations(),
		CreationTimestamp: tree.GetCreationTimestamp(),
	}
	if clusterScoped := gvk.Kind == "GatewayClass" || gvk.Kind == "Namespace" || gvk.Kind == "ClusterTrustBundle" || gvk.Kind == "XMesh"; o.Namespace == "" && !clusterScoped {
		o.Namespace, o.Meta.Namespace = "default", "default"
	}
	if secret, ok := value.(*corev1.Secret); ok {
		fillSecret(t, secret)
	}
	if configMap, ok := value.(*corev1.ConfigMap); ok && configMap.Annotations["authority"] != "" {
		configMap.Data = map[string]string{caKey: string(testCertificate(t, "authority "+configMap.Annotations["authority"], []string{configMap.Annotations["authority"]}, false)[0])}
	}
	if bundle, ok := value.(*certificatesv1.ClusterTrustBundle); ok && bundle.Annotations["authority"] != "" {
		bundle.Spec.TrustBundle = string(testCertificate(t, "authority "+bundle.Annotations["authority"], []string{bundle.Annotations["authority"]}, false)[0])
	}
	o.Digest = sha256.Sum256(raw)
	return o
}

func newValue(k string) any {
	switch k {
	case "GatewayClass":
		return &gatewayv1.GatewayClass{}
	case "Gateway":
		return &gatewayv1.Gateway{}
	case "ListenerSet":
		return &gatewayv1.ListenerSet{}
	case "HTTPRoute":
		return &gatewayv1.HTTPRoute{}
	case "GRPCRoute":
		return &gatewayv1.GRPCRoute{}
	case "TLSRoute":
		return &gatewayv1.TLSRoute{}
	case "TCPRoute":
		return &gatewayv1.TCPRoute{}
	case "UDPRoute":
		return &gatewayv1.UDPRoute{}
	case "ReferenceGrant":
		return &gatewayv1.ReferenceGrant{}
	case "BackendTLSPolicy":
		return &gatewayv1.BackendTLSPolicy{}
	case "Namespace":
		return &corev1.Namespace{}
	case "Service":
		return &corev1.Service{}
	case "Secret":
		return &corev1.Secret{}
	case "ConfigMap":
		return &corev1.ConfigMap{}
	case "Backend":
		return &envoygateway.Backend{}
	case "XBackend":
		return &xv1alpha1.XBackend{}
	case "XBackendTrafficPolicy":
		return &xv1alpha1.XBackendTrafficPolicy{}
	case "XTelemetryPolicy":
		return &xv1alpha1.XTelemetryPolicy{}
	case "XMesh":
		return &xv1alpha1.XMesh{}
	case "ClusterTrustBundle":
		return &certificatesv1.ClusterTrustBundle{}
	case "EndpointSlice":
		return &discoveryv1.EndpointSlice{}
	}
	return nil
}

// fillSecret makes the certificate that annotations ask for: "certificate" lists its names, "expired" makes it an old one, and "foreign-key"
// gives it the key of another. "authority" makes it, or a ConfigMap, hold a CA's certificate.
func fillSecret(t testing.TB, s *corev1.Secret) {
	t.Helper()
	if authority := s.Annotations["authority"]; authority != "" {
		s.Data = map[string][]byte{caKey: testCertificate(t, "authority "+authority, []string{authority}, false)[0]}
	}
	names := s.Annotations["certificate"]
	if names == "" {
		return
	}
	pair := testCertificate(t, names+s.Annotations["expired"], strings.Split(names, ","), s.Annotations["expired"] != "")
	key := pair[1]
	if s.Annotations["foreign-key"] != "" {
		key = testCertificate(t, "another", []string{"another.example"}, false)[1]
	}
	s.Data = map[string][]byte{corev1.TLSCertKey: pair[0], corev1.TLSPrivateKeyKey: key}
}

var testCertificates sync.Map // of [2][]byte, by what they are for

func testCertificate(t testing.TB, id string, names []string, expired bool) [2][]byte {
	t.Helper()
	if pair, ok := testCertificates.Load(id); ok {
		return pair.([2][]byte)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: names[0]}, DNSNames: names,
		NotBefore: testTime.AddDate(-2, 0, 0), NotAfter: testTime.AddDate(1, 0, 0),
	}
	if expired {
		template.NotAfter = testTime.AddDate(0, 0, -20)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	pair := [2][]byte{
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}),
	}
	testCertificates.Store(id, pair)
	return pair
}

// build parses and builds with DNS backends on.
func build(t testing.TB, text string) *Graph {
	t.Helper()
	return Build(object.NewSet(parseObjects(t, text)...), Options{DNSBackends: true})
}

// manyRoutes is a directory of n routes with a Service and an EndpointSlice each, spread over namespaces, on one Gateway with
// several listeners, and with grants across namespaces.
func manyRoutes(n int) string {
	var b strings.Builder
	b.WriteString(`
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: public, namespace: infra}
spec:
  gatewayClassName: any
  listeners:
  - {name: any, port: 80, protocol: HTTP, allowedRoutes: {namespaces: {from: All}}}
  - {name: example, port: 80, protocol: HTTP, hostname: "*.example.com", allowedRoutes: {namespaces: {from: All}}}
`)
	for i := range n {
		ns := i % 50
		fmt.Fprintf(&b, `---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: route-%[1]d, namespace: team-%[2]d}
spec:
  parentRefs: [{name: public, namespace: infra}]
  hostnames: [host-%[1]d.example.com]
  rules:
  - matches: [{path: {type: PathPrefix, value: /api}}, {path: {type: Exact, value: /health}}]
    backendRefs: [{name: app-%[1]d, namespace: apps-%[2]d, port: 8080, weight: 9}, {name: canary-%[1]d, port: 80}]
---
apiVersion: v1
kind: Service
metadata: {name: app-%[1]d, namespace: apps-%[2]d}
spec: {ports: [{port: 8080, targetPort: http}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: app-%[1]d-x, namespace: apps-%[2]d, labels: {kubernetes.io/service-name: app-%[1]d}}
addressType: IPv4
ports: [{port: 3000}]
endpoints: [{addresses: [10.0.%[2]d.1]}, {addresses: [10.0.%[2]d.2]}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: ReferenceGrant
metadata: {name: grant-%[1]d, namespace: apps-%[2]d}
spec:
  from: [{group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: team-%[2]d}]
  to: [{group: "", kind: Service, name: app-%[1]d}]
`, i, ns)
	}
	return b.String()
}
