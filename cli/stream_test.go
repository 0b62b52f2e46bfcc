// TCP and TLS listeners of the real program: where connections go, that they outlive reloads, and how they end.

package cli

import (
	"bufio"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// tcpBackend greets and then sends everything back.
func tcpBackend(t *testing.T, greeting string, config *tls.Config) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if config != nil {
		l = tls.NewListener(l, config)
	}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() {
				defer c.Close()
				if _, err := io.WriteString(c, greeting+"\n"); err == nil {
					_, _ = io.Copy(c, c)
				}
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		running.Wait()
	})
	return l.Addr().(*net.TCPAddr).Port
}

// serviceYAML is a Service with one endpoint on loopback.
func serviceYAML(name string, port int) string {
	_, service, _ := strings.Cut(routeYAML(name, "/", port), "---\n")
	return service
}

// streamRouteYAML leads a listener's connections to a Service.
func streamRouteYAML(kind, name, section, hostname, service string) string {
	hosts := ""
	if hostname != "" {
		hosts = fmt.Sprintf("\n  hostnames: [%q]", hostname)
	}
	return fmt.Sprintf(`apiVersion: gateway.networking.k8s.io/v1
kind: %s
metadata: {name: %s}
spec:
  parentRefs: [{name: web, sectionName: %s}]%s
  rules: [{backendRefs: [{name: %s, port: 80}]}]
`, kind, name, section, hosts, service)
}

// line reads a line from a connection to the gateway.
func line(t *testing.T, r *bufio.Reader) string {
	t.Helper()
	s, err := r.ReadString('\n')
	if err != nil {
		t.Fatalf("after %q: %v", s, err)
	}
	return strings.TrimSuffix(s, "\n")
}

func dialPort(t *testing.T, port int) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", "127.0.0.1:"+strconv.Itoa(port))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(time.Minute))
	return c
}

// Connections are carried while the directory changes: new ones by the new routes, old ones to their end, and none is lost.
func TestStreamsOutliveReloads(t *testing.T) {
	port, other := freePort(t), freePort(t)
	listeners := gatewayYAML() + fmt.Sprintf("  - {name: db, port: %d, protocol: TCP}\n", port)
	extra := fmt.Sprintf("  - {name: other, port: %d, protocol: TCP}\n", other)
	g := startGate(t, map[string]string{
		"gateway.yaml": listeners + extra, "one.yaml": serviceYAML("one", tcpBackend(t, "one", nil)),
		"two.yaml":   serviceYAML("two", tcpBackend(t, "two", nil)),
		"route.yaml": streamRouteYAML("TCPRoute", "db", "db", "", "one"), "other.yaml": streamRouteYAML("TCPRoute", "other", "other", "", "two"),
	}, "--drain-timeout", "8s")
	old, doomed := dialPort(t, port), dialPort(t, other)
	fromOld, fromDoomed := bufio.NewReader(old), bufio.NewReader(doomed)
	if got := line(t, fromOld) + line(t, fromDoomed); got != "onetwo" {
		t.Fatalf("greeted by %s", got)
	}
	var stop atomic.Bool
	var load sync.WaitGroup
	var carried atomic.Int32
	for range 4 {
		load.Go(func() {
			for !stop.Load() {
				c, err := net.Dial("tcp", "127.0.0.1:"+strconv.Itoa(port))
				if err != nil {
					t.Error(err)
					return
				}
				_ = c.SetDeadline(time.Now().Add(time.Minute))
				_, _ = io.WriteString(c, "hello")
				_ = c.(*net.TCPConn).CloseWrite()
				if all, err := io.ReadAll(c); err != nil || len(all) != len("one\nhello") {
					t.Errorf("got %q, %v", all, err)
				}
				carried.Add(1)
				_ = c.Close()
			}
		})
	}
	for i := 0; i < 6 || carried.Load() < 10 && !t.Failed(); i++ {
		g.edit(map[string]string{"route.yaml": streamRouteYAML("TCPRoute", "db", "db", "", []string{"two", "one"}[i%2])})
	}
	g.edit(map[string]string{"route.yaml": streamRouteYAML("TCPRoute", "db", "db", "", "two"), "gateway.yaml": listeners})
	_, _ = io.WriteString(doomed, "draining\n") // first, for it drains only for a while
	if got := line(t, fromDoomed); got != "draining" {
		t.Errorf("a connection of a removed listener sent back %q", got)
	}
	stop.Store(true)
	load.Wait()
	if got := line(t, bufio.NewReader(dialPort(t, port))); got != "two" {
		t.Errorf("a new connection is greeted by %s", got)
	}
	if _, err := fromDoomed.ReadByte(); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("the removed listener's connection ended with %v, not with a reset", err)
	}
	_, _ = io.WriteString(old, "still here\n")
	if got := line(t, fromOld); got != "still here" {
		t.Errorf("the oldest connection sent back %q", got)
	}
}

// One port: an HTTPS listener, one that ends TLS for a TLSRoute, and one that passes it through, told apart by the server name.
func TestAPortOfAllKindsOfTLS(t *testing.T) {
	port := freePort(t)
	until := time.Now().Add(time.Hour)
	cert, key := certificate(t, until, "www.example.com", "db.example.com")
	backendCert, backendKey := certificate(t, until, "raw.example.com")
	pair, err := tls.X509KeyPair(backendCert, backendKey)
	if err != nil {
		t.Fatal(err)
	}
	passed := tcpBackend(t, "passed through", &tls.Config{Certificates: []tls.Certificate{pair}, NextProtos: []string{"postgresql"}})
	startGate(t, map[string]string{
		"gateway.yaml": gatewayYAML() + fmt.Sprintf(`  - {name: www, port: %[1]d, protocol: HTTPS, hostname: www.example.com, tls: {certificateRefs: [{name: cert}]}}
  - {name: db, port: %[1]d, protocol: TLS, hostname: db.example.com, tls: {mode: Terminate, certificateRefs: [{name: cert}]}}
  - {name: raw, port: %[1]d, protocol: TLS, hostname: "*.example.com", tls: {mode: Passthrough}}
`, port),
		"cert.yaml": secretYAML("cert", cert, key),
		"www.yaml":  routeYAML("www", "/", newBackend(t, saying("web"))),
		"db.yaml": streamRouteYAML("TLSRoute", "db", "db", "db.example.com", "db") + "---\n" +
			serviceYAML("db", tcpBackend(t, "ended here", nil)),
		"raw.yaml": streamRouteYAML("TLSRoute", "raw", "raw", "raw.example.com", "raw") + "---\n" + serviceYAML("raw", passed),
	})
	if code, body := fetch(t, secureClient(cert, port), "https://www.example.com/"); code != http.StatusOK || body != "web" {
		t.Errorf("HTTPS: %d %q", code, body)
	}
	trust := x509.NewCertPool()
	trust.AppendCertsFromPEM(cert)
	trust.AppendCertsFromPEM(backendCert)
	secured := func(name string, protocols ...string) (*tls.Conn, error) {
		c := tls.Client(dialPort(t, port), &tls.Config{
			RootCAs: trust, ServerName: name, NextProtos: protocols, CurvePreferences: []tls.CurveID{tls.X25519MLKEM768, tls.X25519},
		})
		return c, c.Handshake()
	}
	for name, want := range map[string]string{"db.example.com": "ended here", "raw.example.com": "passed through"} {
		c, err := secured(name, "postgresql")
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		r := bufio.NewReader(c)
		if got := line(t, r); got != want {
			t.Errorf("%s: greeted by %q", name, got)
		}
		if protocol := c.ConnectionState().NegotiatedProtocol; (protocol == "postgresql") != (name == "raw.example.com") {
			t.Errorf("%s: protocol %q", name, protocol)
		}
		sent := make([]byte, 3<<20)
		_, _ = rand.Read(sent)
		go func() {
			_, _ = c.Write(sent)
			_ = c.CloseWrite()
		}()
		if back, err := io.ReadAll(r); err != nil || string(back) != string(sent) {
			t.Errorf("%s: %d bytes came back, %v", name, len(back), err)
		}
	}
	if _, err := secured("other.example.com"); !errors.Is(err, io.EOF) && (err == nil || !strings.Contains(err.Error(), "reset")) {
		t.Errorf("a name without a route: %v, not a closed connection", err)
	}
	if _, err := secured("example.org"); err == nil || !strings.Contains(err.Error(), "unrecognized name") {
		t.Errorf("a name without a listener, where one could say so: %v", err)
	}
	c := dialPort(t, port)
	_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: www.example.com\r\n\r\n")
	if answer, _ := io.ReadAll(c); !strings.Contains(string(answer), "This port speaks HTTPS") {
		t.Errorf("plain HTTP is answered with %q", answer)
	}
}

// TLS ends here and begins anew towards the backend, which chooses the application's protocol.
func TestTheBackendChoosesTheProtocol(t *testing.T) {
	port := freePort(t)
	cert, key := certificate(t, time.Now().Add(time.Hour), "db.example.com")
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	backend := tcpBackend(t, "secured", &tls.Config{Certificates: []tls.Certificate{pair}, NextProtos: []string{"second", "third"}})
	startGate(t, map[string]string{
		"gateway.yaml": gatewayYAML() + fmt.Sprintf("  - {name: db, port: %d, protocol: TLS, hostname: db.example.com, tls: {certificateRefs: [{name: cert}]}}\n", port),
		"cert.yaml":    secretYAML("cert", cert, key),
		"db.yaml":      streamRouteYAML("TLSRoute", "db", "db", "db.example.com", "db") + "---\n" + serviceYAML("db", backend),
		"policy.yaml": fmt.Sprintf(`apiVersion: gateway.networking.k8s.io/v1
kind: BackendTLSPolicy
metadata: {name: db}
spec:
  targetRefs: [{group: "", kind: Service, name: db}]
  validation: {hostname: db.example.com, caCertificateRefs: [{group: "", kind: ConfigMap, name: ca}]}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: ca}
data:
  ca.crt: |
    %s
`, strings.ReplaceAll(string(cert), "\n", "\n    ")),
	})
	trust := x509.NewCertPool()
	trust.AppendCertsFromPEM(cert)
	for offered, want := range map[string]string{"first,second": "second", "": ""} {
		config := &tls.Config{RootCAs: trust, ServerName: "db.example.com"}
		if offered != "" {
			config.NextProtos = strings.Split(offered, ",")
		}
		c := tls.Client(dialPort(t, port), config)
		if got := line(t, bufio.NewReader(c)); got != "secured" || c.ConnectionState().NegotiatedProtocol != want {
			t.Errorf("offered %q: greeted by %q, protocol %q", offered, got, c.ConnectionState().NegotiatedProtocol)
		}
	}
}

func TestConnectionsAreLimited(t *testing.T) {
	port := freePort(t)
	g := startGate(t, map[string]string{
		"gateway.yaml": gatewayYAML() + fmt.Sprintf("  - {name: db, port: %d, protocol: TCP}\n", port),
		"db.yaml":      streamRouteYAML("TCPRoute", "db", "db", "", "db") + "---\n" + serviceYAML("db", tcpBackend(t, "hello", nil)),
	}, "--max-connections", "2")
	first, second := dialPort(t, port), dialPort(t, port)
	for _, c := range []net.Conn{first, second} {
		if got := line(t, bufio.NewReader(c)); got != "hello" {
			t.Errorf("greeted by %q", got)
		}
	}
	if _, err := dialPort(t, port).Read(make([]byte, 1)); err == nil {
		t.Error("a third connection is served")
	}
	for _, want := range []string{"wicketgate_connections_refused_total 1\n", "wicketgate_connections_active 2\n", "wicketgate_connections_limit 2\n"} {
		g.shows(want)
	}
	_ = first.Close()
	eventually(t, "there is room again", func() bool {
		s, err := bufio.NewReader(dialPort(t, port)).ReadString('\n')
		return err == nil && s == "hello\n"
	})
}
