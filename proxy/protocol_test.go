// Backends of HTTP/2 behind clients of HTTP/1.1.

package proxy

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"testing"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/wicketgate/wicketgate/gateway"
	"github.com/wicketgate/wicketgate/proxy/backend"
)

func TestProtocolOf(t *testing.T) {
	for _, c := range []struct {
		kind gatewayv1.Kind
		app  string
		want backend.Protocol
	}{
		{"HTTPRoute", "", backend.HTTP1},
		{"HTTPRoute", "http", backend.HTTP1},
		{"HTTPRoute", "kubernetes.io/ws", backend.HTTP1},
		{"HTTPRoute", "kubernetes.io/wss", backend.HTTP1},
		{"HTTPRoute", "kubernetes.io/h2c", backend.HTTP2},
		{"HTTPRoute", "grpc", backend.HTTP2},
		{"HTTPRoute", "HTTPS", backend.Auto},
		{"GRPCRoute", "", backend.HTTP2},
		{"GRPCRoute", "https", backend.HTTP2},
	} {
		if got := protocolOf(c.kind, &gateway.Target{AppProtocol: c.app}); got != c.want {
			t.Errorf("%s, appProtocol %q: %v, want %v", c.kind, c.app, got, c.want)
		}
	}
}

func http2Loopback(t *testing.T) *loopback {
	l := newLoopback(t, Options{})
	g := graphOf(t, "plain.yaml", plainYAML)
	speakHTTP2(g)
	l.swap(g)
	return l
}

// Chunked bodies and their trailers pass both ways, and connections of clients share one to the backend.
func TestHTTP2BackendStreams(t *testing.T) {
	l := http2Loopback(t)
	l.origin.respond(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "X-Length")
		n, _ := io.Copy(w, r.Body)
		w.Header().Set("X-Length", strconv.FormatInt(n, 10)+r.Proto+r.Trailer.Get("X-Tail"))
	})
	var wg sync.WaitGroup
	for i := range 10 {
		c := l.connect(t, anyOn80, netip.Addr{}, nil)
		wg.Go(func() {
			in := bufio.NewReader(c)
			for j := range 20 {
				content := strings.Repeat(fmt.Sprintf("%d/%d;", i, j), 1000*j)
				req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://shop.example.com/cart", struct{ io.Reader }{strings.NewReader(content)})
				if err != nil {
					t.Error(err)
					return
				}
				req.Trailer = http.Header{"X-Tail": {"tail"}}
				req.Header.Set("Te", "trailers")
				go req.Write(c)
				res, err := http.ReadResponse(in, req)
				if err != nil {
					t.Error(err)
					return
				}
				got, err := io.ReadAll(res.Body)
				res.Body.Close()
				if err != nil || string(got) != content || res.Trailer.Get("X-Length") != strconv.Itoa(len(content))+"HTTP/2.0tail" {
					t.Errorf("%d/%d: %d bytes of %d, %v, %v", i, j, len(got), len(content), err, res.Trailer)
					return
				}
			}
		})
	}
	wg.Wait()
	if l.origin.dials > 2 {
		t.Errorf("%d connections to the backend for 10 clients", l.origin.dials)
	}
}

// A client that leaves ends its stream, and nobody else's.
func TestHTTP2BackendClientLeaves(t *testing.T) {
	l := http2Loopback(t)
	left := make(chan struct{})
	l.origin.respond(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/cart/slow" {
			return
		}
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
		close(left)
	})
	c := l.connect(t, anyOn80, netip.Addr{}, nil)
	io.WriteString(c, "GET /cart/slow HTTP/1.1\r\nHost: shop.example.com\r\n\r\n")
	if _, err := bufio.NewReader(c).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	c.(*net.TCPConn).SetLinger(0) // a FIN so early could be a half-close
	c.Close()
	<-left
	other := l.connect(t, anyOn80, netip.Addr{}, nil)
	io.WriteString(other, "GET /cart HTTP/1.1\r\nHost: shop.example.com\r\n\r\n")
	if line, err := bufio.NewReader(other).ReadString('\n'); err != nil || !strings.Contains(line, "200") {
		t.Errorf("%q, %v", line, err)
	}
	if l.origin.dials != 1 {
		t.Errorf("%d connections, want 1", l.origin.dials)
	}
}

// A backend that breaks off after the head: the client sees no clean end.
func TestHTTP2BackendBreaksOff(t *testing.T) {
	l := http2Loopback(t)
	l.origin.respond(func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, "half")
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	})
	c := l.connect(t, anyOn80, netip.Addr{}, nil)
	io.WriteString(c, "GET /cart HTTP/1.1\r\nHost: shop.example.com\r\n\r\n")
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode == http.StatusBadGateway {
		return // the reset overtook the head
	}
	if got, err := io.ReadAll(res.Body); err == nil {
		t.Errorf("a clean end after %q", got)
	}
}
