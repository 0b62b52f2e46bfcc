// Certificates from a real ACME server, by the real gateway.

package pebbletest

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// listeners is a Gateway with a plain listener and HTTPS listeners; what %s stands for is its annotations.
const listeners = `apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: web, annotations: {%s}}
spec:
  gatewayClassName: wicketgate
  listeners:
  - {name: http, port: 80, protocol: HTTP}
  - {name: shop, port: 443, protocol: HTTPS, hostname: shop.example.com, tls: {certificateRefs: [{name: shop-tls}]}}
  - {name: api, port: 443, protocol: HTTPS, hostname: api.example.com, tls: {certificateRefs: [{name: shop-tls}]}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: to-https}
spec:
  parentRefs: [{name: web, sectionName: http}]
  rules: [{filters: [{type: RequestRedirect, requestRedirect: {scheme: https, statusCode: 301}}]}]
`

// secureOnly has no plain listener: only TLS-ALPN-01 can be answered.
const secureOnly = `apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: web}
spec:
  gatewayClassName: wicketgate
  listeners: [{name: shop, port: 443, protocol: HTTPS, hostname: shop.example.com}]
`

// issuer is a ClusterIssuer for the authority.
func issuer(t *testing.T, a *authority, more string) string {
	t.Helper()
	roots, err := os.ReadFile(a.roots)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf(`apiVersion: cert-manager.io/v1
kind: ClusterIssuer
metadata: {name: pebble}
spec:
  acme:
    server: %s
    email: ops@example.com
    caBundle: %s
    privateKeySecretRef: {name: pebble-account}
%s`, a.directory, base64.StdEncoding.EncodeToString(roots), more)
}

func flags(a *authority) []string {
	return []string{"--acme-email", "ops@example.com", "--acme-directory", a.directory, "--acme-ca-file", a.roots}
}

func TestHTTP01ThroughARedirect(t *testing.T) {
	a := newAuthority(t, settings{})
	config := directory(t, "gateway.yaml", fmt.Sprintf(listeners, "cert-manager.io/cluster-issuer: pebble"),
		"issuer.yaml", issuer(t, a, "    solvers: [{http01: {ingress: {class: nginx}}}]\n"))
	g := start(t, a, config, t.TempDir())
	leaf := g.untilIssued(a, "shop.example.com")
	if !slices.Contains(leaf.DNSNames, "api.example.com") {
		t.Errorf("both listeners share a Secret, and the certificate is for %v", leaf.DNSNames)
	}
	g.until("the Certificate is ready", func() bool {
		status, _ := g.condition("namespaces/default/certificates/shop-tls", "Ready")
		return status == "True"
	})
	if status, message := g.condition("clusterissuers/pebble", "Ready"); status != "True" || !strings.Contains(message, "registered") {
		t.Errorf("issuer Ready=%s: %s", status, message)
	}
	response, err := http.DefaultTransport.RoundTrip(mustRequest(t, fmt.Sprintf("http://127.0.0.1:%d/.well-known/acme-challenge/nothing-of-the-kind", a.httpPort)))
	if err != nil {
		t.Fatal(err)
	}
	if response.Body.Close(); response.StatusCode != http.StatusMovedPermanently {
		t.Errorf("a token of nobody's: %s, want the route's redirect", response.Status)
	}
}

func mustRequest(t *testing.T, url string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestTLSALPN01WhereNothingIsPlain(t *testing.T) {
	a := newAuthority(t, settings{})
	g := start(t, a, directory(t, "gateway.yaml", secureOnly), t.TempDir(), flags(a)...)
	g.untilIssued(a, "shop.example.com")
	g.until("the Certificate of the flag is listed", func() bool {
		status, _ := g.condition("namespaces/default/certificates/shop.example.com", "Ready")
		return status == "True"
	})
}

func TestPlaceholderUntilTheAuthorityIsUp(t *testing.T) {
	a := newAuthority(t, settings{})
	a.down.Store(true)
	config := directory(t, "gateway.yaml", fmt.Sprintf(listeners, ""))
	state := t.TempDir()
	g := start(t, a, config, state, flags(a)...)
	g.until("a failure is reported", func() bool {
		status, message := g.condition("namespaces/default/certificates/shop.example.com", "Ready")
		return status == "False" && strings.Contains(message, "503") && strings.Contains(message, "next attempt")
	})
	g.until("the placeholder is served", func() bool {
		leaf := g.served("shop.example.com")
		return leaf != nil && leaf.Subject.CommonName == "wicketgate placeholder"
	})
	g.stop()
	a.down.Store(false)
	// The back-off outlives the restart; an edit of what is asked for does not wait for it.
	g = start(t, a, config, state, flags(a)...)
	g.until("the failure is remembered", func() bool {
		status, message := g.condition("namespaces/default/certificates/shop.example.com", "Ready")
		return status == "False" && strings.Contains(message, "503")
	})
	if a.ordered() != 0 {
		t.Error("an order was placed before its time")
	}
}

func (a *authority) ordered() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.orders
}

func TestExternalAccount(t *testing.T) {
	key := base64.RawURLEncoding.EncodeToString([]byte("a key that the authority gave out, long enough"))
	a := newAuthority(t, settings{externalAccounts: map[string]string{"kid-1": key}})
	config := directory(t, "gateway.yaml", fmt.Sprintf(listeners, "cert-manager.io/cluster-issuer: pebble"),
		"issuer.yaml", issuer(t, a, "    externalAccountBinding: {keyID: kid-1, keySecretRef: {name: eab, key: secret}}\n"),
		"eab.yaml", "apiVersion: v1\nkind: Secret\nmetadata: {name: eab, namespace: cert-manager}\nstringData: {secret: "+key+"}\n")
	g := start(t, a, config, t.TempDir())
	g.untilIssued(a, "shop.example.com")
}

func TestProfileIsAskedFor(t *testing.T) {
	a := newAuthority(t, settings{})
	config := directory(t, "gateway.yaml", fmt.Sprintf(listeners, "cert-manager.io/cluster-issuer: pebble"),
		"issuer.yaml", issuer(t, a, "    profile: unheard-of\n"))
	g := start(t, a, config, t.TempDir())
	g.until("the authority's answer is reported", func() bool {
		status, message := g.condition("namespaces/default/certificates/shop-tls", "Ready")
		return status == "False" && strings.Contains(message, "profile")
	})
}

func TestChallengeThatFails(t *testing.T) {
	a := newAuthority(t, settings{})
	a.dns.AddDNSARecord("shop.example.com.", []string{"127.0.0.2"}) // where nobody listens
	config := directory(t, "gateway.yaml", secureOnly)
	g := start(t, a, config, t.TempDir(), append(flags(a), "--address-pool", "127.0.0.1/32")...)
	g.until("the reason is reported", func() bool {
		status, message := g.condition("namespaces/default/certificates/shop.example.com", "Ready")
		return status == "False" && strings.Contains(message, "shop.example.com: the server could not verify the tls-alpn-01 challenge")
	})
	if n := a.ordered(); n != 1 {
		t.Errorf("%d orders before the first pause, want 1", n)
	}
}

func TestRenewal(t *testing.T) {
	a := newAuthority(t, settings{validity: 12 * time.Second})
	g := start(t, a, directory(t, "gateway.yaml", secureOnly), t.TempDir(), flags(a)...)
	first := g.untilIssued(a, "shop.example.com")
	g.until("the certificate is renewed before it ends", func() bool {
		leaf := g.served("shop.example.com")
		return leaf != nil && leaf.SerialNumber.Cmp(first.SerialNumber) != 0
	})
}

func TestRestartInTheMiddleOfAnOrder(t *testing.T) {
	a := newAuthority(t, settings{})
	config, state := directory(t, "gateway.yaml", secureOnly), t.TempDir()
	asked := make(chan struct{})
	a.when("/finalize-order/", func() { close(asked); time.Sleep(500 * time.Millisecond) })
	g := start(t, a, config, state, flags(a)...)
	select {
	case <-asked:
	case <-time.After(patience):
		t.Fatal("no order was finished")
	}
	g.kill()
	g = start(t, a, config, state, flags(a)...)
	g.untilIssued(a, "shop.example.com")
	if n := a.ordered(); n != 1 {
		t.Errorf("%d orders, want the first to be taken up again", n)
	}
}

func TestTwoProcessesOnOneStorage(t *testing.T) {
	a := newAuthority(t, settings{})
	config, state := directory(t, "gateway.yaml", fmt.Sprintf(listeners, "")), t.TempDir()
	first := start(t, a, config, state, flags(a)...)
	first.ready() // it is the one that the authority asks
	second := startOn(t, freePort(t), freePort(t), config, state, flags(a)...)
	one, other := first.untilIssued(a, "shop.example.com"), second.untilIssued(a, "shop.example.com")
	if one.SerialNumber.Cmp(other.SerialNumber) != 0 {
		t.Error("two certificates for one name")
	}
	first.untilIssued(a, "api.example.com")
	second.untilIssued(a, "api.example.com")
	if n := a.ordered(); n != 2 {
		t.Errorf("%d orders, want one for each name", n)
	}
}

// TestManifestsOfTheBackground runs what people paste, once its two mistakes are corrected: a Certificate whose secretName is not what the listener
// names, and a listener that an annotation gives no certificate because it has no hostname. Nobody defines ClusterIssuer letsencrypt-prod: the flags'
// issuer takes its place. The wildcard is proved by DNS-01.
func TestManifestsOfTheBackground(t *testing.T) {
	a := newAuthority(t, settings{})
	g := start(t, a, "testdata", t.TempDir(), append(flags(a), "--acme-dns-hook", dnsHook(t, a))...)
	g.untilIssued(a, "shop.company.com")
	g.untilIssued(a, "api.codingprotocols.com")
	for _, path := range []string{"namespaces/gateway-system/certificates/wildcard-cert", "namespaces/infra/certificates/wildcard-tls"} {
		g.until(path+" is ready", func() bool {
			status, _ := g.condition(path, "Ready")
			return status == "True"
		})
	}
}

// dnsHook is a program that sets the records of the authority's DNS server.
func dnsHook(t *testing.T, a *authority) string {
	t.Helper()
	records := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		name, value := r.FormValue("name")+".", r.FormValue("value")
		if r.FormValue("what") == "present" {
			a.dns.AddDNSTXTRecord(name, value)
		} else {
			a.dns.DeleteDNSTXTRecord(name)
		}
	}))
	t.Cleanup(records.Close)
	hook := filepath.Join(t.TempDir(), "hook")
	script := "#!/bin/sh\nexec curl -sf --data-urlencode what=$1 --data-urlencode name=$2 --data-urlencode value=$3 " + records.URL + "\n"
	if err := os.WriteFile(hook, []byte(script), 0o700); err != nil { //nolint:gosec // it is to be run
		t.Fatal(err)
	}
	return hook
}

// One wildcard takes the place of a certificate for each hostname of the routes, where it can be proved; the names that it does not cover have their own.
func TestWildcardOfTheFlag(t *testing.T) {
	a := newAuthority(t, settings{})
	config := directory(t, "gateway.yaml", `apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: web}
spec:
  gatewayClassName: wicketgate
  listeners: [{name: all, port: 443, protocol: HTTPS, hostname: "*.example.com"}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: to-https}
spec:
  parentRefs: [{name: web}]
  hostnames: [a.example.com, b.example.com, c.d.example.com]
  rules: [{filters: [{type: RequestRedirect, requestRedirect: {statusCode: 301}}]}]
`)
	state := t.TempDir()
	g := start(t, a, config, state, append(flags(a), "--acme-dns-hook", dnsHook(t, a))...)
	first := g.untilIssued(a, "a.example.com")
	g.until("a name that the wildcard does not cover has its own", func() bool {
		leaf := g.served("c.d.example.com")
		return leaf != nil && leaf.VerifyHostname("c.d.example.com") == nil
	})
	if other := g.untilIssued(a, "new.example.com"); !other.Equal(first) {
		t.Error("another certificate for another name below the wildcard")
	}
	g.stop()
	g = start(t, a, config, state, append(flags(a), "--acme-dns-hook", dnsHook(t, a))...)
	if again := g.untilIssued(a, "b.example.com"); !again.Equal(first) {
		t.Error("the wildcard does not outlive a restart")
	}
	if n := a.ordered(); n != 2 {
		t.Errorf("%d orders, want the wildcard's and that of the name below it", n)
	}
}
