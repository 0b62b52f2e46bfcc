// The PROXY protocol with another program that speaks it: haproxy in front of the gateway, and behind it.

package cli

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// toldRouteYAML leads a prefix to a port of loopback, which is told of clients.
func toldRouteYAML(name, prefix, version string, port int) string {
	service := "kind: Service\nmetadata: {name: " + name
	return strings.Replace(routeYAML(name, prefix, port), service, service+", annotations: {wicketgate.dev/proxy-protocol: "+version+"}", 1)
}

// A client's address goes through haproxy, the gateway and haproxy again, in both versions each way.
func TestToolsHaproxyPassesClientsOn(t *testing.T) {
	if os.Getenv("WICKETGATE_TEST_TOOLS") == "" {
		t.Skip("needs haproxy: make test-all")
	}
	fronts := map[string]int{"send-proxy": freePort(t), "send-proxy-v2": freePort(t)}
	gate, behind := freePort(t), freePort(t)
	text := fmt.Sprintf(`defaults
  timeout connect 20s
  timeout client 60s
  timeout server 60s
frontend behind
  mode http
  bind 127.0.0.1:%d accept-proxy
  http-request return status 200 content-type text/plain lf-string "%%[src]"
`, behind)
	for sends, port := range fronts {
		text += fmt.Sprintf("listen %s\n  mode tcp\n  bind 127.0.0.1:%d\n  server gate 127.0.0.1:%d %s\n", sends, port, gate, sends)
	}
	config := filepath.Join(t.TempDir(), "haproxy.cfg")
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	said := &output{}
	haproxy := exec.CommandContext(t.Context(), "haproxy", "-db", "-f", config)
	haproxy.Stdout, haproxy.Stderr = said, said
	if err := haproxy.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = haproxy.Process.Kill()
		_ = haproxy.Wait() // killed
		if t.Failed() {
			t.Logf("haproxy says:\n%s", said)
		}
	})
	startGate(t, map[string]string{
		"gateway.yaml": strings.Replace(gatewayYAML(gate), "metadata: {name: web}", `metadata: {name: web, annotations: {wicketgate.dev/proxy-protocol: "*"}}`, 1),
		"one.yaml":     toldRouteYAML("one", "/v1", "v1", behind),
		"two.yaml":     toldRouteYAML("two", "/v2", "v2", behind),
	}, "--trusted-proxies", "127.0.0.1")

	for sends, port := range fronts {
		for _, address := range []string{"127.0.0.8", "127.0.0.9"} {
			dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}}
			transport := &http.Transport{DialContext: dialer.DialContext}
			for _, path := range []string{"/v1", "/v2"} {
				eventually(t, "haproxy listens", func() bool { // it opens its ports a moment after its start
					c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
					if err == nil {
						_ = c.Close()
					}
					return err == nil
				})
				if code, body := fetch(t, &http.Client{Transport: transport}, at(port, path)); code != http.StatusOK || body != address {
					t.Errorf("%s from %s by %s: %d %q", path, address, sends, code, body)
				}
			}
			transport.CloseIdleConnections()
		}
	}
}

// echo takes the same header, before TLS where it speaks that.
func TestEchoBehindAProxy(t *testing.T) {
	for _, transport := range []string{"auto", "portable"} {
		t.Run(transport, func(t *testing.T) {
			port, web, db := freePort(t), freePort(t), freePort(t)
			echoes := exec.CommandContext(t.Context(), binary, "echo", "--proxy-protocol", "--name", "told",
				"--listen", fmt.Sprintf("127.0.0.1:%d", web), "--tcp", fmt.Sprintf("127.0.0.1:%d", db))
			if err := echoes.Start(); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				_ = echoes.Process.Kill()
				_ = echoes.Wait() // killed
			})
			startGate(t, map[string]string{
				"gateway.yaml": gatewayYAML(port), "told.yaml": toldRouteYAML("told", "/", "v2", web),
			}, "--transport", transport)
			dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP("127.0.0.9")}}
			from := &http.Client{Transport: &http.Transport{DialContext: dialer.DialContext, DisableKeepAlives: true}}
			eventually(t, "the client is the one of the header", func() bool {
				code, body := fetch(t, from, at(port, "/"))
				return code == http.StatusOK && strings.Contains(body, `"client": "127.0.0.9:`)
			})
			for _, address := range []int{web, db} {
				c := dialPort(t, address)
				_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
				if answer, _ := io.ReadAll(c); len(answer) > 0 && address == db {
					t.Errorf("a connection without a header gets %q", answer)
				} else if strings.Contains(string(answer), " 200 ") {
					t.Errorf("a request without a header gets %q", answer)
				}
			}
			c := dialPort(t, db)
			_, _ = io.WriteString(c, "PROXY TCP4 192.0.2.7 198.51.100.1 51724 80\r\nhello\n")
			want := "told\nhello\n"
			got := make([]byte, len(want))
			if _, err := io.ReadFull(c, got); err != nil || string(got) != want {
				t.Errorf("%q, %v", got, err)
			}
		})
	}
}
