// echo: what it received comes back.

package cli

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/websocket"
)

func TestEchoAnswersWithWhatItReceived(t *testing.T) {
	s := httptest.NewServer(echoHandler("cart"))
	defer s.Close()
	for name, c := range map[string]struct {
		body  []byte
		check func(e Echo) bool
	}{
		"text":           {[]byte("grüße"), func(e Echo) bool { return e.Body == "grüße" && e.Bytes == nil && e.Length == 7 }},
		"bytes":          {[]byte{0xff, 0xfe}, func(e Echo) bool { return e.Body == "" && bytes.Equal(e.Bytes, []byte{0xff, 0xfe}) }},
		"nothing":        {nil, func(e Echo) bool { return e.Body == "" && e.Length == 0 }},
		"more than fits": {bytes.Repeat([]byte("x"), echoBody+9), func(e Echo) bool { return len(e.Body) == echoBody && e.Length == echoBody+9 }},
	} {
		t.Run(name, func(t *testing.T) {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL+"/a%2Fb/c?d=e&f", struct{ io.Reader }{bytes.NewReader(c.body)})
			if err != nil {
				t.Fatal(err)
			}
			req.Host = "shop.example.com"
			req.Header.Add("X-Two", "1")
			req.Header.Add("X-Two", "2")
			req.Trailer = http.Header{"X-Trailer": {"t"}}
			code, text := do(t, client, req)
			var e Echo
			if err := json.Unmarshal([]byte(text), &e); err != nil || code != http.StatusOK {
				t.Fatalf("%d %v %s", code, err, text)
			}
			if e.Name != "cart" || e.Method != http.MethodPost || e.Path != "/a%2Fb/c" || e.Query != "d=e&f" || e.Host != "shop.example.com" ||
				strings.Join(e.Headers["X-Two"], ",") != "1,2" || e.Trailers.Get("X-Trailer") != "t" || e.Address == "" || e.Client == "" || !c.check(e) {
				t.Errorf("%+v", e)
			}
		})
	}
}

func TestEchoWebSocket(t *testing.T) {
	s := httptest.NewServer(echoHandler("cart"))
	defer s.Close()
	ws, err := websocket.Dial("ws"+strings.TrimPrefix(s.URL, "http")+"/chat", "", "http://anywhere.example")
	if err != nil {
		t.Fatal(err)
	}
	defer ws.Close()
	for _, message := range []string{"hello", strings.Repeat("long ", 20000)} {
		var text string
		if err := websocket.Message.Send(ws, message); err != nil {
			t.Fatal(err)
		}
		if err := websocket.Message.Receive(ws, &text); err != nil || text != message || ws.PayloadType != websocket.TextFrame {
			t.Errorf("%.20q came back as %.20q of type %d, %v", message, text, ws.PayloadType, err)
		}
	}
	var raw []byte
	if err := websocket.Message.Send(ws, []byte{0, 255}); err != nil {
		t.Fatal(err)
	}
	if err := websocket.Message.Receive(ws, &raw); err != nil || !bytes.Equal(raw, []byte{0, 255}) {
		t.Errorf("%v %v", raw, err)
	}
}

// With a certificate, requests and connections come over TLS; the answer says what the handshake asked for.
func TestEchoOverTLS(t *testing.T) {
	cert, key := certificate(t, time.Now().Add(time.Hour), "app.example.com")
	files := []string{filepath.Join(t.TempDir(), "crt"), filepath.Join(t.TempDir(), "key")}
	for i, text := range [][]byte{cert, key} {
		if err := os.WriteFile(files[i], text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	stop, ended, log := make(chan struct{}, 1), make(chan int, 1), &output{}
	port, raw := freePort(t), freePort(t)
	go func() {
		ended <- Execute(context.Background(), Program{Stdout: log, Stderr: log, Signals: func() Signals { return Signals{Stop: stop} }}, []string{
			"echo", "--name", "app", "--tls-cert", files[0], "--tls-key", files[1],
			"--listen", fmt.Sprintf("127.0.0.1:%d", port), "--tcp", fmt.Sprintf("127.0.0.1:%d", raw),
		})
	}()
	eventually(t, "it listens", func() bool { return strings.Count(log.String(), "listening") == 2 })
	trust := x509.NewCertPool()
	trust.AppendCertsFromPEM(cert)
	config := &tls.Config{RootCAs: trust, ServerName: "app.example.com"}
	for _, two := range []bool{false, true} {
		c := &http.Client{Transport: &http.Transport{TLSClientConfig: config.Clone(), Protocols: protocols(two)}}
		code, text := fetch(t, c, fmt.Sprintf("https://127.0.0.1:%d/x", port))
		c.CloseIdleConnections()
		var e Echo
		if err := json.Unmarshal([]byte(text), &e); err != nil || code != http.StatusOK || e.TLS == nil {
			t.Fatalf("%d %v %s", code, err, text)
		}
		if *e.TLS != (EchoTLS{"app.example.com", "TLS 1.3"}) || strings.HasPrefix(e.Proto, "HTTP/2") != two {
			t.Errorf("%s, %+v", e.Proto, *e.TLS)
		}
	}
	secured := tls.Client(dialPort(t, raw), config)
	if _, err := io.WriteString(secured, "hello\n"); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(secured)
	if got := line(t, r) + " " + line(t, r); got != "app hello" {
		t.Errorf("a connection got %q", got)
	}
	_ = secured.Close()
	stop <- struct{}{}
	if code := <-ended; code != 0 {
		t.Errorf("exit status %d: %s", code, log)
	}
	if _, stderr, code := program(t, "echo", "--tls-cert", files[0], "--tls-key", "nowhere"); code != 1 || !strings.Contains(stderr, "--tls-key") {
		t.Errorf("without a key: exit status %d, %s", code, stderr)
	}
}

func TestEchoListensOnSeveralAddressesUntilItIsStopped(t *testing.T) {
	stop := make(chan struct{}, 1)
	log := &output{}
	ended := make(chan int, 1)
	ports := []int{freePort(t), freePort(t)}
	args := []string{"echo", "--name", "two"}
	for _, p := range ports {
		args = append(args, "--listen", fmt.Sprintf("127.0.0.1:%d", p))
	}
	go func() {
		ended <- Execute(context.Background(), Program{
			Stdout: log, Stderr: log, Signals: func() Signals { return Signals{Stop: stop} },
		}, args)
	}()
	for _, p := range ports {
		eventually(t, "it answers", func() bool {
			code, body := fetch(t, client, at(p, "/"))
			return code == http.StatusOK && strings.Contains(body, `"name": "two"`)
		})
	}
	stop <- struct{}{}
	if code := <-ended; code != 0 {
		t.Errorf("exit status %d: %s", code, log)
	}
	if _, stderr, code := program(t, "echo", "--listen", "192.0.2.1:1"); code != 1 || !strings.Contains(stderr, "--listen") {
		t.Errorf("an address that is not ours: exit status %d, %s", code, stderr)
	}
}
