// Clients that must show certificates, while what is demanded of them changes.

package cli

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// validated is a Gateway whose clients must have a certificate of one of these. The mode may be empty. The Gateway and what it refers to are one
// file: of several, one could be served before the others are written.
func validated(port int, server [2][]byte, mode string, authorities ...[]byte) map[string]string {
	frontend := ""
	bundle := "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: clients}\ndata:\n  ca.crt: |\n"
	for _, a := range authorities {
		bundle += "    " + strings.ReplaceAll(strings.TrimSpace(string(a)), "\n", "\n    ") + "\n"
	}
	if len(authorities) > 0 {
		if mode != "" {
			mode = "mode: " + mode + ", "
		}
		frontend = `  tls: {frontend: {default: {validation: {` + mode + `caCertificateRefs: [{group: "", kind: ConfigMap, name: clients}]}}}}` + "\n"
	}
	return map[string]string{
		"gateway.yaml": strings.Replace(secureYAML(port, map[string]string{"shop": "shop.test"}), "  listeners:\n", frontend+"  listeners:\n", 1) + bundle,
		"shop.yaml":    secretYAML("shop", server[0], server[1]),
	}
}

// secureConversation opens a connection with this certificate (nil: none) and asks for / on it; its code is 0 if the gateway lets nobody in.
func secureConversation(t *testing.T, port int, cert *tls.Certificate) (c *conversation, code int) {
	t.Helper()
	config := &tls.Config{ServerName: "shop.test", InsecureSkipVerify: true}
	if cert != nil {
		config.Certificates = []tls.Certificate{*cert}
	}
	nc, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return nil, 0
	}
	t.Cleanup(func() { nc.Close() })
	_ = nc.SetDeadline(time.Now().Add(time.Minute))
	secure := tls.Client(nc, config)
	c = &conversation{t, secure, bufio.NewReader(secure), "shop.test"}
	if _, err := fmt.Fprintf(secure, "GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n"); err != nil {
		return nil, 0
	}
	res, err := http.ReadResponse(c.r, nil)
	if err != nil {
		return nil, 0 // with TLS 1.3 the client learns only now that it is not wanted
	}
	_ = res.Body.Close()
	return c, res.StatusCode
}

func TestClientCertificatesWhileTheyAreRotated(t *testing.T) {
	port, backend := freePort(t), newBackend(t, saying(""))
	var server, alice, bob [2][]byte
	for i, pair := range []*[2][]byte{&server, &alice, &bob} {
		pair[0], pair[1] = certificate(t, time.Now().Add(time.Hour), []string{"shop.test", "alice", "bob"}[i])
	}
	load := func(pair [2][]byte) *tls.Certificate {
		cert, err := tls.X509KeyPair(pair[0], pair[1])
		if err != nil {
			t.Fatal(err)
		}
		return &cert
	}
	clients := map[string]*tls.Certificate{"alice": load(alice), "bob": load(bob), "nobody": nil}
	files := validated(port, server, "", alice[0])
	broken, _, _ := strings.Cut(files["gateway.yaml"], "---\napiVersion: v1\n")
	files["route.yaml"] = routeYAML("main", "/", backend)
	g := startGate(t, files)

	// Each step changes what is demanded. The codes are of new connections; 0 means that the handshake is refused.
	kept := map[string]*conversation{}
	for _, step := range []struct {
		what string
		edit map[string]string
		want map[string]int
		kept map[string]int // of connections that were opened in earlier steps
	}{
		{"alice alone", nil, map[string]int{"alice": 200, "bob": 0, "nobody": 0}, nil},
		{"a bundle of both", validated(port, server, "", alice[0], bob[0]), map[string]int{"alice": 200, "bob": 200, "nobody": 0}, map[string]int{"alice": 200}},
		{"bob alone", validated(port, server, "", bob[0]), map[string]int{"alice": 0, "bob": 200, "nobody": 0}, map[string]int{"alice": 421, "bob": 200}},
		{"bob or anybody", validated(port, server, "AllowInsecureFallback", bob[0]), map[string]int{"alice": 200, "bob": 200, "nobody": 200}, map[string]int{"bob": 200}},
		{"nothing", validated(port, server, ""), map[string]int{"alice": 200, "bob": 200, "nobody": 200}, map[string]int{"alice": 200, "bob": 200, "nobody": 200}},
		{"bob alone again", validated(port, server, "", bob[0]), map[string]int{"alice": 0, "bob": 200, "nobody": 0}, map[string]int{"alice": 421, "nobody": 421}},
		{"a broken reference", map[string]string{"gateway.yaml": broken}, map[string]int{"alice": 0, "bob": 0, "nobody": 0}, nil},
	} {
		if step.edit != nil {
			g.edit(step.edit)
		}
		for who, want := range step.kept {
			c := kept[who]
			c.send("/")
			if code, _, closes := c.receive(); code != want || closes != (want == 421) {
				t.Errorf("%s: %s gets %d (closing %t) on the old connection, want %d", step.what, who, code, closes, want)
			}
		}
		for who, want := range step.want {
			c, code := secureConversation(t, port, clients[who])
			if code != want {
				t.Errorf("%s: %s gets %d, want %d", step.what, who, code, want)
			}
			if code == 200 && (step.kept[who] != 200 || kept[who] == nil) {
				kept[who] = c
			}
		}
	}
	status, _, _ := g.get("gateway", "web", "-o", `jsonpath={.status.listeners[0].conditions[?(@.type=="Accepted")].reason}`)
	if status != "NoValidCACertificate" {
		t.Errorf("the broken reference is told as %q", status)
	}
}
