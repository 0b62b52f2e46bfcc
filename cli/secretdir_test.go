// Secrets that are directories, and certificates that are renewed while connections are open.

package cli

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/wicketgate/wicketgate/admin"
)

// renew puts a new certificate and its key into a directory, as certbot does: one file after the other.
func renew(t *testing.T, dir string, until time.Time) {
	t.Helper()
	cert, key := certificate(t, until, "localhost")
	for name, text := range map[string][]byte{"fullchain.pem": cert, "privkey.pem": key} {
		if err := os.WriteFile(filepath.Join(dir, name+".new"), text, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(dir, name+".new"), filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
}

// withoutErrors waits until the configuration in force has none. While a certificate is new and its key is not, or the other way round, there is one,
// and what is said of a configuration is said after it is served.
func (g *gate) withoutErrors() {
	g.t.Helper()
	var state admin.Reload
	eventually(g.t, "there is no error", func() bool {
		state = g.reload("GET /reload")
		return state.Errors == 0
	})
}

// A certificate that is renewed is shown to new connections of every version of HTTP, and those that are open go on.
func TestRenewalInADirectoryDropsNoConnection(t *testing.T) {
	port, dir := freePort(t), t.TempDir()
	renew(t, dir, time.Now().Add(time.Hour))
	g := startGate(t, map[string]string{
		"gateway.yaml": secureYAML(port, map[string]string{"shop-tls": "localhost"}),
		"route.yaml":   routeYAML("main", "/", newBackend(t, saying("hello"))),
	}, "--secret", "shop-tls="+dir, "--poll-interval", "10ms")
	url := "https://localhost" + strings.TrimPrefix(at(port, "/"), "http://127.0.0.1")
	one := func() *http.Client {
		return &http.Client{Timeout: time.Minute, Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	}
	two := twoClient
	three := func() *http.Client { return threeClient(t, port, &tls.Config{}) }
	shown := func(c *http.Client) *x509.Certificate {
		t.Helper()
		res, err := c.Get(url)
		if err != nil {
			t.Fatal(err)
		}
		var text [5]byte
		_, _ = io.ReadFull(res.Body, text[:])
		if res.Body.Close(); res.StatusCode != http.StatusOK || string(text[:]) != "hello" {
			t.Fatalf("%s %q", res.Status, text)
		}
		return res.TLS.PeerCertificates[0]
	}
	versions := map[string]func() *http.Client{"HTTP/1.1": one, "HTTP/2": two, "HTTP/3": three}
	open, before := map[string]*http.Client{}, map[string]*x509.Certificate{}
	for name, client := range versions {
		open[name] = client()
		defer open[name].CloseIdleConnections()
		before[name] = shown(open[name])
	}
	renew(t, dir, time.Now().Add(2*time.Hour))
	for name, client := range versions {
		eventually(t, name+" sees the renewed certificate", func() bool {
			c := client()
			defer c.CloseIdleConnections()
			return !shown(c).Equal(before[name])
		})
		if !shown(open[name]).Equal(before[name]) {
			t.Errorf("%s: the open connection was dropped", name)
		}
	}
	g.withoutErrors()
}

func TestCheckReadsSecretDirectories(t *testing.T) {
	dir, files := t.TempDir(), t.TempDir()
	yaml := secureYAML(8443, map[string]string{"shop-tls": "localhost"})
	if err := os.WriteFile(filepath.Join(files, "gateway.yaml"), []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, _, code := program(t, "check", files, "--secret", "shop-tls="+dir); code != 1 || !strings.Contains(out, dir+": Secret default/shop-tls: holds no file") {
		t.Errorf("status %d:\n%s", code, out)
	}
	renew(t, dir, time.Now().Add(time.Hour))
	if out, _, code := program(t, "check", files, "--secret", "shop-tls="+dir); code != 0 || strings.Contains(out, "Secret default/shop-tls") {
		t.Errorf("status %d:\n%s", code, out)
	}
	if _, errs, code := program(t, "check", files, "--secret", "shop-tls"); code == 0 || !strings.Contains(errs, "--secret \"shop-tls\": must be NAMESPACE/NAME=DIR") {
		t.Errorf("status %d:\n%s", code, errs)
	}
}

// A Secret that names its directory is served like any other, if a flag allows it.
func TestSecretNamesItsDirectory(t *testing.T) {
	port, root := freePort(t), t.TempDir()
	dir := filepath.Join(root, "localhost")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	renew(t, dir, time.Now().Add(time.Hour))
	files := map[string]string{
		"gateway.yaml": secureYAML(port, map[string]string{"shop-tls": "localhost"}),
		"secret.yaml":  "apiVersion: v1\nkind: Secret\nmetadata: {name: shop-tls, annotations: {wicketgate.dev/secret-dir: " + dir + "}}\n",
		"route.yaml":   routeYAML("main", "/", newBackend(t, saying("hello"))),
	}
	g := startGate(t, files, "--secret-root", root, "--poll-interval", "10ms")
	shown := func() *x509.Certificate {
		c, err := tls.Dial("tcp", strings.TrimSuffix(strings.TrimPrefix(at(port, "/"), "http://"), "/"), &tls.Config{ServerName: "localhost", InsecureSkipVerify: true})
		if err != nil {
			return nil
		}
		defer c.Close()
		return c.ConnectionState().PeerCertificates[0]
	}
	var first *x509.Certificate
	eventually(t, "the certificate is served", func() bool { first = shown(); return first != nil })
	renew(t, dir, time.Now().Add(2*time.Hour))
	eventually(t, "the renewed certificate is served", func() bool { c := shown(); return c != nil && !c.Equal(first) })
	g.withoutErrors()
	yaml := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(yaml, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if out, _, code := program(t, "check", yaml); code != 1 || !strings.Contains(out, "secret.yaml:3:") || !strings.Contains(out, "give --secret-root, such as --secret-root "+root) {
		t.Errorf("without the flag: status %d:\n%s", code, out)
	}
	if out, _, code := program(t, "check", yaml, "--secret-root", root); code != 0 {
		t.Errorf("with it: status %d:\n%s", code, out)
	}
}
