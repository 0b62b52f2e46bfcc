// Certificates that are obtained when a client asks for them.

package pebbletest

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
)

// manyHosts is a Gateway for the hosts of customers, whose names no file has, and for one that a file has.
const manyHosts = `apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: web}
spec:
  gatewayClassName: wicketgate
  listeners:
  - {name: http, port: 80, protocol: HTTP}
  - {name: customers, port: 443, protocol: HTTPS, hostname: "*.example.com"}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: customers}
spec:
  parentRefs: [{name: web}]
  hostnames: ["*.example.com"]
  rules: [{filters: [{type: RequestRedirect, requestRedirect: {path: {type: ReplaceFullPath, replaceFullPath: /welcome}, statusCode: 302}}]}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: named}
spec:
  parentRefs: [{name: web}]
  hostnames: [named.example.com]
  rules: [{filters: [{type: RequestRedirect, requestRedirect: {statusCode: 301}}]}]
`

// customers is an application that knows its customers' names.
type customers struct {
	mu    sync.Mutex
	known []string
	asked []string
	stuck chan struct{} // not nil: it does not answer before that is closed
}

func (c *customers) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name := r.FormValue("domain")
	c.mu.Lock()
	c.asked = append(c.asked, name)
	known, stuck := slices.Contains(c.known, name), c.stuck
	c.mu.Unlock()
	if stuck != nil {
		select {
		case <-stuck:
		case <-r.Context().Done():
		}
	}
	if !known {
		w.WriteHeader(http.StatusNotFound)
	}
}

// took gives what was asked about since the last call.
func (c *customers) took() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	names := c.asked
	c.asked = nil
	return names
}

// handshake is one handshake for a name: the error if it is refused, and else the status of a request that follows it.
func (g *gateway) handshake(a *authority, name string) (status int, err error) {
	g.t.Helper()
	config := &tls.Config{ServerName: name, InsecureSkipVerify: true} //nolint:gosec // the leaf is looked at below
	client := &http.Client{
		Transport:     &http.Transport{TLSClientConfig: config, DialContext: (&net.Dialer{}).DialContext, DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	request := mustRequest(g.t, fmt.Sprintf("https://127.0.0.1:%d/", g.https))
	request.Host = name
	response, err := client.Do(request)
	if err != nil {
		return 0, err
	}
	_ = response.Body.Close()
	leaf := response.TLS.PeerCertificates[0]
	if leaf.VerifyHostname(name) != nil || !strings.Contains(leaf.Issuer.CommonName, "Pebble") {
		g.t.Errorf("%s: the certificate is for %v by %s", name, leaf.DNSNames, leaf.Issuer)
	}
	return response.StatusCode, nil
}

// untilServed waits until a request for a customer's name is answered: nearly always the first, unless the authority is slow.
func (g *gateway) untilServed(a *authority, name string) {
	g.t.Helper()
	g.until(name+" is served", func() bool {
		status, err := g.handshake(a, name)
		return err == nil && status == http.StatusFound
	})
}

// metric says whether the metrics have a line.
func (g *gateway) metric(line string) bool {
	response, err := http.Get("http://" + g.admin + "/metrics")
	if err != nil {
		return false
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	return err == nil && strings.Contains(string(text), line+"\n")
}

func TestOnDemand(t *testing.T) {
	a := newAuthority(t, settings{})
	c := &customers{known: []string{"one.example.com", "two.example.com", "over.example.com"}}
	app := httptest.NewServer(c)
	t.Cleanup(app.Close)
	config, state := directory(t, "gateway.yaml", manyHosts), t.TempDir()
	with := append(flags(a), "--on-demand-ask", app.URL+"/allowed", "--on-demand-limit", "2")
	g := start(t, a, config, state, with...)
	g.untilIssued(a, "named.example.com")
	if names := c.took(); len(names) > 0 {
		t.Errorf("asked about %v, which files name", names)
	}
	g.untilServed(a, "one.example.com")
	if names := c.took(); !slices.Equal(names, []string{"one.example.com"}) {
		t.Errorf("asked about %v", names)
	}
	for name, asks := range map[string]bool{"stranger.example.com": true, "one.example.org": false} {
		if status, err := g.handshake(a, name); err == nil || !strings.Contains(err.Error(), "unrecognized name") {
			t.Errorf("%s: %d %v", name, status, err)
		}
		if asked := len(c.took()) > 0; asked != asks {
			t.Errorf("%s: asked about: %t", name, asked)
		}
	}
	g.until("it is listed", func() bool {
		status, _ := g.condition("namespaces/default/certificates/one.example.com", "Ready")
		return status == "True"
	})
	g.stop()
	c.took()
	g = start(t, a, config, state, with...)
	g.untilIssued(a, "named.example.com")
	if status, err := g.handshake(a, "one.example.com"); err != nil || status != http.StatusFound || len(c.took()) > 0 {
		t.Errorf("after a restart: %d %v", status, err)
	}
	g.untilServed(a, "two.example.com")
	if n := a.ordered(); n != 3 {
		t.Errorf("%d orders, want one for each name", n)
	}
}

func TestOnDemandHasALimit(t *testing.T) {
	a := newAuthority(t, settings{})
	c := &customers{known: []string{"one.example.com", "two.example.com"}}
	app := httptest.NewServer(c)
	t.Cleanup(app.Close)
	g := start(t, a, directory(t, "gateway.yaml", manyHosts), t.TempDir(), append(flags(a), "--on-demand-ask", app.URL, "--on-demand-limit", "1")...)
	g.untilIssued(a, "named.example.com")
	g.untilServed(a, "one.example.com")
	if _, err := g.handshake(a, "two.example.com"); err == nil || slices.Contains(c.took(), "two.example.com") {
		t.Errorf("more than one in an hour: %v", err)
	}
	for _, line := range []string{`{verdict="admitted"} 1`, `{verdict="limited"} 1`} {
		g.until("the metrics have "+line, func() bool { return g.metric("wicketgate_certificates_on_demand_total" + line) })
	}
}

// An application that does not answer, or is not there, refuses.
func TestOnDemandIsRefusedWithoutAnAnswer(t *testing.T) {
	a := newAuthority(t, settings{})
	c := &customers{known: []string{"one.example.com"}, stuck: make(chan struct{})}
	app := httptest.NewServer(c)
	t.Cleanup(app.Close)
	t.Cleanup(func() { close(c.stuck) })
	config := directory(t, "gateway.yaml", manyHosts)
	for name, url := range map[string]string{"silent": app.URL, "not there": fmt.Sprintf("http://127.0.0.1:%d/", freePort(t))} {
		g := start(t, a, config, t.TempDir(), append(flags(a), "--on-demand-ask", url)...)
		g.untilIssued(a, "named.example.com")
		before := a.ordered()
		if _, err := g.handshake(a, "one.example.com"); err == nil {
			t.Errorf("%s: a certificate", name)
		}
		g.until("it is counted as failed", func() bool { return g.metric(`wicketgate_certificates_on_demand_total{verdict="failed"} 1`) })
		if a.ordered() != before {
			t.Errorf("%s: ordered", name)
		}
		g.stop()
	}
}

// A name that does not lead here cannot be proved: the handshake ends with the attempt, and the next one asks for no order.
func TestOnDemandChallengeThatFails(t *testing.T) {
	a := newAuthority(t, settings{})
	a.dns.AddDNSARecord("lost.example.com.", []string{"127.0.0.2"}) // where nobody listens
	c := &customers{known: []string{"lost.example.com"}}
	app := httptest.NewServer(c)
	t.Cleanup(app.Close)
	g := start(t, a, directory(t, "gateway.yaml", manyHosts), t.TempDir(), append(flags(a), "--on-demand-ask", app.URL, "--address-pool", "127.0.0.1/32")...)
	g.untilIssued(a, "named.example.com")
	before := a.ordered()
	for range 3 {
		if _, err := g.handshake(a, "lost.example.com"); err == nil {
			t.Error("a certificate")
		}
	}
	g.until("the attempt has ended", func() bool { return strings.Contains(g.log.String(), "certificate not obtained") })
	if _, err := g.handshake(a, "lost.example.com"); err == nil {
		t.Error("a certificate after all")
	}
	if n := a.ordered() - before; n != 1 {
		t.Errorf("%d orders", n)
	}
}
