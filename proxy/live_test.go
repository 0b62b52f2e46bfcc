// What only shows with real connections: streams, tunnels, clients that leave, and swaps under load.

package proxy

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wicketgate/wicketgate/internal/patient"
)

func TestMain(m *testing.M) { patient.Main(m) }

var anyOn80 = netip.AddrPortFrom(netip.IPv6Unspecified(), 80)

// syncBuffer is a log that several goroutines write.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func plainLoopback(t testing.TB, log io.Writer) *loopback {
	l := newLoopback(t, Options{Log: slog.New(slog.NewTextHandler(log, nil))})
	l.swap(graphOf(t, "plain.yaml", plainYAML))
	return l
}

// hijack lets a handler talk on its connection, which ends with that.
func hijack(t testing.TB, w http.ResponseWriter, talk func(conn net.Conn, rw *bufio.ReadWriter)) {
	conn, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		t.Error(err)
		return
	}
	defer conn.Close()
	talk(conn, rw)
}

func TestWebSocket(t *testing.T) {
	l := plainLoopback(t, io.Discard)
	l.origin.respond(func(w http.ResponseWriter, r *http.Request) {
		hijack(t, w, func(conn net.Conn, rw *bufio.ReadWriter) {
			fmt.Fprintf(rw, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: %s\r\nSec-WebSocket-Accept: abc\r\n\r\nhello", r.Header.Get("Upgrade"))
			rw.Flush()
			io.Copy(conn, rw) // until the client's half-close
			io.WriteString(conn, "bye")
		})
	})
	c := l.connect(t, anyOn80, netip.Addr{}, nil)
	// The first bytes of the stream come together with the request.
	io.WriteString(c, "GET /cart HTTP/1.1\r\nHost: shop.example.com\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\nSec-WebSocket-Key: xyz\r\n\r\nearly ")
	r := bufio.NewReader(c)
	head, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	if head.StatusCode != http.StatusSwitchingProtocols || head.Header.Get("Sec-WebSocket-Accept") != "abc" || !strings.EqualFold(head.Header.Get("Upgrade"), "websocket") {
		t.Fatalf("answer %d %v", head.StatusCode, head.Header)
	}
	// A snapshot that is replaced is not kept by tunnels.
	old := l.proxy.Current()
	l.swap(graphOf(t, "plain.yaml", plainYAML))
	patient.Until(t, "the tunnel lets go of its snapshot", func() bool {
		for i := range old.life.counts {
			if old.life.counts[i].n.Load() != 0 {
				return false
			}
		}
		return true
	})
	big := strings.Repeat("0123456789abcdef", 1<<16)
	go func() {
		io.WriteString(c, "late ")
		io.WriteString(c, big)
		c.(*net.TCPConn).CloseWrite()
	}()
	got, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	if want := "helloearly late " + big + "bye"; string(got) != want {
		t.Errorf("got %d bytes, want %d", len(got), len(want))
	}
}

// A tunnel lives as long as its connection is let: it ends when the server of the wire does, although nobody says anything any more.
func TestServerEndsTunnels(t *testing.T) {
	l := plainLoopback(t, io.Discard)
	over := make(chan struct{})
	l.origin.respond(func(w http.ResponseWriter, _ *http.Request) {
		defer close(over)
		hijack(t, w, func(conn net.Conn, rw *bufio.ReadWriter) {
			fmt.Fprintf(rw, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhello")
			rw.Flush()
			io.Copy(io.Discard, rw)
		})
	})
	c := l.connect(t, anyOn80, netip.Addr{}, nil)
	io.WriteString(c, "GET /cart HTTP/1.1\r\nHost: shop.example.com\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	r := bufio.NewReader(c)
	head, err := http.ReadResponse(r, nil)
	if err != nil || head.StatusCode != http.StatusSwitchingProtocols {
		t.Fatal(head, err)
	}
	if _, err := io.ReadFull(r, make([]byte, len("hello"))); err != nil {
		t.Fatal(err)
	}
	l.server.Close()
	if n, err := r.Read(make([]byte, 1)); err == nil {
		t.Errorf("%d more bytes", n)
	}
	<-over
	l.wg.Wait()
}

func TestUpgradeThatTheBackendDeclines(t *testing.T) {
	l := plainLoopback(t, io.Discard)
	l.origin.respond(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusForbidden)
		io.WriteString(w, "no")
	})
	c := l.connect(t, anyOn80, netip.Addr{}, nil)
	io.WriteString(c, "GET /cart HTTP/1.1\r\nHost: shop.example.com\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if body, err := io.ReadAll(res.Body); res.StatusCode != http.StatusForbidden || string(body) != "no" || err != nil {
		t.Errorf("answer %d %q (%v)", res.StatusCode, body, err)
	}
}

func TestUpgradeToSomethingElse(t *testing.T) {
	var log syncBuffer
	l := plainLoopback(t, &log)
	l.origin.respond(func(w http.ResponseWriter, _ *http.Request) {
		hijack(t, w, func(conn net.Conn, rw *bufio.ReadWriter) {
			rw.WriteString("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: smtp\r\n\r\n220 hello\r\n")
			rw.Flush()
		})
	})
	c := l.connect(t, anyOn80, netip.Addr{}, nil)
	io.WriteString(c, "GET /cart HTTP/1.1\r\nHost: shop.example.com\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	if res.Body.Close(); res.StatusCode != http.StatusBadGateway {
		t.Errorf("status %d, want 502", res.StatusCode)
	}
}

// Each side's bytes come through while the other side is still sending.
func TestStreamsBothWays(t *testing.T) {
	l := plainLoopback(t, io.Discard)
	l.origin.respond(func(w http.ResponseWriter, r *http.Request) {
		c := http.NewResponseController(w)
		c.EnableFullDuplex()
		c.Flush()
		in := bufio.NewReader(r.Body)
		for {
			line, err := in.ReadString('\n')
			if err != nil {
				return
			}
			io.WriteString(w, strings.ToUpper(line))
			c.Flush()
		}
	})
	c := l.connect(t, anyOn80, netip.Addr{}, nil)
	io.WriteString(c, "POST /cart HTTP/1.1\r\nHost: shop.example.com\r\nTransfer-Encoding: chunked\r\n\r\n")
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	lines := bufio.NewReader(res.Body)
	for _, line := range []string{"one\n", "two\n", "three\n"} {
		fmt.Fprintf(c, "%x\r\n%s\r\n", len(line), line)
		if got, err := lines.ReadString('\n'); got != strings.ToUpper(line) {
			t.Fatalf("got %q (%v)", got, err)
		}
	}
	io.WriteString(c, "0\r\n\r\n")
	if rest, err := io.ReadAll(lines); len(rest) > 0 || err != nil {
		t.Errorf("after the end: %q, %v", rest, err)
	}
}

// A backend that breaks off after its head: the client must see that something is missing.
func TestBackendBreaksOffInTheBody(t *testing.T) {
	var log syncBuffer
	l := plainLoopback(t, &log)
	l.origin.respond(func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, "half")
		http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	})
	c := l.connect(t, anyOn80, netip.Addr{}, nil)
	io.WriteString(c, "GET /cart HTTP/1.1\r\nHost: shop.example.com\r\n\r\n")
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if body, err := io.ReadAll(res.Body); err == nil {
		t.Errorf("the response ended cleanly with %q", body)
	}
	patient.Until(t, "the log line", func() bool {
		return strings.Contains(log.String(), "level=WARN") && strings.Contains(log.String(), "the backend broke off its response")
	})
}

func TestClientThatLeavesCancelsItsBackendRequest(t *testing.T) {
	var log syncBuffer
	l := plainLoopback(t, &log)
	entered, left := make(chan struct{}), make(chan struct{})
	l.origin.respond(func(_ http.ResponseWriter, r *http.Request) {
		close(entered)
		<-r.Context().Done()
		close(left)
	})
	c := l.connect(t, anyOn80, netip.Addr{}, nil)
	io.WriteString(c, "GET /cart HTTP/1.1\r\nHost: shop.example.com\r\n\r\n")
	<-entered
	// A FIN that was there when the watch began would be a half-close: a reset leaves no doubt.
	c.(*net.TCPConn).SetLinger(0)
	c.Close()
	select {
	case <-left:
	case <-time.After(patient.Limit):
		t.Fatal("the backend still works for nobody")
	}
	patient.Until(t, "the log line", func() bool { return strings.Contains(log.String(), "status=499") })
	patient.Until(t, "the count", func() bool {
		return l.proxy.metrics.series[labels{"default/public", "http", "default/shop", "0"}].read().codes[499] == 1
	})
}

// A request's timeout also ends a body that does not end by itself.
func TestRequestTimeoutInTheBody(t *testing.T) {
	l := newLoopback(t, Options{})
	l.origin.respond(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "half")
		http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	for limit := 200; ; limit *= 2 { // until the head comes in time
		timeouts := fmt.Sprintf("    timeouts: {request: %dms}\n    backendRefs", limit)
		l.swap(graphOf(t, "plain.yaml", strings.Replace(plainYAML, "    backendRefs", timeouts, 1)))
		c := l.connect(t, anyOn80, netip.Addr{}, nil)
		io.WriteString(c, "GET /cart HTTP/1.1\r\nHost: shop.example.com\r\n\r\n")
		res, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		if res.StatusCode == http.StatusGatewayTimeout && limit < 30_000 {
			continue
		}
		if body, err := io.ReadAll(res.Body); err == nil || string(body) != "half" {
			t.Errorf("got %d %q, %v", res.StatusCode, body, err)
		}
		return
	}
}

// Requests on kept connections while the configuration changes all the time: each is answered, by a rule of the generation before or after.
func TestSwapUnderLoadLosesNothing(t *testing.T) {
	l := plainLoopback(t, io.Discard)
	l.origin.respond(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.Header.Get("X-Generation")) })
	generation := func(n int) string {
		return strings.Replace(plainYAML, "    backendRefs", fmt.Sprintf(
			"    filters: [{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: X-Generation, value: \"%d\"}]}}]\n    backendRefs", n), 1)
	}
	const generations = 30
	l.swap(graphOf(t, "plain.yaml", generation(0)))
	var swapped, served atomic.Int64
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 4 {
		c := l.connect(t, anyOn80, netip.Addr{}, nil)
		wg.Go(func() {
			r := bufio.NewReader(c)
			for {
				select {
				case <-stop:
					return
				default:
				}
				before := swapped.Load()
				io.WriteString(c, "GET /cart HTTP/1.1\r\nHost: shop.example.com\r\n\r\n")
				res, err := http.ReadResponse(r, nil)
				if err != nil {
					t.Errorf("a connection was lost: %v", err)
					return
				}
				body, err := io.ReadAll(res.Body)
				res.Body.Close()
				after := swapped.Load()
				var got int64
				fmt.Sscan(string(body), &got)
				if res.StatusCode != http.StatusOK || err != nil || got < before || got > after+1 {
					t.Errorf("status %d, generation %q between %d and %d, %v", res.StatusCode, body, before, after, err)
					return
				}
				served.Add(1)
			}
		})
	}
	for n := 1; n <= generations; n++ {
		from := served.Load()
		l.swap(graphOf(t, "plain.yaml", generation(n)))
		swapped.Store(int64(n))
		patient.Until(t, "a request", func() bool { return served.Load() > from || t.Failed() })
	}
	close(stop)
	wg.Wait()
}

// A request that is under way when its route is removed gets the answer that the route promised; the next one of the connection does not.
func TestRequestFinishesOnItsSnapshot(t *testing.T) {
	l := newLoopback(t, Options{})
	l.swap(graphOf(t, "plain.yaml", strings.Replace(plainYAML, "    backendRefs",
		"    filters: [{type: ResponseHeaderModifier, responseHeaderModifier: {set: [{name: X-Old, value: \"yes\"}]}}]\n    backendRefs", 1)))
	entered, finish := make(chan struct{}), make(chan struct{})
	l.origin.respond(func(http.ResponseWriter, *http.Request) {
		close(entered)
		<-finish
	})
	c := l.connect(t, anyOn80, netip.Addr{}, nil)
	r := bufio.NewReader(c)
	for _, want := range []int{http.StatusOK, http.StatusNotFound} {
		io.WriteString(c, "GET /cart HTTP/1.1\r\nHost: shop.example.com\r\n\r\n")
		if want == http.StatusOK {
			<-entered
			l.proxy.Swap(l.proxy.empty())
			close(finish)
		}
		res, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, res.Body)
		res.Body.Close()
		if res.StatusCode != want || (res.Header.Get("X-Old") == "yes") != (want == http.StatusOK) {
			t.Errorf("status %d %v, want %d", res.StatusCode, res.Header, want)
		}
	}
}

func TestBackendConnectionsAreUsedAgain(t *testing.T) {
	l := plainLoopback(t, io.Discard)
	c := l.connect(t, anyOn80, netip.Addr{}, nil)
	r := bufio.NewReader(c)
	for range 3 {
		io.WriteString(c, "GET /cart HTTP/1.1\r\nHost: shop.example.com\r\n\r\n")
		res, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, res.Body)
		res.Body.Close()
		l.swap(graphOf(t, "plain.yaml", plainYAML))
	}
	l.origin.mu.Lock()
	defer l.origin.mu.Unlock()
	if l.origin.dials != 1 {
		t.Errorf("%d connections to the backend for 3 requests and 3 snapshots, want 1", l.origin.dials)
	}
}
