// Certificates on demand, signed by the local authority, in fake time. An application that is a function says whose names are welcome.

package obtain

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wicketgate/wicketgate/config"
	"github.com/wicketgate/wicketgate/gateway"
	"github.com/wicketgate/wicketgate/object"
	"github.com/wicketgate/wicketgate/tls/demand"
	"github.com/wicketgate/wicketgate/tls/issue"
)

const anyHostYAML = `apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: web}
spec:
  gatewayClassName: wicketgate
  listeners: [{name: all, port: 443, protocol: HTTPS}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: all}
spec:
  parentRefs: [{name: web}]
  rules: [{filters: [{type: RequestRedirect, requestRedirect: {statusCode: 301}}]}]
`

// application answers for names.
type application struct {
	mu     sync.Mutex
	status map[string]int // by name; others are not found
	asked  []string
}

func (a *application) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name := r.FormValue("domain")
	a.mu.Lock()
	defer a.mu.Unlock()
	a.asked = append(a.asked, name)
	status := a.status[name]
	if status == 0 {
		status = http.StatusNotFound
	}
	w.WriteHeader(status)
}

// gate is a Gate that asks the application over pipes.
func (a *application) gate(t *testing.T) *demand.Gate {
	t.Helper()
	at, err := url.Parse("http://app.internal/")
	if err != nil {
		t.Fatal(err)
	}
	return demand.New(demand.Options{URL: at, Hourly: 3, Dial: func(context.Context, string, string) (net.Conn, error) {
		near, far := net.Pipe()
		go func() {
			_ = (&http.Server{Handler: a, ReadHeaderTimeout: time.Minute}).Serve(&oneConn{conn: far})
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

// took gives the names that were asked about since the last call.
func (a *application) took() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	names := strings.Join(a.asked, " ")
	a.asked = nil
	return names
}

func (a *application) says(name string, status int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.status[name] = status
}

// demanding is an engine with on-demand names of the local authority.
func demanding(t *testing.T, storage Storage, a *application) *world {
	t.Helper()
	w := &world{t: t, options: issue.Options{LocalCA: true}}
	var err error
	if w.engine, err = New(Options{Storage: storage, Demand: a.gate(t)}); err != nil {
		t.Fatal(err)
	}
	w.wantManaged(anyHostYAML)
	return w
}

// wantManaged is want for an issuer of flags.
func (w *world) wantManaged(yaml string) {
	w.t.Helper()
	objects, problems := config.Parse("in.yaml", []byte(yaml))
	if len(problems) > 0 {
		w.t.Fatal(problems)
	}
	files := object.NewSet(objects...)
	w.plan = issue.Read(files, w.options)
	w.set = files.With(w.engine.Load(w.t.Context(), w.plan), nil)
	w.engine.Want(w.plan, gateway.Build(w.set, gateway.Options{Managed: w.engine.Managed(w.t.Context())}))
}

// shows is the name of the certificate that a handshake gets, "" if it is refused.
func (w *world) shows(name string) (c *tls.Certificate) {
	w.t.Helper()
	if c = w.engine.OnDemand(w.t.Context(), name, true); c != nil && c.Leaf.VerifyHostname(name) != nil {
		w.t.Errorf("the certificate for %s is for %v", name, c.Leaf.DNSNames)
	}
	return c
}

func TestFirstHandshakeForANameObtainsItsCertificate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &application{status: map[string]int{"a.example.com": 200}}
		w := demanding(t, nil, a)
		defer w.run()()
		if w.engine.OnDemand(t.Context(), "a.example.com", false) != nil || a.took() != "" {
			t.Error("a handshake that may not wait had one obtained")
		}
		first := w.shows("a.example.com")
		if first == nil || a.took() != "a.example.com" {
			t.Fatal("no certificate")
		}
		if again := w.engine.OnDemand(t.Context(), "a.example.com", false); again != first || a.took() != "" {
			t.Error("the second handshake does not get the same")
		}
		if w.shows("b.example.com") != nil || a.took() != "b.example.com" {
			t.Error("a name that the application refuses")
		}
		for _, name := range []string{"localhost", "127.0.0.1", "::1", "*.example.com", "../../x.example", "a_b.example.com", strings.Repeat("a.", 130) + "com"} {
			if w.shows(name) != nil || a.took() != "" {
				t.Errorf("%s was asked about", name)
			}
		}
		w.wantManaged(anyHostYAML)
		if status, message := w.ready("Certificate", "a.example.com"); status != "True" {
			t.Errorf("it is not listed: %s %s", status, message)
		}
		w.wantManaged(strings.Replace(anyHostYAML, "protocol: HTTPS}", "protocol: HTTPS, hostname: shop.example.com}", 1))
		if w.shows("c.example.com") != nil || a.took() != "" {
			t.Error("a name that no listener has on demand any more")
		}
	})
}

func TestRenewalOnDemandIsAskedFor(t *testing.T) {
	for name, c := range map[string]struct {
		used    bool
		status  int
		renewed bool
	}{
		"in use and welcome":     {true, 200, true},
		"not used for a month":   {false, 200, false},
		"in use and not welcome": {true, 404, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := &application{status: map[string]int{"a.example.com": 200}}
				w := demanding(t, nil, a)
				defer w.run()()
				first := w.shows("a.example.com")
				if first == nil {
					t.Fatal("no certificate")
				}
				a.says("a.example.com", c.status)
				for range 70 {
					time.Sleep(24 * time.Hour)
					if c.used {
						w.engine.OnDemand(t.Context(), "a.example.com", false)
					}
				}
				synctest.Wait()
				now := w.engine.OnDemand(t.Context(), "a.example.com", false)
				if now == nil || (now != first) != c.renewed {
					t.Errorf("renewed: %t", now != first)
				}
				if c.renewed {
					return
				}
				time.Sleep(30 * 24 * time.Hour) // it has expired
				if again := w.shows("a.example.com"); (again != nil) != (c.status == 200) || again == first {
					t.Errorf("after its end: %v", again)
				}
			})
		})
	}
}

func TestApplicationThatIsDownEndsNoCertificate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &application{status: map[string]int{"a.example.com": 200}}
		w := demanding(t, nil, a)
		defer w.run()()
		first := w.shows("a.example.com")
		a.says("a.example.com", 500)
		for range 70 {
			time.Sleep(24 * time.Hour)
			if w.engine.OnDemand(t.Context(), "a.example.com", false) != first {
				t.Fatal("it is not served any more, or was renewed")
			}
		}
		a.says("a.example.com", 200)
		time.Sleep(2 * homePause)
		synctest.Wait()
		if now := w.engine.OnDemand(t.Context(), "a.example.com", false); now == nil || now == first {
			t.Error("it is not renewed once the application is back")
		}
	})
}

func TestCertificatesOnDemandOutliveARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &application{status: map[string]int{"a.example.com": 200}}
		storage := newMemory()
		w := demanding(t, storage, a)
		stop := w.run()
		first := w.shows("a.example.com")
		stop()
		a.took()
		w = demanding(t, storage, a)
		defer w.run()()
		if again := w.shows("a.example.com"); again == nil || !again.Leaf.Equal(first.Leaf) || a.took() != "" {
			t.Error("it was obtained again, or asked about")
		}
		time.Sleep(95 * 24 * time.Hour)
		w.engine.forgetUnwanted(time.Now())
		if n := len(w.engine.states); n != 0 {
			t.Errorf("%d states of what nobody wants", n)
		}
		time.Sleep(sweepAge)
		if demanding(t, storage, a); storage.Exists(t.Context(), "certificates/hostname") {
			t.Error("what expired long ago is still in the storage")
		}
	})
}

func TestNameThatCannotBeObtainedRests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &application{status: map[string]int{"a.example.com": 200}}
		disk := &fullDisk{memory: newMemory(), locks: true}
		disk.full.Store(true)
		w := demanding(t, disk, a)
		defer w.run()()
		begun := time.Now()
		if w.shows("a.example.com") != nil || a.took() != "a.example.com" {
			t.Error("obtained on a full disk")
		}
		if took := time.Since(begun); took >= demandPatience {
			t.Errorf("the handshake was held up for %v", took)
		}
		if w.shows("a.example.com") != nil || a.took() != "" {
			t.Error("tried again at once")
		}
		disk.full.Store(false)
		time.Sleep(homePause)
		if w.shows("a.example.com") == nil {
			t.Error("not tried again")
		}
	})
}
