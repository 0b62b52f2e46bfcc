// HTTP/3 with a client that shares no code with this side of it: Debian's Chromium, whose QUIC is Google's.

package cli

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// page asks for what it needs by several requests, and writes down over which protocol they went: small and large answers, and an
// upload.
const page = `<!doctype html><title>page</title><script type="module">
const upload = await (await fetch("/count", {method: "POST", body: new Uint8Array(1 << 20)})).text();
const large = (await (await fetch("/large")).arrayBuffer()).byteLength;
const many = await Promise.all(Array.from({length: 30}, async (_, i) => (await (await fetch("/count?" + i)).text())));
const seen = [...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")];
const protocols = [...new Set(seen.map((e) => e.nextHopProtocol))].join(",");
document.body.textContent = "upload " + upload + ", large " + large + ", many " + many.length + ", protocols " + protocols + ".";
</script><body></body>`

func TestToolsChromium(t *testing.T) {
	if os.Getenv("WICKETGATE_TEST_TOOLS") == "" {
		t.Skip("needs Chromium; make test-all runs it")
	}
	browser, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatal(err)
	}
	backend := newBackend(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/":
			w.Header().Set("Content-Type", "text/html")
			_, _ = io.WriteString(w, page)
		case "/large":
			_, _ = w.Write(make([]byte, 5<<20))
		default:
			n, err := io.Copy(io.Discard, r.Body)
			fmt.Fprint(w, n, " ", err)
		}
	})
	port := freePort(t)
	cert, key := certificate(t, time.Now().Add(time.Hour), "shop.test")
	g := startGate(t, map[string]string{
		"gateway.yaml": secureYAML(port, map[string]string{"cert": "shop.test"}), "cert.yaml": secretYAML("cert", cert, key),
		"route.yaml": routeYAML("main", "/", backend),
	})
	block, _ := pem.Decode(cert)
	parsed, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	hash := sha256.Sum256(parsed.RawSubjectPublicKeyInfo)
	origin := fmt.Sprintf("shop.test:%d", port)
	cmd := exec.CommandContext(t.Context(), browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
		"--user-data-dir="+t.TempDir(), "--host-resolver-rules=MAP shop.test 127.0.0.1", "--origin-to-force-quic-on="+origin,
		"--ignore-certificate-errors-spki-list="+base64.StdEncoding.EncodeToString(hash[:]),
		"--virtual-time-budget=30000", "--timeout=60000", "--dump-dom", "https://"+origin+"/")
	var words bytes.Buffer
	cmd.Stderr = &words
	out, err := cmd.Output()
	if want := "upload 1048576 &lt;nil&gt;, large 5242880, many 30, protocols h3."; err != nil || !strings.Contains(string(out), want) {
		t.Errorf("%v, the page says %s, want %s\n%s", err, out, want, words.String())
	}
	g.shows("wicketgate_http3_connections_total 1\n")
}
