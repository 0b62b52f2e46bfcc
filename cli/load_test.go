// Requests while the directory changes: none may fail.

package cli

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// changing is a configuration that is different at every turn and always answers every request: routes, backends and a listener come and
// go, and the HTTPS certificate is renewed.
func changing(turn, plain, secure, extra int, backends []int, cert, key []byte) map[string]string {
	gateway := gatewayYAML(plain) + fmt.Sprintf(
		"  - {name: secure, port: %d, protocol: HTTPS, tls: {certificateRefs: [{name: cert}]}}\n", secure)
	if turn%2 == 1 {
		gateway += fmt.Sprintf("  - {name: extra, port: %d, protocol: HTTP}\n", extra)
	}
	files := map[string]string{
		"gateway.yaml": gateway,
		"main.yaml":    routeYAML("main", "/", backends[turn%len(backends)]),
		"cert.yaml":    secretYAML("cert", cert, key) + fmt.Sprintf("metadata: {name: cert, labels: {turn: t%d}}\n", turn),
	}
	files["cert.yaml"] = strings.Replace(files["cert.yaml"], "metadata: {name: cert}\n", "", 1)
	if turn%3 == 0 {
		files["more.yaml"] = routeYAML("more", fmt.Sprintf("/more/%d", turn), backends[(turn+1)%len(backends)])
	}
	return files
}

func TestNoRequestFailsWhileTheDirectoryChanges(t *testing.T) {
	for _, transport := range []string{"auto", "portable"} {
		t.Run(transport, func(t *testing.T) { swapUnderLoad(t, transport, 3*time.Second) })
	}
}

// protocols are HTTP/1.1 alone, or HTTP/2 alone.
func protocols(two bool) *http.Protocols {
	p := &http.Protocols{}
	p.SetHTTP1(!two)
	p.SetHTTP2(two)
	p.SetUnencryptedHTTP2(two)
	return p
}

func swapUnderLoad(t *testing.T, transport string, period time.Duration) {
	backends := []int{newBackend(t, saying("fine")), newBackend(t, saying("fine")), newBackend(t, saying("fine"))}
	plain, secure, extra := freePort(t), freePort(t), freePort(t)
	cert, key := certificate(t, time.Now().Add(time.Hour), "shop.test")
	config := func(turn int) map[string]string { return changing(turn, plain, secure, extra, backends, cert, key) }
	g := startGate(t, config(0), "--transport", transport)

	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(cert)
	stop := make(chan struct{})
	var load sync.WaitGroup
	var requests atomic.Int64
	for n := range 14 {
		c := &http.Client{Timeout: time.Minute, Transport: &http.Transport{
			DisableKeepAlives: n%4 == 3, // some connect anew for each request
			TLSClientConfig:   &tls.Config{RootCAs: pool, ServerName: "shop.test"},
			Protocols:         protocols(n >= 8), // the last two speak HTTP/3
		}}
		url := at(plain, "/x")
		if n%2 == 1 {
			url = fmt.Sprintf("https://127.0.0.1:%d/x", secure)
		}
		if n >= 12 {
			c = threeClient(t, secure, &tls.Config{ServerName: "shop.test"})
			url = "https://shop.test/x"
		}
		load.Go(func() {
			defer c.CloseIdleConnections()
			for {
				select {
				case <-stop:
					return
				default:
				}
				if code, body := fetch(t, c, url); code != http.StatusOK || body != "fine" {
					t.Errorf("%s: %d %q", url, code, body)
					return
				}
				requests.Add(1)
			}
		})
	}
	// One connection that is as old as the gateway.
	old := converse(t, plain)
	turns := 0
	for end := time.Now().Add(period); time.Now().Before(end) && !t.Failed(); {
		turns++
		files := config(turns)
		if turns%3 == 1 {
			files["more.yaml"] = "" // it was there at the turn before
		}
		g.edit(files)
		old.send("/x")
		if code, body, closes := old.receive(); code != http.StatusOK || body != "fine" || closes {
			t.Errorf("turn %d: the oldest connection: %d %q closes=%t", turns, code, body, closes)
		}
		if c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", extra)); (err == nil) != (turns%2 == 1) {
			t.Errorf("turn %d: the listener that comes and goes: %v", turns, err)
		} else if err == nil {
			_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
			if text, err := io.ReadAll(c); err != nil || !strings.HasPrefix(string(text), "HTTP/1.1 200") {
				t.Errorf("turn %d: on it: %q %v", turns, text, err)
			}
			c.Close()
		}
	}
	close(stop)
	load.Wait()
	t.Logf("%d requests over %d configurations", requests.Load(), turns)
	if turns < 3 || requests.Load() < 100 {
		t.Errorf("too little happened to prove anything: %d requests, %d configurations", requests.Load(), turns)
	}
}
