// Backends of all kinds that need no DNS, through the program: Envoy Gateway's Backend with addresses, Unix sockets and TLS.

package cli

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// backendYAML is a Backend, and a route of a path prefix to it.
func backendYAML(name, spec string) string {
	return fmt.Sprintf(`apiVersion: gateway.envoyproxy.io/v1alpha1
kind: Backend
metadata: {name: %[1]s}
spec: %[2]s
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: %[1]s}
spec:
  parentRefs: [{name: web}]
  rules:
  - matches: [{path: {value: /%[1]s}}]
    backendRefs: [{group: gateway.envoyproxy.io, kind: Backend, name: %[1]s}]
`, name, spec)
}

// unixBackend serves h on a Unix socket and returns its path.
func unixBackend(t *testing.T, path string, h http.HandlerFunc) {
	t.Helper()
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	s := &httptest.Server{Listener: l, Config: &http.Server{Handler: h, ReadHeaderTimeout: time.Minute}}
	s.Start()
	t.Cleanup(s.Close)
}

func TestBackendsOfEnvoyGateway(t *testing.T) {
	port, sockets := freePort(t), t.TempDir()
	plain := newBackend(t, saying("plain"))
	unixBackend(t, filepath.Join(sockets, "app.sock"), saying("unix"))
	unixBackend(t, filepath.Join(t.TempDir(), "elsewhere.sock"), saying("elsewhere"))
	crt, key := certificate(t, time.Now().Add(time.Hour), "api.example.org")
	pair, err := tls.X509KeyPair(crt, key)
	if err != nil {
		t.Fatal(err)
	}
	asked := make(chan string, 100)
	secure := httptest.NewUnstartedServer(saying("secure"))
	secure.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, GetConfigForClient: func(h *tls.ClientHelloInfo) (*tls.Config, error) {
		asked <- h.ServerName
		return nil, nil //nolint:nilnil // no other configuration
	}}
	secure.StartTLS()
	t.Cleanup(secure.Close)
	https := secure.Listener.Addr().(*net.TCPAddr).Port
	authority := "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: ca}\ndata:\n  ca.crt: |\n    " + strings.ReplaceAll(strings.TrimSpace(string(crt)), "\n", "\n    ") + "\n"
	trusting := func(sni string) string {
		return fmt.Sprintf(`{endpoints: [{ip: {address: 127.0.0.1, port: %d}}], tls: {sni: %s, caCertificateRefs: [{group: "", kind: ConfigMap, name: ca}]}}`, https, sni)
	}
	g := startGate(t, map[string]string{
		"gateway.yaml":  gatewayYAML(port),
		"ca.yaml":       authority,
		"plain.yaml":    backendYAML("plain", fmt.Sprintf("{endpoints: [{ip: {address: 127.0.0.1, port: %d}}]}", plain)),
		"unix.yaml":     backendYAML("unix", fmt.Sprintf("{endpoints: [{unix: {path: %s}}]}", filepath.Join(sockets, "app.sock"))),
		"outside.yaml":  backendYAML("outside", "{endpoints: [{unix: {path: /run/docker.sock}}]}"),
		"secure.yaml":   backendYAML("secure", trusting("api.example.org")),
		"misnamed.yaml": backendYAML("misnamed", trusting("other.example.org")),
		"insecure.yaml": backendYAML("insecure", fmt.Sprintf("{endpoints: [{ip: {address: 127.0.0.1, port: %d}}], tls: {insecureSkipVerify: true}}", https)),
		"untrusted.yaml": backendYAML("untrusted", fmt.Sprintf(
			"{endpoints: [{ip: {address: 127.0.0.1, port: %d}}], tls: {sni: api.example.org, wellKnownCACertificates: System}}", https)),
		"dynamic.yaml": backendYAML("dynamic", "{type: DynamicResolver}"),
	}, "--backend-unix-dir", sockets)
	for _, c := range []struct {
		path string
		code int
		body string
	}{
		{"/plain", 200, "plain"},
		{"/unix", 200, "unix"},
		{"/outside", 500, ""},
		{"/secure", 200, "secure"},
		{"/misnamed", 502, ""},
		{"/insecure", 200, "secure"},
		{"/untrusted", 502, ""},
		{"/dynamic", 500, ""},
	} {
		code, body := fetch(t, client, at(port, c.path))
		if code != c.code || c.body != "" && body != c.body {
			t.Errorf("%s: %d %s", c.path, code, body)
		}
	}
	if name := <-asked; name != "api.example.org" {
		t.Errorf("the first handshake asked for %q", name)
	}
	out, _, _ := g.get("backends", "outside")
	if !strings.Contains(out, "Invalid") {
		t.Errorf("get backends says\n%s", out)
	}
	// A changed endpoint is served by the next request; what was one is not asked any more.
	g.edit(map[string]string{"plain.yaml": backendYAML("plain", fmt.Sprintf("{endpoints: [{ip: {address: 127.0.0.1, port: %d}}]}", newBackend(t, saying("new"))))})
	if code, body := fetch(t, client, at(port, "/plain")); code != 200 || body != "new" {
		t.Errorf("after the edit: %d %s", code, body)
	}
}
