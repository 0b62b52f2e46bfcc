// Names that clients ask for, and an application that says which of them are its own.

package demand

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// asked is a Gate whose application is a handler, reached without a network.
func asked(t *testing.T, hourly int, handler http.HandlerFunc) *Gate {
	t.Helper()
	at, err := url.Parse("http://app.internal/allowed?token=x")
	if err != nil {
		t.Fatal(err)
	}
	return New(Options{URL: at, Hourly: hourly, Metrics: prometheus.NewRegistry(), Dial: func(context.Context, string, string) (net.Conn, error) {
		near, far := net.Pipe()
		go func() {
			_ = (&http.Server{Handler: handler, ReadHeaderTimeout: time.Minute}).Serve(&oneConn{conn: far})
		}()
		return near, nil
	}})
}

// oneConn is a listener that accepts one connection.
type oneConn struct {
	once sync.Once
	conn net.Conn
}

func (l *oneConn) Accept() (c net.Conn, err error) {
	err = net.ErrClosed
	l.once.Do(func() { c, err = l.conn, nil })
	return c, err
}
func (l *oneConn) Close() error   { return nil }
func (l *oneConn) Addr() net.Addr { return l.conn.LocalAddr() }

// counted is the metric's value for a verdict.
func counted(t *testing.T, g *Gate, v Verdict) (n float64) {
	t.Helper()
	families, err := g.opt.Metrics.(*prometheus.Registry).Gather()
	if err != nil || len(families) != 1 {
		t.Fatal(families, err)
	}
	for _, m := range families[0].Metric {
		if m.Label[0].GetValue() == string(v) {
			n = m.Counter.GetValue()
		}
	}
	return n
}

func TestStatusDecides(t *testing.T) {
	for status, want := range map[int]Verdict{
		200: Admitted, 204: Admitted, 400: Refused, 403: Refused, 404: Refused, 429: Failed, 302: Failed, 500: Failed, 503: Failed,
	} {
		var question atomic.Value
		g := asked(t, 0, func(w http.ResponseWriter, r *http.Request) {
			question.Store(r.URL.String())
			w.Header().Set("Location", "http://elsewhere.example/yes")
			w.WriteHeader(status)
		})
		if got := g.Admit(t.Context(), "shop.example.com"); got != want {
			t.Errorf("status %d: %s, want %s", status, got, want)
		}
		if q := question.Load(); q != "/allowed?domain=shop.example.com&token=x" {
			t.Errorf("asked %v", q)
		}
		if n := counted(t, g, want); n != 1 {
			t.Errorf("status %d: %v counted as %s", status, n, want)
		}
	}
}

func TestApplicationThatDoesNotAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		release := make(chan struct{})
		g := asked(t, 0, func(http.ResponseWriter, *http.Request) { <-release })
		g.opt.Log = slog.New(slog.NewTextHandler(&log, nil))
		begun := time.Now()
		if v := g.Admit(t.Context(), "a.example.com"); v != Failed {
			t.Error(v)
		}
		if took := time.Since(begun); took != askTimeout {
			t.Errorf("given up after %v", took)
		}
		if !strings.Contains(log.String(), "did not say") || strings.Contains(log.String(), "token=x") {
			t.Errorf("log: %s", log.String())
		}
		close(release)
		synctest.Wait()
		at, err := url.Parse("http://127.0.0.1:1/")
		if err != nil {
			t.Fatal(err)
		}
		g = New(Options{URL: at, Dial: func(context.Context, string, string) (net.Conn, error) { return nil, net.ErrClosed }})
		if v := g.Admit(t.Context(), "a.example.com"); v != Failed {
			t.Error(v)
		}
	})
}

func TestRefusalsAreRememberedForAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asks, status atomic.Int64
		g := asked(t, 0, func(w http.ResponseWriter, _ *http.Request) {
			asks.Add(1)
			w.WriteHeader(int(status.Load()))
		})
		for status.Store(403); asks.Load() < 3; time.Sleep(refusedFor) {
			before := asks.Load()
			for range 5 {
				if v := g.Admit(t.Context(), "a.example.com"); v != Refused {
					t.Fatal(v)
				}
			}
			if asks.Load() != before+1 {
				t.Fatalf("asked %d times", asks.Load()-before)
			}
		}
		if status.Store(500); g.Admit(t.Context(), "a.example.com") != Failed {
			t.Error("an error is a refusal")
		}
		status.Store(200)
		if time.Sleep(failedFor); g.Admit(t.Context(), "a.example.com") != Admitted {
			t.Error("an error is remembered for too long")
		}
	})
}

func TestManyNamesOfStrangers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asks atomic.Int64
		g := asked(t, 0, func(w http.ResponseWriter, _ *http.Request) {
			asks.Add(1)
			w.WriteHeader(http.StatusNotFound)
		})
		got := map[Verdict]int{}
		for i := range 100 {
			got[g.Admit(t.Context(), fmt.Sprintf("n%d.example.com", i))]++
		}
		if got[Refused] != asksASecond || got[Busy] != 100-asksASecond || asks.Load() != asksASecond {
			t.Errorf("in one second: %v, asked %d times", got, asks.Load())
		}
		for i := range maxRemembered + 10 {
			g.remember(fmt.Sprintf("m%d.example.com", i), Refused, time.Now())
		}
		if len(g.remembered) > maxRemembered {
			t.Errorf("%d names remembered", len(g.remembered))
		}
		time.Sleep(refusedFor)
		if g.remember("last.example.com", Refused, time.Now()); len(g.remembered) != 1 {
			t.Errorf("%d names remembered after their time", len(g.remembered))
		}
	})
}

func TestAtMostSoManyInAnyHour(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asks atomic.Int64
		g := asked(t, 2, func(http.ResponseWriter, *http.Request) { asks.Add(1) })
		admit := func(name string) Verdict { return g.Admit(t.Context(), name+".example.com") }
		if admit("a") != Admitted {
			t.Error("the first")
		}
		if time.Sleep(50 * time.Minute); admit("b") != Admitted || admit("c") != Limited {
			t.Error("the second, or the third")
		}
		if asks.Load() != 2 {
			t.Errorf("asked %d times: not, where nothing can be had", asks.Load())
		}
		// What counts is the hour that has just passed, wherever it began.
		if time.Sleep(10 * time.Minute); admit("c") != Admitted || admit("d") != Limited {
			t.Error("an hour after the first")
		}
		if v := g.Renew(t.Context(), "a.example.com"); v != Admitted {
			t.Errorf("a renewal: %s", v)
		}
	})
}

func TestConcurrentHandshakesAskOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asks atomic.Int64
		release := make(chan struct{})
		g := asked(t, 1, func(http.ResponseWriter, *http.Request) { asks.Add(1); <-release })
		var admitted atomic.Int64
		for range 10 {
			go func() {
				if g.Admit(t.Context(), "a.example.com") == Admitted {
					admitted.Add(1)
				}
			}()
		}
		synctest.Wait()
		close(release)
		synctest.Wait()
		if asks.Load() != 1 || admitted.Load() != 10 {
			t.Errorf("asked %d times, %d admitted", asks.Load(), admitted.Load())
		}
	})
}

func TestOverTheNetwork(t *testing.T) {
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); user != "gate" || password != "secret" || r.Header.Get("User-Agent") != "wicketgate/test" {
			w.WriteHeader(http.StatusInternalServerError)
		}
	}))
	defer app.Close()
	at, err := url.Parse(strings.Replace(app.URL, "http://", "http://gate:secret@", 1))
	if err != nil {
		t.Fatal(err)
	}
	g := New(Options{URL: at, Dial: (&net.Dialer{}).DialContext, UserAgent: "wicketgate/test"})
	if v := g.Admit(t.Context(), "a.example.com"); v != Admitted {
		t.Error(v)
	}
}
