// HTTP/3 through the binary: beside HTTP/1.1 and HTTP/2 on the same listeners, by the same rules.

package cli

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
)

// threeClient speaks HTTP/3 alone, trusts everybody, and connects to port on loopback whatever the host.
func threeClient(t *testing.T, port int, config *tls.Config) *http.Client {
	t.Helper()
	config.InsecureSkipVerify = true
	tr := &http3.Transport{TLSClientConfig: config, Dial: func(ctx context.Context, _ string, tlsConf *tls.Config, conf *quic.Config) (*quic.Conn, error) {
		c, err := quic.DialAddrEarly(ctx, fmt.Sprintf("127.0.0.1:%d", port), tlsConf, unhurried(conf))
		if err == nil { // the transport forgets connections on which a request has failed
			t.Cleanup(func() { _ = c.CloseWithError(0x100, "") })
		}
		return c, err
	}}
	t.Cleanup(func() { _ = tr.Close() })
	return &http.Client{Transport: tr, Timeout: time.Minute}
}

// unhurried is a configuration for a client that a busy machine may keep waiting.
func unhurried(conf *quic.Config) *quic.Config {
	if conf == nil {
		conf = &quic.Config{}
	}
	conf = conf.Clone()
	conf.HandshakeIdleTimeout, conf.MaxIdleTimeout = 30*time.Second, time.Minute
	return conf
}

func TestHTTP3(t *testing.T) {
	backend := newBackend(t, func(w http.ResponseWriter, r *http.Request) {
		n, err := io.Copy(io.Discard, r.Body)
		w.Header().Set("Trailer", "X-Sum")
		w.Header().Set("Alt-Svc", `h3=":1"`)
		fmt.Fprintf(w, "%s %s %s %s: %d %v", r.Proto, r.Method, r.Host, r.Header.Get("X-Forwarded-Proto"), n, err)
		w.(http.Flusher).Flush()
		w.Header().Set("X-Sum", fmt.Sprint(n))
	})
	g, plain, secure := twoGate(t, backend)
	c := threeClient(t, secure, &tls.Config{})
	for _, n := range []int{0, 10, 3 << 20} {
		res, err := c.Post(fmt.Sprintf("https://localhost:%d/", secure), "text/plain", bytes.NewReader(make([]byte, n)))
		if err != nil {
			t.Fatalf("%v\n%s", err, g.log)
		}
		body, err := io.ReadAll(res.Body)
		res.Body.Close()
		want := fmt.Sprintf("HTTP/1.1 POST localhost:%d https: %d <nil>", secure, n)
		if err != nil || res.ProtoMajor != 3 || string(body) != want || res.Trailer.Get("X-Sum") != fmt.Sprint(n) {
			t.Errorf("%s %q, trailers %v, %v; want %q", res.Proto, body, res.Trailer, err, want)
		}
	}
	// Clients that come over TCP with TLS are told of it; what the backend says of itself is not passed on.
	two := twoClient()
	defer two.CloseIdleConnections()
	for url, want := range map[string]string{
		fmt.Sprintf("https://localhost:%d/", secure): fmt.Sprintf(`h3=":%d"; ma=86400`, secure),
		fmt.Sprintf("http://localhost:%d/", plain):   `h3=":1"`,
	} {
		res, err := two.Get(url)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if got := res.Header.Get("Alt-Svc"); got != want {
			t.Errorf("%s: Alt-Svc %q, want %q", url, got, want)
		}
	}
	g.shows("wicketgate_http3_connections_total 1\n")
}

func TestHTTP3CanBeTurnedOff(t *testing.T) {
	port := freePort(t)
	cert, key := certificate(t, time.Now().Add(time.Hour), "localhost")
	startGate(t, map[string]string{
		"gateway.yaml": secureYAML(port, map[string]string{"cert": "localhost"}), "cert.yaml": secretYAML("cert", cert, key),
		"route.yaml": routeYAML("main", "/", newBackend(t, saying("hello"))),
	}, "--http3=false")
	pc, err := net.ListenPacket("udp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		t.Fatalf("the UDP port is taken: %v", err)
	}
	pc.Close()
	two := twoClient()
	defer two.CloseIdleConnections()
	res, err := two.Get(fmt.Sprintf("https://localhost:%d/", port))
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if got := res.Header.Get("Alt-Svc"); got != "" {
		t.Errorf("Alt-Svc %q", got)
	}
}

// Certificates are chosen by the server name, hosts of other listeners are misdirected, and a rotation breaks no connection.
func TestHTTP3CertificatesAndHosts(t *testing.T) {
	port := freePort(t)
	one, oneKey := certificate(t, time.Now().Add(time.Hour), "one.test")
	two, twoKey := certificate(t, time.Now().Add(time.Hour), "two.test")
	g := startGate(t, map[string]string{
		"gateway.yaml": secureYAML(port, map[string]string{"one": "one.test", "two": "two.test"}),
		"one.yaml":     secretYAML("one", one, oneKey), "two.yaml": secretYAML("two", two, twoKey),
		"route.yaml": routeYAML("main", "/", newBackend(t, saying("hello"))),
	})
	get := func(c *http.Client, host string) (*http.Response, error) {
		res, err := c.Get("https://" + host + "/")
		if err == nil {
			res.Body.Close()
		}
		return res, err
	}
	shown := func(res *http.Response) string { return res.TLS.PeerCertificates[0].DNSNames[0] }
	c := threeClient(t, port, &tls.Config{})
	for _, host := range []string{"one.test", "two.test"} {
		if res, err := get(c, host); err != nil || res.StatusCode != http.StatusOK || shown(res) != host {
			t.Errorf("%s: %v, %v", host, res, err)
		}
	}
	if res, err := get(threeClient(t, port, &tls.Config{ServerName: "one.test"}), "two.test"); err != nil || res.StatusCode != http.StatusMisdirectedRequest {
		t.Errorf("another listener's host: %v, %v", res, err)
	}
	if _, err := get(threeClient(t, port, &tls.Config{}), "three.test"); err == nil || !strings.Contains(err.Error(), "unrecognized name") {
		t.Errorf("a name without a certificate: %v", err)
	}
	before, err := get(c, "one.test")
	if err != nil {
		t.Fatal(err)
	}
	one, oneKey = certificate(t, time.Now().Add(2*time.Hour), "one.test")
	g.edit(map[string]string{"one.yaml": secretYAML("one", one, oneKey)})
	if again, err := get(c, "one.test"); err != nil || !again.TLS.PeerCertificates[0].Equal(before.TLS.PeerCertificates[0]) {
		t.Errorf("the connection did not survive the rotation: %v", err)
	}
	if fresh, err := get(threeClient(t, port, &tls.Config{}), "one.test"); err != nil || fresh.TLS.PeerCertificates[0].Equal(before.TLS.PeerCertificates[0]) {
		t.Errorf("a new connection has the old certificate: %v", err)
	}
}

func TestHTTP3DemandsCertificatesOfClients(t *testing.T) {
	port := freePort(t)
	server, serverKey := certificate(t, time.Now().Add(time.Hour), "shop.test")
	mine, myKey := certificate(t, time.Now().Add(time.Hour), "me.test")
	other, otherKey := certificate(t, time.Now().Add(time.Hour), "other.test")
	files := validated(port, [2][]byte{server, serverKey}, "", mine)
	files["route.yaml"] = routeYAML("main", "/", newBackend(t, saying("hello")))
	startGate(t, files)
	get := func(cert, key []byte) error {
		config := &tls.Config{}
		if cert != nil {
			pair, err := tls.X509KeyPair(cert, key)
			if err != nil {
				t.Fatal(err)
			}
			config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
		}
		res, err := threeClient(t, port, config).Get("https://shop.test/")
		if err == nil {
			res.Body.Close()
		}
		return err
	}
	if err := get(mine, myKey); err != nil {
		t.Errorf("with the right certificate: %v", err)
	}
	if get(other, otherKey) == nil || get(nil, nil) == nil {
		t.Error("let in without the right certificate")
	}
}

func TestARemovedListenerDrainsItsHTTP3Connections(t *testing.T) {
	port, plain, s := freePort(t), freePort(t), newSlow()
	cert, key := certificate(t, time.Now().Add(time.Hour), "localhost")
	files := map[string]string{
		"gateway.yaml": secureYAML(port, map[string]string{"cert": "localhost"}), "cert.yaml": secretYAML("cert", cert, key),
		"route.yaml": routeYAML("main", "/", newBackend(t, s.ServeHTTP)),
	}
	g := startGate(t, files)
	c := threeClient(t, port, &tls.Config{})
	answered := make(chan string, 1)
	go func() {
		_, body := fetch(t, c, "https://localhost/")
		answered <- body
	}()
	<-s.came
	g.edit(map[string]string{"gateway.yaml": gatewayYAML(plain)})
	close(s.answer)
	if body := <-answered; body != "late" {
		t.Errorf("the request under way: %q", body)
	}
	eventually(t, "the UDP port is free", func() bool {
		pc, err := net.ListenPacket("udp", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			pc.Close()
		}
		return err == nil
	})
}

// A UDP port that somebody else has costs HTTP/3, and nothing else.
func TestATakenUDPPortCostsHTTP3Alone(t *testing.T) {
	port := freePort(t)
	pc, err := net.ListenPacket("udp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	defer pc.Close()
	cert, key := certificate(t, time.Now().Add(time.Hour), "localhost")
	g := startGate(t, map[string]string{
		"gateway.yaml": secureYAML(port, map[string]string{"cert": "localhost"}), "cert.yaml": secretYAML("cert", cert, key),
		"route.yaml": routeYAML("main", "/", newBackend(t, saying("hello"))),
	})
	get := func() (code int, offer string) {
		two := twoClient()
		defer two.CloseIdleConnections()
		res, err := two.Get(fmt.Sprintf("https://localhost:%d/", port))
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		return res.StatusCode, res.Header.Get("Alt-Svc")
	}
	if code, offer := get(); code != http.StatusOK || offer != "" {
		t.Errorf("%d, Alt-Svc %q", code, offer)
	}
	g.logs("HTTP/3 is not served on this address")
	pc.Close()
	eventually(t, "HTTP/3 is offered once the port is free", func() bool {
		_, offer := get()
		return offer != ""
	})
}
