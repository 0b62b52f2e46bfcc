// The same over TLS on both sides: a client that speaks h2 by ALPN, and a server to which a BackendTLSPolicy leads.

package interop

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/interop"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
)

const secure = `
---
apiVersion: v1
kind: Secret
metadata: {name: cert}
type: kubernetes.io/tls
data: {tls.crt: %s, tls.key: %s}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: authority}
data:
  ca.crt: |
    %s
---
apiVersion: gateway.networking.k8s.io/v1
kind: BackendTLSPolicy
metadata: {name: interop}
spec:
  targetRefs: [{group: "", kind: Service, name: interop}]
  validation:
    hostname: interop.test
    caCertificateRefs: [{group: "", kind: ConfigMap, name: authority}]
`

func TestInteropOverTLS(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"interop.test"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	private := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})

	ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer(grpc.Creds(credentials.NewServerTLSFromCert(&tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key})))
	testgrpc.RegisterTestServiceServer(s, interop.NewTestServer())
	go s.Serve(ln)
	t.Cleanup(s.Stop)

	port := free(t)
	yaml := fmt.Sprintf(common, port, "", ln.Addr().(*net.TCPAddr).Port, "GRPCRoute")
	yaml = strings.Replace(yaml, "protocol: HTTP}", "protocol: HTTPS, tls: {certificateRefs: [{name: cert}]}}", 1)
	start(t, build(t), yaml+fmt.Sprintf(secure, base64.StdEncoding.EncodeToString(cert), base64.StdEncoding.EncodeToString(private),
		strings.ReplaceAll(string(cert), "\n", "\n    ")))
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(cert)
	conn, err := grpc.NewClient(fmt.Sprintf("127.0.0.1:%d", port),
		grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{RootCAs: pool, ServerName: "interop.test"})))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for name, run := range cases(conn) {
		t.Run(name, func(t *testing.T) { attempt(t, run) })
	}
}
