// UDP listeners of the real program: where datagrams go, that sessions outlive reloads, and who has a port.

package cli

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// packetsYAML is a Gateway with an HTTPS and a UDP listener; each is left out if its port is 0.
func packetsYAML(secure, udp int) string {
	text := `apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: web}
spec:
  gatewayClassName: wicketgate
  addresses: [{value: 127.0.0.1}]
  listeners:
`
	if secure != 0 {
		text += fmt.Sprintf("  - {name: secure, port: %d, protocol: HTTPS, tls: {certificateRefs: [{name: cert}]}}\n", secure)
	}
	if udp != 0 {
		text += fmt.Sprintf("  - {name: dns, port: %d, protocol: UDP}\n", udp)
	}
	return text
}

// packetRouteYAML leads the listener's datagrams to a port of loopback.
func packetRouteYAML(port int) string {
	return fmt.Sprintf(`apiVersion: gateway.networking.k8s.io/v1
kind: UDPRoute
metadata: {name: dns}
spec:
  parentRefs: [{name: web, sectionName: dns}]
  rules: [{backendRefs: [{name: dns, port: 53}]}]
---
apiVersion: v1
kind: Service
metadata: {name: dns}
spec: {ports: [{port: 53, protocol: UDP}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: dns, labels: {kubernetes.io/service-name: dns}}
addressType: IPv4
endpoints: [{addresses: [127.0.0.1]}]
ports: [{port: %d, protocol: UDP}]
`, port)
}

// startRawEcho runs echo for datagrams and returns its port.
func startRawEcho(t *testing.T, name string) int {
	t.Helper()
	e := &echoRaw{name: name, out: testWriter{t}}
	if err := e.listen(t.Context(), nil, []string{"127.0.0.1:0"}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.close)
	for c := range e.sockets {
		if pc, ok := c.(net.PacketConn); ok {
			return pc.LocalAddr().(*net.UDPAddr).Port
		}
	}
	t.Fatal("no socket")
	return 0
}

type testWriter struct{ t *testing.T }

func (w testWriter) Write(p []byte) (int, error) {
	w.t.Logf("%s", p)
	return len(p), nil
}

// exchange sends one and waits for its answer, again and again if it is lost. Late answers to others, which have other texts, are left out.
func exchange(t *testing.T, c net.Conn, text string) (answer string) {
	t.Helper()
	buf := make([]byte, 1<<16)
	eventually(t, fmt.Sprintf("%q is answered", text), func() bool {
		_, _ = c.Write([]byte(text)) // refused while nobody listens
		_ = c.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
		for {
			n, err := c.Read(buf)
			if answer = string(buf[:n]); err != nil || strings.HasSuffix(answer, " "+text) {
				return err == nil
			}
		}
	})
	return answer
}

func TestDatagrams(t *testing.T) {
	port := freePort(t)
	one, two := startRawEcho(t, "one"), startRawEcho(t, "two")
	lines := filepath.Join(t.TempDir(), "access.log")
	g := startGate(t, map[string]string{"gateway.yaml": packetsYAML(0, port), "route.yaml": packetRouteYAML(one)}, "--access-log", lines)
	c, err := net.Dial("udp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if got := exchange(t, c, "a"); got != "one a" {
		t.Errorf("got %q\n%s", got, g.log)
	}
	g.edit(map[string]string{"route.yaml": packetRouteYAML(two)})
	g.await()
	if got := exchange(t, c, "b"); got != "two b" {
		t.Errorf("got %q after the endpoint has changed", got)
	}
	g.shows(`wicketgate_udp_sessions_active{backend="Service default/dns:53/UDP",gateway="default/web",listener="dns",route="UDPRoute/default/dns"} 1` + "\n")
	g.edit(map[string]string{"gateway.yaml": packetsYAML(freePort(t), 0)})
	g.await()
	free, err := net.ListenPacket("udp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		t.Fatalf("the socket of a listener that is gone: %v", err)
	}
	_ = free.Close()
	waitForLine(t, lines, `"protocol":"UDP"`, `"route":"UDPRoute/default/dns"`, `"endpoint":"127.0.0.1:`)
}

// waitForLine waits for all of these in a file: the access log is written beside.
func waitForLine(t *testing.T, file string, parts ...string) {
	t.Helper()
	eventually(t, fmt.Sprintf("%s has %q", file, parts), func() bool {
		text, err := os.ReadFile(file)
		return err == nil && !slices.ContainsFunc(parts, func(p string) bool { return !strings.Contains(string(text), p) })
	})
}

// A connection of a TCPRoute has a line in the access log when it is over.
func TestStreamsAreLogged(t *testing.T) {
	port := freePort(t)
	lines := filepath.Join(t.TempDir(), "access.log")
	startGate(t, map[string]string{
		"gateway.yaml": strings.Replace(gatewayYAML(port), "protocol: HTTP", "protocol: TCP", 1),
		"route.yaml":   streamRouteYAML("TCPRoute", "db", fmt.Sprintf("p%d", port), "", "db"), "service.yaml": serviceYAML("db", tcpBackend(t, "hello", nil)),
	}, "--access-log", lines)
	c := dialPort(t, port)
	if got := line(t, bufio.NewReader(c)); got != "hello" {
		t.Fatalf("got %q", got)
	}
	_ = c.Close()
	waitForLine(t, lines, `"protocol":"TCP"`, `"sent":6,`, `"received":0,`, `"route":"TCPRoute/default/db"`, `"endpoint":"127.0.0.1:`)
}

// A UDP listener takes its port from HTTP/3, and gives it back.
func TestUDPListenersHaveThePort(t *testing.T) {
	port := freePort(t)
	cert, key := certificate(t, time.Now().Add(time.Hour), "localhost")
	g := startGate(t, map[string]string{
		"gateway.yaml": packetsYAML(port, 0), "cert.yaml": secretYAML("cert", cert, key), "route.yaml": packetRouteYAML(startRawEcho(t, "udp")),
	})
	offered := func() string {
		two := twoClient()
		defer two.CloseIdleConnections()
		res, err := two.Get(fmt.Sprintf("https://localhost:%d/", port))
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		return res.Header.Get("Alt-Svc")
	}
	if offered() == "" {
		t.Fatal("HTTP/3 is not offered")
	}
	g.edit(map[string]string{"gateway.yaml": packetsYAML(port, port)})
	g.await()
	c, err := net.Dial("udp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if got := exchange(t, c, "x"); got != "udp x" || offered() != "" {
		t.Errorf("got %q, Alt-Svc %q", got, offered())
	}
	g.edit(map[string]string{"gateway.yaml": packetsYAML(port, 0)})
	g.await()
	if offered() == "" {
		t.Error("HTTP/3 is not offered again")
	}
}
