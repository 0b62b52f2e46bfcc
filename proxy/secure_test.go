// TLS to backends: real handshakes with a backend whose certificate has known names, by policies that ask for these and for others.

package proxy

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/wicketgate/wicketgate/gateway"
	"github.com/wicketgate/wicketgate/internal/patient"
	"github.com/wicketgate/wicketgate/proxy/backend"
)

// authority signs certificates.
type authority struct {
	t           testing.TB
	key         *ecdsa.PrivateKey
	certificate *x509.Certificate
	pem         string
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	a := &authority{t: t}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, key := a.sign(template, template)
	a.key, a.pem = key, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	a.certificate, _ = x509.ParseCertificate(der)
	return a
}

func (a *authority) sign(template, parent *x509.Certificate) ([]byte, *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	signer := a.key
	if signer == nil {
		signer = key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		a.t.Fatal(err)
	}
	return der, key
}

// issue makes a certificate for names and, if it has one, a URI.
func (a *authority) issue(name, uri string) tls.Certificate {
	a.t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}, NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	if uri != "" {
		parsed, err := url.Parse(uri)
		if err != nil {
			a.t.Fatal(err)
		}
		template.URIs = []*url.URL{parsed}
	}
	der, key := a.sign(template, a.certificate)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// secret is a certificate as the data of a Secret.
func (a *authority) secret(c tls.Certificate) string {
	a.t.Helper()
	key, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	if err != nil {
		a.t.Fatal(err)
	}
	encode := func(kind string, der []byte) string {
		return base64.StdEncoding.EncodeToString(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	return fmt.Sprintf("{tls.crt: %s, tls.key: %s}", encode("CERTIFICATE", c.Certificate[0]), encode("PRIVATE KEY", key))
}

// secureOrigin answers with what it saw of the handshake.
func secureOrigin(t testing.TB, certificate tls.Certificate) netip.AddrPort {
	t.Helper()
	server := &http.Server{
		ReadHeaderTimeout: time.Minute,
		ErrorLog:          slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo),
		TLSConfig:         &tls.Config{Certificates: []tls.Certificate{certificate}, ClientAuth: tls.RequestClientCert},
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			client := "nobody"
			if len(r.TLS.PeerCertificates) > 0 {
				client = r.TLS.PeerCertificates[0].Subject.CommonName
			}
			if r.URL.Query().Has("close") {
				w.Header().Set("Connection", "close")
			}
			fmt.Fprintf(w, "%s for %s by %s resumed %v from %s", r.Proto, r.TLS.ServerName, client, r.TLS.DidResume, r.RemoteAddr)
		}),
	}
	ln := listen(t)
	go server.ServeTLS(ln, "", "")
	t.Cleanup(func() { server.Close() })
	return netip.MustParseAddrPort(ln.Addr().String())
}

// secureStand is a proxy with a route /NAME for each policy, whose validation is given as YAML. Gateways on ports 80, 81 and 82 have no client
// certificate, one, and one that does not resolve.
func secureStand(t *testing.T, log io.Writer, validations map[string]string) *loopback {
	t.Helper()
	ours, others := newAuthority(t), newAuthority(t)
	at := secureOrigin(t, ours.issue("cart.example", "spiffe://example/cart"))
	var y strings.Builder
	for port, clientTLS := range map[int]string{80: "", 81: "tls: {backend: {clientCertificateRef: {name: client}}}", 82: "tls: {backend: {clientCertificateRef: {name: gone}}}"} {
		fmt.Fprintf(&y, `
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: gw%d}
spec: {gatewayClassName: any, listeners: [{name: http, port: %d, protocol: HTTP}], %s}
---`, port, port, clientTLS)
	}
	indent := func(s string) string { return strings.ReplaceAll(strings.TrimSpace(s), "\n", "\n    ") }
	fmt.Fprintf(&y, "\napiVersion: v1\nkind: Secret\nmetadata: {name: client}\ntype: kubernetes.io/tls\ndata: %s\n---", ours.secret(ours.issue("the-gateway", "")))
	for name, a := range map[string]*authority{"ours": ours, "others": others} {
		fmt.Fprintf(&y, "\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: %s}\ndata:\n  ca.crt: |\n    %s\n---", name, indent(a.pem))
	}
	for name, validation := range validations {
		fmt.Fprintf(&y, `
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: %[1]s}
spec:
  parentRefs: [{name: gw80}, {name: gw81}, {name: gw82}]
  rules: [{matches: [{path: {value: /%[1]s}}], backendRefs: [{name: %[1]s, port: 443}]}]
---
apiVersion: v1
kind: Service
metadata: {name: %[1]s}
spec: {ports: [{port: 443}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: %[1]s, labels: {kubernetes.io/service-name: %[1]s}}
addressType: IPv4
ports: [{port: %[3]d}]
endpoints: [{addresses: [127.0.0.1]}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: BackendTLSPolicy
metadata: {name: %[1]s}
spec:
  targetRefs: [{group: "", kind: Service, name: %[1]s}]
  validation: %[2]s
---`, name, validation, at.Port())
	}
	l := newLoopback(t, Options{
		Log: slog.New(slog.NewTextHandler(log, nil)),
		Registry: backend.NewRegistry(backend.Options{IdleTimeout: 10 * time.Second, Dial: func(ctx context.Context, to netip.AddrPort, _ bool) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", to.String())
		}}),
	})
	l.swap(graphOf(t, "tls.yaml", strings.TrimSuffix(y.String(), "---")))
	return l
}

// ask sends a request to the Gateway of a port.
func ask(t *testing.T, l *loopback, port uint16, target string) (status int, body string) {
	t.Helper()
	c := l.connect(t, netip.AddrPortFrom(netip.IPv6Unspecified(), port), netip.Addr{}, nil)
	defer c.Close()
	return askOn(t, c, target)
}

// askOn sends a request on a connection: the proxy is done with one when it reads the next.
func askOn(t *testing.T, c net.Conn, target string) (status int, body string) {
	t.Helper()
	fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: a\r\n\r\n", target)
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(text)
}

const trustOurs = `caCertificateRefs: [{group: "", kind: ConfigMap, name: ours}]`

func TestBackendCertificateIsVerified(t *testing.T) {
	const names = `{hostname: sni.example, ` + trustOurs + `, subjectAltNames: [%s]}`
	cases := []struct {
		name, validation string
		sni              string // empty: refused
	}{
		{"hostname", `{hostname: cart.example, ` + trustOurs + `}`, "cart.example"},
		{"other-hostname", `{hostname: shop.example, ` + trustOurs + `}`, ""},
		{"other-authority", `{hostname: cart.example, caCertificateRefs: [{group: "", kind: ConfigMap, name: others}]}`, ""},
		{"system-authorities", `{hostname: cart.example, wellKnownCACertificates: System}`, ""},
		{"san-hostname", fmt.Sprintf(names, `{type: Hostname, hostname: cart.example}`), "sni.example"},
		{"san-wildcard", fmt.Sprintf(names, `{type: Hostname, hostname: "*.example"}`), "sni.example"},
		{"san-other-wildcard", fmt.Sprintf(names, `{type: Hostname, hostname: "*.cart.example"}`), ""},
		{"san-uri", fmt.Sprintf(names, `{type: URI, uri: "spiffe://example/cart"}`), "sni.example"},
		{"san-one-of-two", fmt.Sprintf(names, `{type: Hostname, hostname: a.example}, {type: URI, uri: "spiffe://example/cart"}`), "sni.example"},
		{"san-other-uri", fmt.Sprintf(names, `{type: URI, uri: "spiffe://example/shop"}`), ""},
		// With alternative names the hostname alone is not enough.
		{"san-not-hostname", `{hostname: cart.example, ` + trustOurs + `, subjectAltNames: [{type: Hostname, hostname: shop.example}]}`, ""},
		{"san-other-authority", `{hostname: cart.example, caCertificateRefs: [{group: "", kind: ConfigMap, name: others}], subjectAltNames: [{type: Hostname, hostname: cart.example}]}`, ""},
	}
	validations := map[string]string{}
	for _, c := range cases {
		validations[c.name] = c.validation
	}
	log := &syncBuffer{}
	l := secureStand(t, log, validations)
	for _, c := range cases {
		status, body := ask(t, l, 80, "/"+c.name)
		if c.sni == "" {
			if status != statusBadGateway {
				t.Errorf("%s: %d %s, not 502", c.name, status, body)
			}
			want := `policy="BackendTLSPolicy default/` + c.name + `"`
			patient.Until(t, "a log line has "+want, func() bool { return strings.Contains(log.String(), want) })
			continue
		}
		if want := "HTTP/1.1 for " + c.sni + " by nobody"; status != 200 || !strings.HasPrefix(body, want) {
			t.Errorf("%s: %d %s, not %s", c.name, status, body, want)
		}
	}
}

// The same route presents each Gateway's own certificate, and leads nowhere from one whose certificate does not resolve.
func TestGatewayPresentsItsClientCertificate(t *testing.T) {
	l := secureStand(t, io.Discard, map[string]string{"cart": `{hostname: cart.example, ` + trustOurs + `}`})
	for range 2 { // the second round meets kept connections
		for port, want := range map[uint16]string{80: "by nobody", 81: "by the-gateway"} {
			if status, body := ask(t, l, port, "/cart"); status != 200 || !strings.Contains(body, want) {
				t.Errorf("port %d: %d %s, not %s", port, status, body, want)
			}
		}
		if status, body := ask(t, l, 82, "/cart"); status != statusInternalError {
			t.Errorf("without its certificate: %d %s, not 500", status, body)
		}
	}
}

// A kept connection is used again, and a new one resumes the session; also where names are verified by the proxy itself.
func TestBackendSessionsAreResumed(t *testing.T) {
	l := secureStand(t, io.Discard, map[string]string{
		"plain": `{hostname: cart.example, ` + trustOurs + `}`,
		"names": `{hostname: cart.example, ` + trustOurs + `, subjectAltNames: [{type: URI, uri: "spiffe://example/cart"}]}`,
	})
	c := l.connect(t, anyOn80, netip.Addr{}, nil)
	for _, path := range []string{"/plain", "/names"} {
		_, first := askOn(t, c, path)
		if !strings.Contains(first, "resumed false") {
			t.Fatalf("%s: first: %s", path, first)
		}
		if _, second := askOn(t, c, path+"?close"); second != first {
			t.Errorf("%s: the kept connection is not used again: %s, then %s", path, first, second)
		}
		if _, third := askOn(t, c, path); !strings.Contains(third, "resumed true") {
			t.Errorf("%s: a new connection does not resume the session: %s", path, third)
		}
	}
}

// Where nothing of TLS is involved a rule is compiled once, whatever certificates the Gateways have.
func TestIdentityIsForTLSAlone(t *testing.T) {
	gw := &gateway.Gateway{Identity: &gateway.Identity{Unusable: "gone"}}
	plain := &gateway.Rule{Backends: []*gateway.Backend{{Target: &gateway.Target{Key: "a"}}, {Unusable: "no such Service"}}}
	if id := identity(plain, gw); id != nil {
		t.Errorf("a rule without TLS has the identity %v", id)
	}
	secured := &gateway.Rule{Backends: []*gateway.Backend{{Target: &gateway.Target{Key: "a", TLS: &gateway.BackendTLS{}}}}}
	if id := identity(secured, gw); id != gw.Identity {
		t.Errorf("a rule with TLS has the identity %v", id)
	}
}

// Print says what is spoken TLS with.
func TestPrintNamesPolicies(t *testing.T) {
	l := secureStand(t, io.Discard, map[string]string{"cart": `{hostname: cart.example, ` + trustOurs + `}`})
	var b bytes.Buffer
	if err := l.proxy.Current().Print(&b); err != nil {
		t.Fatal(err)
	}
	if want := "Service default/cart:443 over TLS (BackendTLSPolicy default/cart)"; !strings.Contains(b.String(), want) {
		t.Errorf("%q is not in\n%s", want, b.String())
	}
}
