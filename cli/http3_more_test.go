// HTTP/3 through the binary, where connections end, stand still, or carry what is not a plain request.

package cli

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
	"golang.org/x/net/websocket"
)

var errAnother = errors.New("told to use another connection")

// onceClient speaks HTTP/3 on one connection: once the gateway asks it to use another, its requests fail with errAnother.
func onceClient(t *testing.T, port int) *http.Client {
	t.Helper()
	var dialled atomic.Bool
	tr := &http3.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, Dial: func(ctx context.Context, _ string, tlsConf *tls.Config, conf *quic.Config) (*quic.Conn, error) {
		if dialled.Swap(true) {
			return nil, errAnother
		}
		return quic.DialAddr(ctx, fmt.Sprintf("127.0.0.1:%d", port), tlsConf, unhurried(conf))
	}}
	t.Cleanup(func() { _ = tr.Close() })
	return &http.Client{Transport: tr, Timeout: time.Minute}
}

// closedItself says whether a request failed because its client had no other one left when it was asked to go: package http3 closes the connection
// then, even under a request that it has just opened a stream for.
func closedItself(err error) bool {
	own := new(http3.Error)
	return errors.As(err, &own) && !own.Remote && own.ErrorCode == http3.ErrCodeNoError
}

// What ends HTTP/3 on a port breaks off no request: clients are asked to go first, and what they send meanwhile is answered. Of a listener that
// was removed the answer is that there is none, as over TCP.
func TestNoHTTP3RequestFailsWhenItsPortIsGivenUp(t *testing.T) {
	for name, end := range map[string]func(*gate){
		"the listener is removed": func(g *gate) { g.edit(map[string]string{"gateway.yaml": gatewayYAML(freePort(g.t))}) },
		"the gateway ends":        func(g *gate) { g.signal(syscall.SIGTERM) },
	} {
		t.Run(name, func(t *testing.T) {
			port := freePort(t)
			cert, key := certificate(t, time.Now().Add(time.Hour), "localhost")
			g := startGate(t, map[string]string{
				"gateway.yaml": secureYAML(port, map[string]string{"cert": "localhost"}), "cert.yaml": secretYAML("cert", cert, key),
				"route.yaml": routeYAML("main", "/", newBackend(t, saying("fine"))),
			})
			var load sync.WaitGroup
			var requests atomic.Int64
			var removed atomic.Bool
			for range 4 {
				c := onceClient(t, port)
				for range 4 {
					load.Go(func() {
						for {
							res, err := c.Get("https://localhost/")
							if errors.Is(err, errAnother) || closedItself(err) {
								return
							}
							if err != nil {
								t.Errorf("a request failed: %v", err)
								return
							}
							body, err := io.ReadAll(res.Body)
							res.Body.Close()
							if removed.Load() && res.StatusCode == http.StatusNotFound && err == nil {
								continue
							}
							if err != nil || string(body) != "fine" {
								t.Errorf("answered %q, %v", body, err)
								return
							}
							requests.Add(1)
						}
					})
				}
			}
			eventually(t, "some requests", func() bool { return requests.Load() > 200 || t.Failed() })
			removed.Store(name == "the listener is removed")
			end(g)
			load.Wait()
		})
	}
}

func TestWebSocketOverHTTP3(t *testing.T) {
	backend := newBackend(t, websocket.Server{Handler: func(ws *websocket.Conn) { _, _ = io.Copy(ws, ws) }}.ServeHTTP)
	g, _, secure := twoGate(t, backend)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	conn, err := quic.DialAddr(ctx, fmt.Sprintf("127.0.0.1:%d", secure), &tls.Config{InsecureSkipVerify: true, ServerName: "localhost", NextProtos: []string{"h3"}}, unhurried(nil))
	if err != nil {
		t.Fatal(err)
	}
	c := (&http3.Transport{}).NewClientConn(conn)
	defer conn.CloseWithError(0x100, "")
	select {
	case <-c.ReceivedSettings():
	case <-ctx.Done():
		t.Fatal("no SETTINGS")
	}
	if !c.Settings().EnableExtendedConnect {
		t.Fatal("extended CONNECT is not offered")
	}
	s, err := c.OpenRequestStream(ctx)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodConnect, "https://localhost/", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Proto = "websocket"
	req.Header.Set("Sec-WebSocket-Version", "13")
	req.Header.Set("Origin", "https://localhost")
	if err := s.SendRequestHeader(req); err != nil {
		t.Fatal(err)
	}
	res, err := s.ReadResponse()
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatal(res, err)
	}
	// A reload cuts no tunnel.
	g.edit(map[string]string{"more.yaml": routeYAML("more", "/more", backend)})
	if _, err := s.Write([]byte{0x81, 0x82, 0, 0, 0, 0, 'h', 'i'}); err != nil { // a masked frame of text
		t.Fatal(err)
	}
	echoed := make([]byte, 4)
	if _, err := io.ReadFull(s, echoed); err != nil || string(echoed) != "\x81\x02hi" {
		t.Fatalf("got %q, %v", echoed, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if rest, err := io.ReadAll(s); err != nil || len(rest) > 0 {
		t.Errorf("at the end: %q, %v", rest, err)
	}
}

// grpcFrame is a message of a gRPC call.
func grpcFrame(text string) []byte {
	return append([]byte{0, 0, 0, 0, byte(len(text))}, text...)
}

// gRPC's messages and trailers pass in both directions while the call goes on.
func TestGRPCOverHTTP3(t *testing.T) {
	backend := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/test.Echo/Fail" {
			w.Header().Set("Content-Type", "application/grpc")
			w.Header().Set("Grpc-Status", "5") // without a message: in the head alone
			return
		}
		w.Header().Set("Content-Type", r.Header.Get("Content-Type"))
		w.Header().Set("Trailer", "Grpc-Status")
		w.WriteHeader(http.StatusOK)
		w.(http.Flusher).Flush()
		for p := make([]byte, 7); ; {
			if _, err := io.ReadFull(r.Body, p); err != nil {
				break
			}
			_, _ = w.Write(p)
			w.(http.Flusher).Flush()
		}
		w.Header().Set("Grpc-Status", "0")
	}))
	backend.Config.Protocols = protocols(true)
	backend.Start()
	t.Cleanup(backend.Close)
	secure := freePort(t)
	cert, key := certificate(t, time.Now().Add(time.Hour), "localhost")
	startGate(t, map[string]string{
		"gateway.yaml": secureYAML(secure, map[string]string{"cert": "localhost"}), "cert.yaml": secretYAML("cert", cert, key),
		"route.yaml": strings.NewReplacer("HTTPRoute", "GRPCRoute", "matches: [{path: {value: /}}]\n    ", "").Replace(
			routeYAML("main", "/", backend.Listener.Addr().(*net.TCPAddr).Port)),
	})
	c := threeClient(t, secure, &tls.Config{})
	call := func(method string, body io.Reader) *http.Response {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://localhost/test.Echo/"+method, body)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/grpc")
		req.Header.Set("Te", "trailers")
		res, err := c.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { res.Body.Close() })
		return res
	}
	unary := call("Echo", bytes.NewReader(grpcFrame("hi")))
	body, err := io.ReadAll(unary.Body)
	if err != nil || !bytes.Equal(body, grpcFrame("hi")) || unary.Trailer.Get("Grpc-Status") != "0" || unary.ProtoMajor != 3 {
		t.Errorf("unary: %q, %v, trailers %v", body, err, unary.Trailer)
	}
	in, out := io.Pipe()
	stream := call("Echo", in)
	for i := range 10 {
		sent := grpcFrame(fmt.Sprintf("m%d", i))
		if _, err := out.Write(sent); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, len(sent))
		if _, err := io.ReadFull(stream.Body, got); err != nil || !bytes.Equal(got, sent) {
			t.Fatalf("message %d: %q, %v", i, got, err)
		}
	}
	out.Close()
	if rest, err := io.ReadAll(stream.Body); err != nil || len(rest) > 0 || stream.Trailer.Get("Grpc-Status") != "0" {
		t.Errorf("the end: %q, %v, trailers %v", rest, err, stream.Trailer)
	}
	if failed := call("Fail", nil); failed.StatusCode != http.StatusOK || failed.Header.Get("Grpc-Status") != "5" {
		t.Errorf("trailers only: %v", failed.Header)
	}
}

// The access log names the version of each request.
func TestAccessLogNamesTheVersion(t *testing.T) {
	port := freePort(t)
	cert, key := certificate(t, time.Now().Add(time.Hour), "localhost")
	path := filepath.Join(t.TempDir(), "access.log")
	startGate(t, map[string]string{
		"gateway.yaml": secureYAML(port, map[string]string{"cert": "localhost"}), "cert.yaml": secretYAML("cert", cert, key),
		"route.yaml": routeYAML("main", "/there", newBackend(t, saying("hello"))),
	}, "--access-log", path)
	two := twoClient()
	defer two.CloseIdleConnections()
	for _, c := range []*http.Client{two, threeClient(t, port, &tls.Config{})} {
		for _, path := range []string{"/there", "/nowhere"} {
			fetch(t, c, fmt.Sprintf("https://localhost:%d%s", port, path))
		}
	}
	eventually(t, "all lines", func() bool {
		text, err := os.ReadFile(path)
		return err == nil && strings.Count(string(text), "HTTP/2") == 2 && strings.Count(string(text), "HTTP/3") == 2
	})
}

// breaking is a body that breaks off once the backend has the beginning.
type breaking struct {
	sent bool
	came <-chan struct{}
}

func (b *breaking) Read(p []byte) (int, error) {
	if !b.sent {
		b.sent = true
		return copy(p, "beginning"), nil
	}
	<-b.came
	return 0, errors.New("changed my mind")
}

func TestAnUploadThatItsClientBreaksOffIsNoBadRequest(t *testing.T) {
	came := make(chan struct{})
	g, _, secure := twoGate(t, newBackend(t, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.ReadFull(r.Body, make([]byte, 9))
		came <- struct{}{}
		_, _ = io.Copy(io.Discard, r.Body)
	}))
	two := twoClient()
	defer two.CloseIdleConnections()
	for n, c := range []*http.Client{two, threeClient(t, secure, &tls.Config{})} {
		res, err := c.Post(fmt.Sprintf("https://localhost:%d/", secure), "text/plain", &breaking{came: came})
		if err == nil {
			res.Body.Close()
			t.Errorf("answered %d", res.StatusCode)
		}
		eventually(t, "the request is counted as one whose client left", func() bool {
			_, text := g.ask(http.MethodGet, "/metrics")
			left := 0
			for line := range strings.Lines(text) {
				if strings.HasPrefix(line, "wicketgate_http_requests_total") && strings.Contains(line, `code="400"`) {
					t.Fatal(line)
				}
				if value, ok := strings.CutSuffix(strings.TrimSpace(line), fmt.Sprint(" ", n+1)); ok && strings.Contains(value, `code="499"`) {
					left++
				}
			}
			return left > 0
		})
	}
}

// A client whose certificate is not trusted any more is told so, and has to come back on another connection, which is not let in.
func TestAConnectionWhoseClientIsNotTrustedAnyMoreEnds(t *testing.T) {
	server, serverKey := certificate(t, time.Now().Add(time.Hour), "shop.test")
	mine, myKey := certificate(t, time.Now().Add(time.Hour), "me.test")
	other, _ := certificate(t, time.Now().Add(time.Hour), "other.test")
	pair, err := tls.X509KeyPair(mine, myKey)
	if err != nil {
		t.Fatal(err)
	}
	for _, version := range []string{"HTTP/2.0", "HTTP/3.0"} {
		t.Run(version, func(t *testing.T) {
			port := freePort(t)
			files := validated(port, [2][]byte{server, serverKey}, "", mine)
			files["route.yaml"] = routeYAML("main", "/", newBackend(t, saying("hello")))
			g := startGate(t, files)
			config := &tls.Config{InsecureSkipVerify: true, ServerName: "shop.test", GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }}
			c := &http.Client{Timeout: time.Minute, Transport: &http.Transport{Protocols: protocols(true), TLSClientConfig: config}}
			url := fmt.Sprintf("https://127.0.0.1:%d/", port)
			if version == "HTTP/3.0" {
				c, url = threeClient(t, port, config), "https://shop.test/"
			}
			defer c.CloseIdleConnections()
			ask := func() (int, error) {
				req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
				if err != nil {
					t.Fatal(err)
				}
				req.Host = "shop.test"
				res, err := c.Do(req)
				if err != nil {
					return 0, err
				}
				res.Body.Close()
				if res.Proto != version {
					t.Errorf("answered in %s", res.Proto)
				}
				return res.StatusCode, nil
			}
			if code, err := ask(); code != http.StatusOK || err != nil {
				t.Fatal(code, err)
			}
			g.edit(validated(port, [2][]byte{server, serverKey}, "", other))
			if code, err := ask(); code != http.StatusMisdirectedRequest || err != nil {
				t.Errorf("on the old connection: %d, %v", code, err)
			}
			eventually(t, "the client has to connect again", func() bool {
				_, err := ask()
				return err != nil
			})
		})
	}
}

// What clients are told is the port that they see, whatever is bound for it here.
func TestAltSvcHasTheListenersPort(t *testing.T) {
	port := freePort(t)
	cert, key := certificate(t, time.Now().Add(time.Hour), "localhost")
	startGate(t, map[string]string{
		"gateway.yaml": secureYAML(443, map[string]string{"cert": "localhost"}), "cert.yaml": secretYAML("cert", cert, key),
		"route.yaml": routeYAML("main", "/", newBackend(t, saying("hello"))),
	}, "--port-map", fmt.Sprintf("443=%d", port))
	two := twoClient()
	defer two.CloseIdleConnections()
	res, err := two.Get(fmt.Sprintf("https://localhost:%d/", port))
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if got := res.Header.Get("Alt-Svc"); got != `h3=":443"; ma=86400` {
		t.Errorf("Alt-Svc %q", got)
	}
	if code, body := fetch(t, threeClient(t, port, &tls.Config{}), "https://localhost/"); code != http.StatusOK || body != "hello" {
		t.Errorf("over HTTP/3: %d %q", code, body)
	}
}

// Connections over QUIC count like others against --max-connections.
func TestHTTP3ConnectionsAreLimited(t *testing.T) {
	port := freePort(t)
	cert, key := certificate(t, time.Now().Add(time.Hour), "localhost")
	g := startGate(t, map[string]string{
		"gateway.yaml": secureYAML(port, map[string]string{"cert": "localhost"}), "cert.yaml": secretYAML("cert", cert, key),
		"route.yaml": routeYAML("main", "/", newBackend(t, saying("hello"))),
	}, "--max-connections", "1")
	first, second := threeClient(t, port, &tls.Config{}), threeClient(t, port, &tls.Config{})
	if code, _ := fetch(t, first, "https://localhost/"); code != http.StatusOK {
		t.Fatal(code)
	}
	if res, err := second.Get("https://localhost/"); err == nil {
		res.Body.Close()
		t.Error("a second connection is served")
	}
	g.shows("wicketgate_connections_active 1\n")
	_ = first.Transport.(*http3.Transport).Close()
	eventually(t, "there is room again", func() bool {
		res, err := second.Get("https://localhost/")
		if err == nil {
			res.Body.Close()
		}
		return err == nil
	})
}
