// The PROXY protocol of the real program: who the client is, and that nobody gets past it.

package cli

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/wicketgate/wicketgate/wire/proxyproto"
)

func TestListenersBehindAProxy(t *testing.T) {
	web, db, open := freePort(t), freePort(t), freePort(t)
	backend := newBackend(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.Header.Get("X-Forwarded-For"))
	})
	files := map[string]string{
		"gateway.yaml": strings.Replace(gatewayYAML(), "metadata: {name: web}", `metadata: {name: web, annotations: {wicketgate.dev/proxy-protocol: "web,db"}}`, 1) +
			fmt.Sprintf("  - {name: web, port: %d, protocol: HTTP}\n  - {name: db, port: %d, protocol: TCP}\n  - {name: open, port: %d, protocol: HTTP}\n", web, db, open),
		"web.yaml": routeYAML("web", "/", backend),
		"db.yaml":  streamRouteYAML("TCPRoute", "db", "db", "", "db") + "---\n" + serviceYAML("db", tcpBackend(t, "hello", nil)),
	}
	for _, transport := range []string{"auto", "portable"} {
		t.Run(transport, func(t *testing.T) {
			g := startGate(t, files, "--trusted-proxies", "127.0.0.1", "--transport", transport)
			for _, version := range []int{1, 2} {
				header := proxyproto.Header{Version: version, Source: netip.MustParseAddrPort("192.0.2.7:51724"), Destination: netip.MustParseAddrPort("198.51.100.1:80")}
				c := dialPort(t, web)
				_, _ = c.Write(append(header.Append(nil), "GET / HTTP/1.1\r\nHost: a\r\n\r\n"...))
				res, err := http.ReadResponse(bufio.NewReader(c), nil)
				if err != nil {
					t.Fatal(err)
				}
				if body, err := io.ReadAll(res.Body); err != nil || string(body) != "192.0.2.7" {
					t.Errorf("version %d: the backend hears of client %q, %v", version, body, err)
				}
				c = dialPort(t, db)
				_, _ = c.Write(header.Append(nil))
				if got := line(t, bufio.NewReader(c)); got != "hello" {
					t.Errorf("version %d: greeted by %q", version, got)
				}
			}
			c := dialPort(t, web)
			_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 192.0.2.9\r\n\r\n")
			if answer, _ := io.ReadAll(c); len(answer) > 0 {
				t.Errorf("without a header the answer is %q", answer)
			}
			if code, body := fetch(t, client, at(open, "/")); code != http.StatusOK || body != "127.0.0.1" {
				t.Errorf("a listener without the annotation: %d %q", code, body)
			}
			g.shows(`wicketgate_proxy_protocol_failures_total{reason="malformed"} 1` + "\n")
		})
	}
}

// Without a flag nobody is trusted, and nobody's header is believed.
func TestProxiesThatAreNotTrusted(t *testing.T) {
	db := freePort(t)
	g := startGate(t, map[string]string{
		"gateway.yaml": strings.Replace(gatewayYAML(), "metadata: {name: web}", `metadata: {name: web, annotations: {wicketgate.dev/proxy-protocol: "*"}}`, 1) +
			fmt.Sprintf("  - {name: db, port: %d, protocol: TCP}\n", db),
		"db.yaml": streamRouteYAML("TCPRoute", "db", "db", "", "db") + "---\n" + serviceYAML("db", tcpBackend(t, "hello", nil)),
	})
	c := dialPort(t, db)
	_, _ = io.WriteString(c, "PROXY TCP4 192.0.2.7 198.51.100.1 51724 80\r\n")
	if answer, _ := io.ReadAll(c); len(answer) > 0 {
		t.Errorf("the answer is %q", answer)
	}
	g.logs("--trusted-proxies does not have this address")
}
