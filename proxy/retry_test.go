// Retries: which outcomes are tried again, how long the wait is, and what the client gets in the end.

package proxy

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"

	"github.com/wicketgate/wicketgate/message"
	"github.com/wicketgate/wicketgate/proxy/backend"
	"github.com/wicketgate/wicketgate/wire"
)

// retryYAML is plainYAML with a retry stanza, and more, on the rule of /cart.
func retryYAML(stanza string) string {
	return strings.Replace(plainYAML, "{value: /cart}}]\n", "{value: /cart}}]\n    "+stanza+"\n", 1)
}

// outcome is what one try comes to: a status, or a failure.
type outcome struct {
	status int
	result backend.Result
	sent   bool
	took   time.Duration
}

// scripted is a proxy whose backend goes through outcomes and stays at the last.
func scripted(t *testing.T, o Options, stanza string, outcomes ...outcome) (*Proxy, *int) {
	t.Helper()
	p, backends := fakes(o)
	t.Cleanup(p.Close)
	p.Swap(p.Compile(graphOf(t, "retry.yaml", retryYAML(stanza)), nil))
	tries := new(int)
	backends["Service default/v1:8080"].answer = func(_ wire.Exchange, _ *message.Head, d backend.Timeouts, res *backend.Response) error {
		out := outcomes[min(*tries, len(outcomes)-1)]
		*tries++
		if !d.Request.IsZero() && time.Now().Add(out.took).After(d.Request) {
			time.Sleep(time.Until(d.Request))
			return &backend.Error{Result: backend.TimedOut, Sent: true, Err: errors.New("too late")}
		}
		time.Sleep(out.took)
		res.Head.Reset()
		res.Body = nil
		if out.status == 0 {
			return &backend.Error{Result: out.result, Sent: out.sent, Err: errors.New("failed")}
		}
		res.Head.Status = out.status
		return nil
	}
	return p, tries
}

func TestRetryByOutcome(t *testing.T) {
	const (
		codes503 = "retry: {codes: [503], attempts: 2}"
		codes502 = "retry: {codes: [502], attempts: 2}"
		bare     = "retry: {attempts: 2}"
	)
	refused := outcome{result: backend.ConnectFailed}
	broken := outcome{result: backend.Broken, sent: true}
	timeout := outcome{result: backend.TimedOut, sent: true}
	ok := outcome{status: 200}
	for _, tc := range []struct {
		name, stanza, method string
		outcomes             []outcome
		status, tries        int
	}{
		{"a listed code", codes503, "GET", []outcome{{status: 503}, ok}, 200, 2},
		{"a listed code, and POST", codes503, "POST", []outcome{{status: 503}, ok}, 200, 2},
		{"a listed code to the last try", codes503, "GET", []outcome{{status: 503}}, 503, 3},
		{"another code", codes503, "GET", []outcome{{status: 500}}, 500, 1},
		{"another code after a listed one", codes503, "GET", []outcome{{status: 503}, {status: 500}}, 500, 2},
		{"no codes", bare, "GET", []outcome{{status: 503}}, 503, 1},
		{"a code of the 400s", "retry: {codes: [429], attempts: 2}", "GET", []outcome{{status: 429}, ok}, 200, 2},
		{"no attempts said", "retry: {codes: [503]}", "GET", []outcome{{status: 503}}, 503, 2},
		{"no attempts", "retry: {codes: [503], attempts: 0}", "GET", []outcome{{status: 503}}, 503, 1},
		{"no attempts, refused", "retry: {attempts: 0}", "GET", []outcome{refused}, 503, 1},
		{"refused", bare, "GET", []outcome{refused, ok}, 200, 2},
		{"refused, and POST", bare, "POST", []outcome{refused, refused, ok}, 200, 3},
		{"refused to the last try", bare, "GET", []outcome{refused}, 503, 3},
		{"no endpoint", bare, "GET", []outcome{{result: backend.NoEndpoint}}, 503, 1},
		{"broken", bare, "GET", []outcome{broken}, 502, 1},
		{"broken, and 502 is listed", codes502, "GET", []outcome{broken, ok}, 200, 2},
		{"broken, and 502 is listed, and POST", codes502, "POST", []outcome{broken}, 502, 1},
		{"out of time", bare, "PUT", []outcome{timeout, ok}, 200, 2},
		{"out of time, and POST", bare, "POST", []outcome{timeout}, 504, 1},
		{"out of time before anything was sent, and POST", bare, "POST", []outcome{{result: backend.TimedOut}, ok}, 200, 2},
		{"the client's body failed", codes503, "PUT", []outcome{{result: backend.RequestFailed, sent: true}}, 400, 1},
		{"no stanza", "name: cart", "GET", []outcome{refused}, 503, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, tries := scripted(t, Options{}, tc.stanza, tc.outcomes...)
				x := plainExchange()
				x.req.Method = []byte(tc.method)
				p.Serve(x)
				if x.status != tc.status || *tries != tc.tries || x.answers != 1 {
					t.Errorf("status %d after %d tries and %d answers, want %d after %d", x.status, *tries, x.answers, tc.status, tc.tries)
				}
			})
		})
	}
}

func TestRetryWithinTheRequestTimeout(t *testing.T) {
	for _, tc := range []struct {
		name, stanza string
		took         time.Duration
		status       int
		tries        int
		at           [2]time.Duration // when the answer comes, at the earliest and latest
	}{
		{
			"a try in progress at the end", "retry: {codes: [503], attempts: 9}\n    timeouts: {request: 500ms}",
			300 * time.Millisecond, 504, 2,
			[2]time.Duration{500 * time.Millisecond, 500 * time.Millisecond},
		},
		{
			"a wait that would outlast it", "retry: {codes: [503], attempts: 9, backoff: 2s}\n    timeouts: {request: 500ms}",
			time.Millisecond, 503, 1,
			[2]time.Duration{time.Millisecond, time.Millisecond},
		},
		{
			"all tries within it", "retry: {codes: [503], attempts: 2, backoff: 10ms}\n    timeouts: {request: 500ms}",
			time.Millisecond, 503, 3,
			[2]time.Duration{18 * time.Millisecond, 33 * time.Millisecond},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, tries := scripted(t, Options{}, tc.stanza, outcome{status: 503, took: tc.took})
				x := plainExchange()
				p.Serve(x)
				if took := time.Since(x.arrived); took < tc.at[0] || took > tc.at[1] {
					t.Errorf("answered after %v", took)
				}
				if x.status != tc.status || *tries != tc.tries {
					t.Errorf("status %d after %d tries, want %d after %d", x.status, *tries, tc.status, tc.tries)
				}
			})
		})
	}
}

// leavingExchange is one whose client leaves.
type leavingExchange struct {
	*fakeExchange
	ctx context.Context
}

func (x *leavingExchange) Context() context.Context { return x.ctx }

func TestNoRetryForAClientThatLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, tries := scripted(t, Options{}, "retry: {codes: [503], attempts: 9, backoff: 10s}", outcome{status: 503})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		x := &leavingExchange{plainExchange(), ctx}
		p.Serve(x)
		if !x.aborted || x.answers != 1 || *tries != 1 || time.Since(x.arrived) != time.Second {
			t.Errorf("aborted %t after %v and %d tries", x.aborted, time.Since(x.arrived), *tries)
		}
	})
}

func TestBackoff(t *testing.T) {
	least := func(n int64) int64 { return n - 1 }
	most := func(int64) int64 { return 0 }
	ms := time.Millisecond
	for n, want := range []time.Duration{0, 25 * ms, 50 * ms, 100 * ms, 200 * ms, 250 * ms, 250 * ms} {
		if n == 0 {
			continue
		}
		if got := backoff(25*ms, n, most); got != want {
			t.Errorf("at most %v before retry %d, want %v", got, n, want)
		}
		if got := backoff(25*ms, n, least); got != want-want/2 {
			t.Errorf("at least %v before retry %d, want half of %v", got, n, want)
		}
	}
	if got := backoff(0, 3, least); got != 0 {
		t.Errorf("waits %v without a base interval", got)
	}
	huge := 99999 * time.Hour * 4
	if got := backoff(huge, 1000, most); got != huge {
		t.Errorf("the longest base interval makes %v", got)
	}
}

func TestRetriesAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		registry := prometheus.NewPedanticRegistry()
		stanza := "retry: {codes: [503], attempts: 9, backoff: 100ms}\n    timeouts: {request: 500ms}"
		p, _ := scripted(t, Options{Metrics: registry}, stanza,
			outcome{status: 503}, outcome{result: backend.ConnectFailed}, outcome{status: 503, took: 200 * time.Millisecond}, outcome{status: 503})
		p.Serve(plainExchange())
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		var text strings.Builder
		for _, f := range families {
			if _, err := expfmt.MetricFamilyToText(&text, f); err != nil {
				t.Fatal(err)
			}
		}
		for _, want := range []string{
			`wicketgate_http_retries_total{gateway="default/public",listener="http",reason="code",route="default/shop",rule="0"} 1`,
			`wicketgate_http_retries_total{gateway="default/public",listener="http",reason="connect",route="default/shop",rule="0"} 1`,
			`wicketgate_http_retries_withheld_total{gateway="default/public",listener="http",route="default/shop",rule="0"} 1`,
		} {
			if !strings.Contains(text.String(), want+"\n") {
				t.Errorf("missing %s in\n%s", want, text.String())
			}
		}
	})
}

// readResponse reads one response and returns its status and content.
func readResponse(t *testing.T, in *bufio.Reader) (int, string) {
	t.Helper()
	res, err := http.ReadResponse(in, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	content, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(content)
}

// Through everything: a body that is sent again, and one that is too long for it.
func TestRetryOfBodies(t *testing.T) {
	for _, tc := range []struct {
		name    string
		chunked bool
		size    int
		status  int
		tries   int32
	}{
		{"small", false, 5, 200, 3},
		{"small and chunked", true, 5, 200, 3},
		{"as long as is kept", false, 64 << 10, 200, 3},
		{"as long as is kept, and chunked", true, 64 << 10, 200, 3},
		{"too long", false, 1 << 20, 503, 1},
		{"too long and chunked", true, 1 << 20, 503, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l := newLoopback(t, Options{})
			l.swap(graphOf(t, "retry.yaml", retryYAML("retry: {codes: [503], attempts: 2, backoff: 1ms}")))
			body := strings.Repeat("b", tc.size)
			var tries atomic.Int32
			l.origin.respond(func(w http.ResponseWriter, r *http.Request) {
				got, err := io.ReadAll(r.Body)
				if err != nil || string(got) != body {
					t.Errorf("the backend got %d bytes, %v", len(got), err)
				}
				if tries.Add(1) < 3 {
					w.WriteHeader(http.StatusServiceUnavailable)
				}
			})
			c := l.connect(t, anyOn80, netip.Addr{}, nil)
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://shop.example.com/cart", strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			if tc.chunked {
				req.ContentLength = -1
			}
			in := bufio.NewReader(c)
			for range 2 { // the connection stays in order
				tries.Store(0)
				req.Body, _ = req.GetBody()
				go func() { _ = req.Write(c) }()
				status, _ := readResponse(t, in)
				if status != tc.status || tries.Load() != tc.tries {
					t.Errorf("status %d after %d tries, want %d after %d", status, tries.Load(), tc.status, tc.tries)
				}
			}
		})
	}
}

// A backend that refuses early, to a client that waits with the rest of its body: the next try goes on with it.
func TestRetryWhileTheBodyIsStillComing(t *testing.T) {
	l := newLoopback(t, Options{})
	l.swap(graphOf(t, "retry.yaml", retryYAML("retry: {codes: [503], attempts: 2, backoff: 1ms}")))
	again := make(chan struct{})
	var tries atomic.Int32
	l.origin.respond(func(w http.ResponseWriter, r *http.Request) {
		if tries.Add(1) == 1 {
			hijack(t, w, func(conn net.Conn, rw *bufio.ReadWriter) {
				io.WriteString(conn, "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")
				io.Copy(io.Discard, rw) // the rest would be welcome
			})
			return
		}
		close(again)
		got, err := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %v", got, err)
	})
	c := l.connect(t, anyOn80, netip.Addr{}, nil)
	io.WriteString(c, "POST /cart HTTP/1.1\r\nHost: shop.example.com\r\nContent-Length: 9\r\n\r\nearly")
	<-again
	io.WriteString(c, "late")
	if status, got := readResponse(t, bufio.NewReader(c)); status != http.StatusOK || got != "earlylate <nil>" {
		t.Errorf("%d %q", status, got)
	}
}
