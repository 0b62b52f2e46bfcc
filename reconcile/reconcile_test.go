// The loop with stages that the tests control, in fake time.

package reconcile

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/wicketgate/wicketgate/config"
	"github.com/wicketgate/wicketgate/gateway"
	"github.com/wicketgate/wicketgate/internal/patient"
	"github.com/wicketgate/wicketgate/object"
)

func TestMain(m *testing.M) { patient.Main(m) }

// world is the stages of a Loop, with what they were asked and what they shall answer.
type world struct {
	mu     sync.Mutex // guards what follows against the loop's goroutine; calls, logged and set take it
	yaml   string
	err    error // of Load
	called []string
	failed map[gateway.Binding]error // what Open shall answer
	open   []gateway.Binding
	check  func(now time.Time) []object.Problem
	gate   chan struct{}  // if set, Load waits for a value
	before *config.Result // if set, what Load returns while the text stays
	beside any
	// interfaces are the machine's addresses.
	interfaces []netip.Addr
	whole      bool // what Load was asked for last
	wholes     int  // how often that was everything
	build      func(*object.Set) *gateway.Graph
	drains     chan netip.AddrPort
	log        logBuffer
	loop       *Loop
	stats      *prometheus.Registry
	result     chan error
	stop       func()
}

const gatewayYAML = `apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: web}
spec:
  gatewayClassName: wicketgate
  listeners:
  - {name: http, port: %d, protocol: HTTP}
`

func gatewayOn(port int) string { return fmt.Sprintf(gatewayYAML, port) }

func onPort(port uint16) netip.AddrPort { return netip.AddrPortFrom(netip.IPv6Unspecified(), port) }

// start runs a loop over w. It ends with the test.
func start(t *testing.T, w *world, o Options) {
	t.Helper()
	w.drains = make(chan netip.AddrPort, 16)
	w.stats = prometheus.NewRegistry()
	w.build = func(set *object.Set) *gateway.Graph { return gateway.Build(set, gateway.Options{}) }
	o.Stages = Stages{
		Load: func(_ context.Context, whole bool) (*config.Result, error) {
			w.note("load")
			w.set(func() {
				if w.whole = whole; whole {
					w.wholes++
				}
			})
			if w.gate != nil {
				<-w.gate
			}
			w.mu.Lock()
			yaml, err, before := w.yaml, w.err, w.before
			w.mu.Unlock()
			if err != nil {
				return nil, err
			}
			if before != nil && before.Digest == yaml {
				again := *before
				return &again, nil
			}
			objects, problems := config.Parse("web.yaml", []byte(yaml))
			return &config.Result{Objects: object.NewSet(objects...), Problems: problems, Digest: yaml, Files: 1}, nil
		},
		Beside: func() any {
			w.mu.Lock()
			defer w.mu.Unlock()
			return w.beside
		},
		Build: func(_ *gateway.Graph, set *object.Set) *gateway.Graph {
			w.note("build")
			w.mu.Lock()
			defer w.mu.Unlock()
			return w.build(set)
		},
		Check: func(_ *gateway.Graph, now time.Time) []object.Problem {
			if w.check == nil {
				return nil
			}
			return w.check(now)
		},
		Compile: func(*gateway.Graph) (func(), []object.Problem) {
			w.note("compile")
			return func() { w.note("swap") }, nil
		},
		Open: func(_ context.Context, want []gateway.Binding) map[gateway.Binding]error {
			w.note("open")
			w.mu.Lock()
			defer w.mu.Unlock()
			w.open = append(w.open, want...)
			return w.failed
		},
		Retire: func(want []gateway.Binding) (gone []netip.AddrPort) {
			w.note("retire")
			for _, a := range w.open {
				if !slices.Contains(want, a) {
					gone = append(gone, a.AddrPort)
				}
			}
			w.open = slices.Clone(want)
			return gone
		},
		Accept: func() { w.note("accept") },
		Interfaces: func() []netip.Addr {
			w.mu.Lock()
			defer w.mu.Unlock()
			return w.interfaces
		},
		Own:   func([]gateway.Binding) { w.note("own") },
		Drain: func(_ context.Context, socket netip.AddrPort) { w.drains <- socket },
	}
	o.Log = slog.New(slog.NewTextHandler(&w.log, nil))
	o.Metrics = w.stats
	w.loop = New(o)
	ctx, cancel := context.WithCancel(t.Context())
	w.result = make(chan error, 1)
	go func() { w.result <- w.loop.Run(ctx) }()
	w.stop = func() {
		cancel()
		w.loop.Drained()
		synctest.Wait()
	}
	synctest.Wait()
}

// metric reads one value.
func (w *world) metric(t *testing.T, name, label string) float64 {
	t.Helper()
	families, err := w.stats.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == name && (label == "" || m.GetLabel()[0].GetValue() == label) {
				return m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	t.Fatalf("no metric %s{%s}", name, label)
	return 0
}

func (w *world) note(call string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.called = append(w.called, call)
}

func (w *world) calls() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.called)
}

// set changes what the stages will answer.
func (w *world) set(change func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change()
}

// logBuffer is a buffer that may be read while a logger writes.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func (w *world) logged(text string) int { return strings.Count(w.log.String(), text) }

func TestStagesFollowEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{yaml: gatewayOn(8080)}
		start(t, w, Options{})
		defer w.stop()
		want := []string{"load", "build", "compile", "own", "open", "swap", "accept", "retire"}
		if !slices.Equal(w.calls(), want) {
			t.Errorf("calls %v, want %v", w.calls(), want)
		}
		v := w.loop.View()
		if v == nil || v.Generation != 1 || v.Files != 1 || v.Objects().Len() != 1 || v.Statuses == nil {
			t.Errorf("view %+v", v)
		}
		if n := w.logged("configuration served"); n != 1 {
			t.Errorf("%d lines for one reload:\n%s", n, w.log.String())
		}
		if w.metric(t, "wicketgate_config_reloads_total", "ok") != 1 || w.metric(t, "wicketgate_config_objects", "") != 1 {
			t.Error("metrics do not show the run")
		}
	})
}

func TestOneRunAtATimeAndOnePending(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{yaml: gatewayOn(8080), gate: make(chan struct{})}
		start(t, w, Options{})
		defer w.stop()
		for range 10 { // while the first run is still loading
			w.loop.Trigger()
		}
		for range 2 {
			w.gate <- struct{}{}
			synctest.Wait()
		}
		if v := w.loop.View(); v.Generation != 2 {
			t.Errorf("generation %d, want 2", v.Generation)
		}
		if n := len(slices.DeleteFunc(slices.Clone(w.calls()), func(c string) bool { return c != "load" })); n != 2 {
			t.Errorf("%d loads for ten triggers during one run, want 2", n)
		}
	})
}

func TestReloadWaitsForARunThatBeganAfterIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{yaml: gatewayOn(8080), gate: make(chan struct{})}
		start(t, w, Options{})
		defer w.stop()
		done := make(chan *View, 1)
		go func() {
			v, err := w.loop.Reload(t.Context())
			if err != nil {
				t.Error(err)
			}
			done <- v
		}()
		synctest.Wait()
		w.gate <- struct{}{} // the first run read the files before the call
		synctest.Wait()
		select {
		case v := <-done:
			t.Fatalf("answered with generation %d, of a run that began before", v.Generation)
		default:
		}
		w.gate <- struct{}{}
		if v := <-done; v.Generation != 2 {
			t.Errorf("generation %d, want 2", v.Generation)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := w.loop.Reload(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a reload that takes too long: %v", err)
		}
		w.gate <- struct{}{}
	})
}

func TestAwaitAnswersOnceTheDigestIsServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{yaml: gatewayOn(8080)}
		start(t, w, Options{})
		defer w.stop()
		next := gatewayOn(8081)
		got := make(chan *View, 1)
		go func() {
			v, err := w.loop.Await(t.Context(), next)
			if err != nil {
				t.Error(err)
			}
			got <- v
		}()
		synctest.Wait()
		if len(got) != 0 || len(w.calls()) != 8 {
			t.Fatalf("waiting answered early or triggered a run: %v", w.calls())
		}
		w.set(func() { w.yaml = next })
		w.loop.Trigger()
		if v := <-got; v.Generation != 2 || v.Digest != next {
			t.Errorf("view %+v", v)
		}
		if _, err := w.loop.Await(t.Context(), next); err != nil {
			t.Errorf("a digest that is served already: %v", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		v, err := w.loop.Await(ctx, "never")
		if !errors.Is(err, context.DeadlineExceeded) || v == nil || v.Digest != next {
			t.Errorf("a digest that never comes: %v %v", v, err)
		}
	})
}

const broken = `---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: shop}
spec: {rulez: []}
`

func TestStrictRefusesToStartOnErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{yaml: gatewayOn(8080) + broken}
		start(t, w, Options{Strict: true})
		defer w.stop()
		strict, ok := errors.AsType[*StrictError](<-w.result)
		if !ok || len(strict.Problems) == 0 {
			t.Errorf("result %v", strict)
		}
		if slices.Contains(w.calls(), "compile") || w.loop.View() != nil {
			t.Error("something was compiled or served")
		}
		if w.logged("rulez") == 0 {
			t.Errorf("the problem was not logged:\n%s", w.log.String())
		}
	})
}

func TestErrorsAfterAStrictStartAreServedAround(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{yaml: gatewayOn(8080)}
		start(t, w, Options{Strict: true})
		defer w.stop()
		w.set(func() { w.yaml += broken })
		v, err := w.loop.Reload(t.Context())
		if err != nil || v.Generation != 2 || v.Errors() == 0 {
			t.Errorf("%+v %v", v, err)
		}
		if w.metric(t, "wicketgate_config_reloads_total", "problems") != 1 {
			t.Error("metrics do not show the problems")
		}
	})
}

func TestAFailedFirstRunIsAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{err: errors.New("no such directory")}
		start(t, w, Options{})
		defer w.stop()
		if err := <-w.result; !errors.Is(err, w.err) {
			t.Errorf("result %v", err)
		}
	})
}

func TestAFailedRunLeavesWhatIsServed(t *testing.T) {
	for name, spoil := range map[string]func(w *world){
		"files that cannot be read":        func(w *world) { w.err = errors.New("disk on fire") },
		"a panic while building the graph": func(w *world) { w.build = func(*object.Set) *gateway.Graph { panic("disk on fire") } },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &world{yaml: gatewayOn(8080)}
				start(t, w, Options{})
				defer w.stop()
				served := w.loop.View()
				w.set(func() { spoil(w) })
				v, err := w.loop.Reload(t.Context())
				synctest.Wait() // whoever asked is answered before the failure is reported
				if err == nil || !strings.Contains(err.Error(), "disk on fire") || v != served {
					t.Errorf("%v %v", v, err)
				}
				if w.metric(t, "wicketgate_config_reloads_total", "failed") != 1 || w.logged("stays in force") != 1 {
					t.Errorf("not reported:\n%s", w.log.String())
				}
			})
		})
	}
}

func TestAPanicInStatusesLeavesThemAsTheyWere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{yaml: gatewayOn(8080)}
		start(t, w, Options{})
		defer w.stop()
		before := w.loop.View()
		w.set(func() {
			w.build = func(set *object.Set) *gateway.Graph {
				return &gateway.Graph{Objects: set, Gateways: []*gateway.Gateway{nil}}
			}
		})
		v, err := w.loop.Reload(t.Context())
		if err != nil || v.Generation != before.Generation+1 || v.Statuses != before.Statuses || w.logged("panic while writing statuses") != 1 {
			t.Errorf("%+v %v", v, err)
		}
	})
}

// programmed is the status of a condition of the Gateway.
func programmed(v *View) string {
	tree := v.Statuses.Get(object.Key{Group: "gateway.networking.k8s.io", Kind: "Gateway", Namespace: "default", Name: "web"})
	list, _ := tree["conditions"].([]any)
	for _, c := range list {
		if m, ok := c.(map[string]any); ok && m["type"] == "Programmed" {
			return fmt.Sprint(m["status"])
		}
	}
	return "missing"
}

func TestASocketThatCannotBeBoundIsReportedAndTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{yaml: gatewayOn(8080), failed: map[gateway.Binding]error{{AddrPort: onPort(8080)}: errors.New("in use")}}
		start(t, w, Options{})
		defer w.stop()
		v := w.loop.View()
		if programmed(v) != "False" || v.Errors() != 1 || w.metric(t, "wicketgate_sockets_failed", "") != 1 {
			t.Errorf("Programmed=%s, problems %v", programmed(v), v.Problems)
		}
		if p := v.Problems[len(v.Problems)-1]; p.Position.String() != "web.yaml:7:18" || p.Field != "spec.listeners[0].port" {
			t.Errorf("problem %s at %s", p.Field, p.Position)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if n := len(w.calls()); n < 200 || n > 300 {
			t.Errorf("%d attempts in an hour; they should back off to 30 s", n)
		}
		if w.loop.View() != v || w.logged("in use") != 1 {
			t.Errorf("failing the same way again is no news:\n%s", w.log.String())
		}
		w.set(func() { w.failed = nil })
		time.Sleep(30 * time.Second)
		synctest.Wait()
		v = w.loop.View()
		if programmed(v) != "True" || v.Generation != 2 || v.Errors() != 0 || w.metric(t, "wicketgate_sockets_failed", "") != 0 {
			t.Errorf("after it could be bound: Programmed=%s, view %+v", programmed(v), v)
		}
		if slices.Contains(w.calls()[8:], "load") {
			t.Error("trying sockets again read the files again")
		}
	})
}

func TestRemovedSocketsDrainAndOthersDoNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{yaml: gatewayOn(8080)}
		start(t, w, Options{})
		defer w.stop()
		reload := func(yaml string) {
			t.Helper()
			w.set(func() { w.yaml = yaml })
			if _, err := w.loop.Reload(t.Context()); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		reload(gatewayOn(8080) + "  - {name: more, port: 8081, protocol: HTTP}\n")
		if len(w.drains) != 0 {
			t.Fatalf("adding a listener drained %s", <-w.drains)
		}
		reload(gatewayOn(8081))
		if len(w.drains) != 1 {
			t.Fatalf("%d sockets drain, want 1", len(w.drains))
		}
		if got := <-w.drains; got != onPort(8080) {
			t.Errorf("%s drains", got)
		}
	})
}

// Connections made without TLS must not go on where TLS is asked for now, nor the other way round.
func TestASocketThatChangesItsProtocolDrains(t *testing.T) {
	a, b := onPort(8080), onPort(8443)
	graph := func(secure bool) *gateway.Graph {
		protocol := gatewayv1.HTTPProtocolType
		if secure {
			protocol = gatewayv1.TLSProtocolType
		}
		return &gateway.Graph{Sockets: []*gateway.Socket{{Bind: a, Protocol: gatewayv1.HTTPProtocolType}, {Bind: b, Protocol: protocol}}}
	}
	if got := changedKind(graph(false), graph(false)); len(got) != 0 {
		t.Errorf("nothing changed, but %v drain", got)
	}
	if got := changedKind(graph(false), graph(true)); !slices.Equal(got, []netip.AddrPort{b}) {
		t.Errorf("%v drain, want %v", got, b)
	}
	// One of the addresses that the socket stands for becomes another protocol's, and is given back.
	apart := graph(false)
	apart.Sockets = append(apart.Sockets, &gateway.Socket{Bind: b, Local: netip.MustParseAddr("192.0.2.1"), Protocol: gatewayv1.TLSProtocolType})
	if got := changedKind(graph(false), apart); !slices.Equal(got, []netip.AddrPort{b}) {
		t.Errorf("%v drain when an address gets a protocol of its own, want %v", got, b)
	}
	if got := changedKind(apart, graph(false)); !slices.Equal(got, []netip.AddrPort{b}) {
		t.Errorf("%v drain when it has it no more, want %v", got, b)
	}
	if got := changedKind(apart, apart); len(got) != 0 {
		t.Errorf("nothing changed, but %v drain", got)
	}
}

func TestEachProblemIsLoggedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{yaml: gatewayOn(8080) + broken}
		start(t, w, Options{})
		defer w.stop()
		for i, step := range []struct {
			yaml string
			want int
		}{
			{gatewayOn(8080) + broken, 1},
			{"# a line more\n" + gatewayOn(8080) + broken, 1},
			{gatewayOn(8080), 1},
			{gatewayOn(8080) + broken, 2},
		} {
			w.set(func() { w.yaml = step.yaml })
			if _, err := w.loop.Reload(t.Context()); err != nil {
				t.Fatal(err)
			}
			if n := w.logged("rulez"); n != step.want {
				t.Errorf("step %d: logged %d times, want %d:\n%s", i, n, step.want, w.log.String())
			}
		}
	})
}

func TestTheMetricSaysWhichGenerationIsInForce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{yaml: gatewayOn(8080)}
		start(t, w, Options{})
		defer w.stop()
		w.set(func() { w.interfaces = []netip.Addr{netip.MustParseAddr("192.0.2.1")} })
		w.loop.Refresh()
		synctest.Wait()
		if g := w.loop.View().Generation; g != 2 || w.metric(t, "wicketgate_config_generation", "") != 2 {
			t.Errorf("generation %d, the metric says %v", g, w.metric(t, "wicketgate_config_generation", ""))
		}
	})
}

func TestWhatChangesWithTimeIsLookedAtAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		expires := time.Now().Add(3 * time.Hour)
		w := &world{yaml: gatewayOn(8080), check: func(now time.Time) []object.Problem {
			if now.Before(expires) {
				return nil
			}
			return []object.Problem{{Message: "the certificate has expired"}}
		}}
		start(t, w, Options{})
		defer w.stop()
		time.Sleep(2 * time.Hour)
		if g := w.loop.View().Generation; g != 1 {
			t.Errorf("generation %d though nothing happened", g)
		}
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		if v := w.loop.View(); v.Errors() != 1 || w.logged("expired") != 1 {
			t.Errorf("problems %v", v.Problems)
		}
	})
}
