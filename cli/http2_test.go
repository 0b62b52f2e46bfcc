// HTTP/2 from clients, through the binary.

package cli

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"golang.org/x/net/websocket"
)

// twoGate serves one backend on a plain and a secure listener.
func twoGate(t *testing.T, backend int) (g *gate, plain, secure int) {
	plain, secure = freePort(t), freePort(t)
	cert, key := certificate(t, time.Now().Add(time.Hour), "localhost")
	g = startGate(t, map[string]string{
		"gateway.yaml": gatewayYAML(plain) + fmt.Sprintf(
			"  - {name: secure, port: %d, protocol: HTTPS, tls: {certificateRefs: [{name: cert}]}}\n", secure),
		"route.yaml": routeYAML("main", "/", backend),
		"cert.yaml":  secretYAML("cert", cert, key),
	})
	return g, plain, secure
}

// twoClient speaks HTTP/2 alone, and trusts everybody.
func twoClient() *http.Client {
	return &http.Client{Timeout: time.Minute, Transport: &http.Transport{
		Protocols: protocols(true), TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
	}}
}

func TestHTTP2(t *testing.T) {
	backend := newBackend(t, func(w http.ResponseWriter, r *http.Request) {
		n, err := io.Copy(io.Discard, r.Body)
		w.Header().Set("Trailer", "X-Sum")
		fmt.Fprintf(w, "%s %s %s %s: %d %v", r.Proto, r.Method, r.Host, r.Header.Get("X-Forwarded-Proto"), n, err)
		w.(http.Flusher).Flush()
		w.Header().Set("X-Sum", fmt.Sprint(n))
	})
	_, plain, secure := twoGate(t, backend)
	c := twoClient()
	defer c.CloseIdleConnections()
	for url, proto := range map[string]string{
		fmt.Sprintf("http://localhost:%d/", plain): "http", fmt.Sprintf("https://localhost:%d/", secure): "https",
	} {
		for _, n := range []int{0, 10, 3 << 20} {
			res, err := c.Post(url, "text/plain", bytes.NewReader(make([]byte, n)))
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(res.Body)
			res.Body.Close()
			want := fmt.Sprintf("HTTP/1.1 POST %s %s: %d <nil>", res.Request.URL.Host, proto, n)
			if err != nil || res.ProtoMajor != 2 || string(body) != want || res.Trailer.Get("X-Sum") != fmt.Sprint(n) {
				t.Errorf("%s: %s %q, trailers %v, %v; want %q", url, res.Proto, body, res.Trailer, err, want)
			}
		}
	}
}

// TestWebSocketOverHTTP2 opens a WebSocket by an extended CONNECT; the backend sees the upgrade of HTTP/1.
func TestWebSocketOverHTTP2(t *testing.T) {
	backend := newBackend(t, websocket.Server{Handler: func(ws *websocket.Conn) { _, _ = io.Copy(ws, ws) }}.ServeHTTP)
	g, plain, _ := twoGate(t, backend)
	nc, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", plain))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	_ = nc.SetDeadline(time.Now().Add(time.Minute))
	_, _ = io.WriteString(nc, http2.ClientPreface)
	f := http2.NewFramer(nc, nc)
	_ = f.WriteSettings()
	var block bytes.Buffer
	enc := hpack.NewEncoder(&block)
	for _, h := range [][2]string{
		{":method", "CONNECT"},
		{":protocol", "websocket"},
		{":scheme", "http"},
		{":path", "/"},
		{":authority", "shop.test"},
		{"sec-websocket-version", "13"},
		{"origin", "http://shop.test"},
	} {
		_ = enc.WriteField(hpack.HeaderField{Name: h[0], Value: h[1]})
	}
	_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes(), EndHeaders: true})
	f.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	message := []byte{0x81, 0x82, 0, 0, 0, 0, 'h', 'i'} // a masked frame of text
	for answered := false; ; {
		frame, err := f.ReadFrame()
		if err != nil {
			t.Fatal(err)
		}
		switch frame := frame.(type) {
		case *http2.MetaHeadersFrame:
			if status := frame.PseudoValue("status"); status != "200" {
				t.Fatalf("status %s", status)
			}
			// A reload cuts no tunnel.
			g.edit(map[string]string{"more.yaml": routeYAML("more", "/more", backend)})
			_ = f.WriteData(1, false, message)
		case *http2.DataFrame:
			if frame.StreamEnded() && answered {
				return
			}
			if string(frame.Data()) != "\x81\x02hi" {
				t.Fatalf("got %q", frame.Data())
			}
			answered = true
			_ = f.WriteData(1, true, nil)
		case *http2.RSTStreamFrame:
			t.Fatalf("reset with %v", frame.ErrCode)
		}
	}
}

// TestToolsH2spec runs h2spec, whose 145 cases are the rules of RFC 7540 and 7541.
func TestToolsH2spec(t *testing.T) {
	if os.Getenv("WICKETGATE_TEST_TOOLS") == "" {
		t.Skip("needs h2spec; make test-all runs it")
	}
	tool := os.Getenv("H2SPEC")
	if tool == "" {
		tool = "github.com/summerwind/h2spec/cmd/h2spec@v2.2.1+incompatible"
	}
	_, plain, secure := twoGate(t, newBackend(t, saying("enough text to be cut")))
	for name, args := range map[string][]string{
		"plaintext": {"-h", "127.0.0.1", "-p", fmt.Sprint(plain)},
		"TLS":       {"-h", "localhost", "-p", fmt.Sprint(secure), "-t", "-k"},
	} {
		t.Run(name, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), "go", append([]string{"run", tool}, args...)...)
			out, err := cmd.CombinedOutput()
			if err != nil || !strings.Contains(string(out), "145 tests, 145 passed, 0 skipped, 0 failed") {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}
