// run from outside: edits, sockets that come and go, signals, certificates.

package cli

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/wicketgate/wicketgate/admin"
)

func TestEditsAreServed(t *testing.T) {
	port, one, two := freePort(t), newBackend(t, saying("one")), newBackend(t, saying("two"))
	g := startGate(t, map[string]string{"gateway.yaml": gatewayYAML(port), "one.yaml": routeYAML("one", "/", one)})
	expect := func(path string, code int, want string) {
		t.Helper()
		if c, body := fetch(t, client, at(port, path)); c != code || code == http.StatusOK && body != want {
			t.Errorf("%s: %d %q, want %d %q", path, c, body, code, want)
		}
	}
	expect("/x", http.StatusOK, "one")
	g.edit(map[string]string{"two.yaml": routeYAML("two", "/x", two)})
	expect("/x", http.StatusOK, "two")
	expect("/y", http.StatusOK, "one")
	g.edit(map[string]string{"one.yaml": ""})
	expect("/y", http.StatusNotFound, "")
	// A typo leaves the route that was admitted in force, and holds nobody else up.
	g.edit(map[string]string{
		"two.yaml": strings.Replace(routeYAML("two", "/x", two), "backendRefs", "backends", 1),
		"one.yaml": routeYAML("one", "/z", one),
	})
	expect("/x", http.StatusOK, "two")
	expect("/z", http.StatusOK, "one")
	state := g.reload("GET /reload")
	if state.Errors != 1 || !strings.Contains(state.Problems[0], "two.yaml:8:5: HTTPRoute default/two: spec.rules[0].backends: unknown field") {
		t.Errorf("problems %q", state.Problems)
	}
	g.logs("unknown field")
	if n := strings.Count(g.log.String(), "unknown field"); n != 1 {
		t.Errorf("the problem was logged %d times", n)
	}
}

func TestReloadBySignalAndByRequest(t *testing.T) {
	port := freePort(t)
	g := startGate(t, map[string]string{"gateway.yaml": gatewayYAML(port)})
	before := g.reload("GET /reload").Generation
	if after := g.reload("POST /reload").Generation; after <= before {
		t.Errorf("POST /reload: generation %d after %d", after, before)
	}
	before = g.reload("GET /reload").Generation
	g.signal(syscall.SIGHUP)
	eventually(t, "SIGHUP has reloaded", func() bool { return g.reload("GET /reload").Generation > before })
}

// slow is a backend that says when a request has come and answers when it is told to.
type slow struct{ came, answer chan struct{} }

func newSlow() slow { return slow{make(chan struct{}, 8), make(chan struct{})} }

func (s slow) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.came <- struct{}{}
	select {
	case <-s.answer:
		_, _ = io.WriteString(w, "late")
	case <-r.Context().Done():
	}
}

// conversation is a kept-alive connection that a test reads and writes by hand.
type conversation struct {
	t    *testing.T
	c    net.Conn
	r    *bufio.Reader
	host string
}

func converse(t *testing.T, port int) *conversation {
	t.Helper()
	c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	return &conversation{t, c, bufio.NewReader(c), "any.test"}
}

func (c *conversation) send(path string) {
	c.t.Helper()
	if _, err := fmt.Fprintf(c.c, "GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", path, c.host); err != nil {
		c.t.Fatal(err)
	}
}

// receive reads a response: its code, its body, and whether the server closes the connection after it.
func (c *conversation) receive() (code int, body string, closes bool) {
	c.t.Helper()
	res, err := http.ReadResponse(c.r, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return res.StatusCode, string(text), res.Close
}

func TestARemovedListenerDrainsAndAnUnchangedOneIsNotTouched(t *testing.T) {
	kept, removed, s := freePort(t), freePort(t), newSlow()
	g := startGate(t, map[string]string{
		"gateway.yaml": gatewayYAML(kept, removed),
		"fast.yaml":    routeYAML("fast", "/", newBackend(t, saying("fast"))),
		"slow.yaml":    routeYAML("slow", "/slow", newBackend(t, s.ServeHTTP)),
	})
	old, inFlight, idle := converse(t, kept), converse(t, removed), converse(t, removed)
	for _, c := range []*conversation{old, idle} {
		c.send("/")
		if code, body, closes := c.receive(); code != http.StatusOK || body != "fast" || closes {
			t.Fatalf("%d %q closes=%t", code, body, closes)
		}
	}
	inFlight.send("/slow")
	<-s.came
	g.edit(map[string]string{"gateway.yaml": gatewayYAML(kept)})
	if _, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", removed)); err == nil {
		t.Error("the removed listener still accepts")
	}
	if _, err := idle.r.ReadByte(); err != io.EOF {
		t.Errorf("an idle connection of the removed listener: %v, want EOF", err)
	}
	old.send("/")
	if code, body, closes := old.receive(); code != http.StatusOK || body != "fast" || closes {
		t.Errorf("the unchanged listener's connection: %d %q closes=%t", code, body, closes)
	}
	close(s.answer)
	if code, body, closes := inFlight.receive(); code != http.StatusOK || body != "late" || !closes {
		t.Errorf("the request in flight on the removed listener: %d %q closes=%t", code, body, closes)
	}
}

func TestSIGTERMLetsRequestsFinish(t *testing.T) {
	for _, transport := range []string{"auto", "portable"} {
		t.Run(transport, func(t *testing.T) {
			port, s := freePort(t), newSlow()
			g := startGate(t, map[string]string{
				"gateway.yaml": gatewayYAML(port), "slow.yaml": routeYAML("slow", "/", newBackend(t, s.ServeHTTP)),
			}, "--transport", transport)
			inFlight, idle := converse(t, port), converse(t, port)
			inFlight.send("/")
			<-s.came
			g.shows("wicketgate_connections_active 2\n") // what was not accepted yet is reset with the socket
			g.signal(syscall.SIGTERM)
			if _, err := idle.r.ReadByte(); err != io.EOF {
				t.Errorf("an idle connection: %v, want EOF", err)
			}
			eventually(t, "nothing is accepted any more", func() bool {
				c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
				if err == nil {
					c.Close()
				}
				return err != nil
			})
			if code, _ := g.ask("GET", "/readyz"); code != http.StatusServiceUnavailable {
				t.Errorf("/readyz while it drains: %d", code)
			}
			close(s.answer)
			if code, body, closes := inFlight.receive(); code != http.StatusOK || body != "late" || !closes {
				t.Errorf("the request in flight: %d %q closes=%t", code, body, closes)
			}
			if code := g.exit(); code != 0 {
				t.Errorf("exit status %d", code)
			}
		})
	}
}

// hesitant is a client's connection that waits before its second flight, so that a handshake is under way for as long as a test wants.
type hesitant struct {
	net.Conn
	writes        int
	begun, finish chan struct{}
}

func (c *hesitant) Write(p []byte) (int, error) {
	if c.writes++; c.writes == 2 {
		close(c.begun)
		<-c.finish
	}
	return c.Conn.Write(p)
}

func TestSIGTERMLetsClientsFinishTheirHandshake(t *testing.T) {
	port := freePort(t)
	cert, key := certificate(t, time.Now().Add(time.Hour), "shop.test")
	g := startGate(t, map[string]string{
		"gateway.yaml": secureYAML(port, map[string]string{"shop": "shop.test"}), "shop.yaml": secretYAML("shop", cert, key),
		"route.yaml": routeYAML("fast", "/", newBackend(t, saying("fast"))),
	})
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(cert)
	config := &tls.Config{RootCAs: pool, ServerName: "shop.test"}
	idle := tls.Client(converse(t, port).c, config)
	other := &conversation{t, idle, bufio.NewReader(idle), "shop.test"}
	other.send("/")
	if code, body, closes := other.receive(); code != http.StatusOK || body != "fast" || closes {
		t.Fatalf("%d %q closes=%t", code, body, closes)
	}
	plain := converse(t, port)
	client := &hesitant{Conn: plain.c, begun: make(chan struct{}), finish: make(chan struct{})}
	secure := tls.Client(client, config)
	done := make(chan error, 1)
	go func() { done <- secure.Handshake() }()
	<-client.begun // the server's first flight has come
	g.signal(syscall.SIGTERM)
	if _, err := other.r.ReadByte(); err != io.EOF { // from now on connections are asked to end
		t.Errorf("an idle connection: %v, want EOF", err)
	}
	close(client.finish)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	c := &conversation{t, secure, bufio.NewReader(secure), "shop.test"}
	c.send("/")
	if code, body, closes := c.receive(); code != http.StatusOK || body != "fast" || !closes {
		t.Errorf("%d %q closes=%t", code, body, closes)
	}
	if code := g.exit(); code != 0 {
		t.Errorf("exit status %d", code)
	}
}

func TestMetricsShowRequestsBackendsAndReloads(t *testing.T) {
	port := freePort(t)
	g := startGate(t, map[string]string{"gateway.yaml": gatewayYAML(port), "route.yaml": routeYAML("fast", "/", newBackend(t, saying("fast")))})
	fine := `wicketgate_http_requests_total{code="200",gateway="default/web",listener="p` + fmt.Sprint(port) + `",route="default/fast",rule="0"} `
	const opened, reused = `wicketgate_backend_connections_opened_total{backend="Service default/fast:80"} `, `wicketgate_backend_connections_reused_total{backend="Service default/fast:80"} `
	requests := 0
	eventually(t, "a request has the connection of the one before", func() bool { // unless four seconds lie between them
		if code, body := fetch(t, client, at(port, "/")); code != http.StatusOK {
			t.Fatalf("%d %s", code, body)
		}
		requests++
		g.shows(fine + fmt.Sprintln(requests)) // what is counted has given its connection back
		_, text := g.ask("GET", "/metrics")
		if again := sample(t, text, reused); again+sample(t, text, opened) != requests {
			t.Errorf("%d requests:\n%s", requests, text)
		} else if again == 0 {
			return false
		}
		return true
	})
	for _, want := range []string{
		`wicketgate_config_reloads_total{result="ok"}`, `wicketgate_config_objects 4`, "wicketgate_config_last_success_timestamp_seconds ",
		`wicketgate_tls_handshakes_total{outcome="ok"} 0`, `wicketgate_build_info{`, "process_resident_memory_bytes", "go_goroutines",
	} {
		g.shows(want)
	}
}

// sample reads a number from the metrics; series ends with the space before it.
func sample(t *testing.T, metrics, series string) int {
	t.Helper()
	_, rest, found := strings.Cut(metrics, "\n"+series)
	text, _, _ := strings.Cut(rest, "\n")
	n, err := strconv.Atoi(text)
	if !found || err != nil {
		t.Errorf("%s: %v", series, err)
	}
	return n
}

func TestASecondSignalEndsAtOnce(t *testing.T) {
	port, s := freePort(t), newSlow()
	g := startGate(t, map[string]string{
		"gateway.yaml": gatewayYAML(port), "slow.yaml": routeYAML("slow", "/", newBackend(t, s.ServeHTTP)),
	}, "--drain-timeout", "10m")
	c := converse(t, port)
	c.send("/")
	<-s.came
	g.signal(syscall.SIGTERM)
	g.logs("stopping")
	g.signal(syscall.SIGINT)
	if code := g.exit(); code != 3 {
		t.Errorf("exit status %d", code)
	}
	if b, err := io.ReadAll(c.r); len(b) != 0 {
		t.Errorf("the request that was broken off got %q, %v", b, err)
	}
}

func TestTheDrainTimeoutEndsWhatIsLeft(t *testing.T) {
	port, s := freePort(t), newSlow()
	g := startGate(t, map[string]string{
		"gateway.yaml": gatewayYAML(port), "slow.yaml": routeYAML("slow", "/", newBackend(t, s.ServeHTTP)),
	}, "--drain-timeout", "100ms")
	c := converse(t, port)
	c.send("/")
	<-s.came
	g.signal(syscall.SIGTERM)
	if code := g.exit(); code != 3 || !strings.Contains(g.log.String(), "not finished within --drain-timeout were broken off") {
		t.Errorf("exit status %d", code)
	}
}

func TestAPortInUseIsReportedWhileTheRestIsServed(t *testing.T) {
	taken, fine := freePort(t), freePort(t)
	other, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", taken))
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	g := startGate(t, map[string]string{
		"gateway.yaml": gatewayYAML(taken, fine), "route.yaml": routeYAML("fast", "/", newBackend(t, saying("fast"))),
	})
	listenerStatus := func(port int) string {
		out, _, _ := g.get("gateway", "web", "-o", fmt.Sprintf(
			`jsonpath={.status.listeners[?(@.name=="p%d")].conditions[?(@.type=="Programmed")].status}`, port))
		return out
	}
	if got := listenerStatus(taken); got != "False" {
		t.Errorf("Programmed=%q on the taken port", got)
	}
	if got := listenerStatus(fine); got != "True" {
		t.Errorf("Programmed=%q on the other port", got)
	}
	if code, body := fetch(t, client, at(fine, "/")); code != http.StatusOK || body != "fast" {
		t.Errorf("the other port: %d %q", code, body)
	}
	problem := strings.Join(g.reload("GET /reload").Problems, "\n")
	for _, want := range []string{"gateway.yaml:8:", "spec.listeners[0].port", "address already in use", "--port-map"} {
		if !strings.Contains(problem, want) {
			t.Errorf("problem %q lacks %q", problem, want)
		}
	}
	other.Close()
	eventually(t, "the port is bound once it is free", func() bool { return listenerStatus(taken) == "True" })
	if code, body := fetch(t, client, at(taken, "/")); code != http.StatusOK || body != "fast" {
		t.Errorf("the port that was taken: %d %q", code, body)
	}
}

// certificate makes a self-signed certificate in PEM, valid until a time.
func certificate(t *testing.T, until time.Time, hosts ...string) (cert, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: hosts, NotBefore: until.Add(-24 * time.Hour), NotAfter: until}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})
}

func secretYAML(name string, cert, key []byte) string {
	return fmt.Sprintf("apiVersion: v1\nkind: Secret\nmetadata: {name: %s}\ntype: kubernetes.io/tls\ndata:\n  tls.crt: %s\n  tls.key: %s\n",
		name, base64.StdEncoding.EncodeToString(cert), base64.StdEncoding.EncodeToString(key))
}

// secureYAML is a Gateway with one HTTPS listener a hostname on one port, each with the Secret of that name.
func secureYAML(port int, hosts map[string]string) string {
	var b strings.Builder
	b.WriteString(gatewayYAML())
	for secret, host := range hosts {
		fmt.Fprintf(&b, "  - {name: %[1]s, port: %[2]d, protocol: HTTPS, hostname: %[3]q, tls: {certificateRefs: [{name: %[1]s}]}}\n", secret, port, host)
	}
	return b.String()
}

// secureClient trusts one certificate and connects to port on loopback whatever the host.
func secureClient(cert []byte, port int) *http.Client {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(cert)
	return &http.Client{Timeout: time.Minute, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: pool}, DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", port))
		},
	}}
}

func TestCertificates(t *testing.T) {
	port := freePort(t)
	cert, key := certificate(t, time.Now().Add(time.Hour), "shop.test", "*.wild.test")
	next, nextKey := certificate(t, time.Now().Add(time.Hour), "shop.test")
	old, oldKey := certificate(t, time.Now().Add(-time.Hour), "old.test")
	g := startGate(t, map[string]string{
		"gateway.yaml": secureYAML(port, map[string]string{"shop": "shop.test", "wild": "*.wild.test", "old": "old.test", "broken": "broken.test"}),
		"shop.yaml":    secretYAML("shop", cert, key),
		"wild.yaml":    secretYAML("wild", cert, key),
		"old.yaml":     secretYAML("old", old, oldKey),
		"broken.yaml":  secretYAML("broken", []byte("no certificate"), key),
		"route.yaml":   routeYAML("fast", "/", newBackend(t, saying("fast"))),
	})
	for host, want := range map[string]struct {
		code int
		text string
	}{
		"shop.test": {200, "fast"}, "a.wild.test": {200, "fast"}, "old.test": {0, "expired"}, "broken.test": {0, "unrecognized name"}, "other.test": {0, "unrecognized name"},
	} {
		trusted := cert
		if host == "old.test" {
			trusted = old
		}
		if code, body := fetch(t, secureClient(trusted, port), "https://"+host+"/"); code != want.code || !strings.Contains(body, want.text) {
			t.Errorf("%s: %d %q, want %d %q", host, code, body, want.code, want.text)
		}
	}
	state := strings.Join(g.reload("GET /reload").Problems, "\n")
	if !strings.Contains(state, "expired") || !strings.Contains(state, "broken") {
		t.Errorf("problems: %s", state)
	}
	out, _, _ := g.get("gateway", "web", "-o", `jsonpath={.status.listeners[?(@.name=="broken")].conditions[?(@.type=="ResolvedRefs")].reason}`)
	if out != "InvalidCertificateRef" {
		t.Errorf("ResolvedRefs reason %q", out)
	}
	g.edit(map[string]string{"shop.yaml": secretYAML("shop", next, nextKey)})
	if code, body := fetch(t, secureClient(next, port), "https://shop.test/"); code != http.StatusOK {
		t.Errorf("the renewed certificate: %d %s", code, body)
	}
}

func TestWhatStopsAStart(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "broken.yaml"), []byte("a: b: c"), 0o600); err != nil {
		t.Fatal(err)
	}
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	free := fmt.Sprintf("127.0.0.1:%d", freePort(t))
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"no directory":               {[]string{"run", "--admin", free}, "--config DIR"},
		"a missing directory":        {[]string{"run", "--admin", free, "--config", filepath.Join(dir, "none")}, "none"},
		"errors with --strict":       {[]string{"run", "--admin", free, "--config", dir, "--strict"}, "--strict"},
		"an admin address in use":    {[]string{"run", "--admin", busy.Addr().String(), "--config", dir}, "--admin"},
		"an admin address for all":   {[]string{"run", "--admin", "0.0.0.0:0", "--config", dir}, "--admin-token-file"},
		"an unknown flag":            {[]string{"run", "--confg", dir}, "--help"},
		"an unknown command":         {[]string{"serve"}, `there is no command "serve"`},
		"a port that is none":        {[]string{"run", "--config", dir, "--port-map", "80=99999"}, "65535"},
		"a network that is none":     {[]string{"run", "--config", dir, "--trusted-proxies", "10.0.0.0/99"}, `--trusted-proxies "10.0.0.0/99": neither a network, such as`},
		"a DNS server that is none":  {[]string{"run", "--config", dir, "--dns-server", "x"}, `--dns-server "x": no IP address, such as`},
		"a transport that is none":   {[]string{"run", "--config", dir, "--transport", "pigeon"}, "pigeon"},
		"a log level that is none":   {[]string{"run", "--config", dir, "--log-level", "loud"}, "loud"},
		"a log format that is none":  {[]string{"run", "--config", dir, "--log-format", "xml"}, "xml"},
		"a policy that is none":      {[]string{"run", "--config", dir, "--underscore-headers", "maybe"}, "maybe"},
		"an address pool that is no": {[]string{"run", "--config", dir, "--address-pool", "x"}, "--address-pool"},
	} {
		t.Run(name, func(t *testing.T) {
			_, stderr, code := program(t, c.args...)
			if code != 1 || !strings.Contains(stderr, c.want) {
				t.Errorf("exit status %d, %q lacks %q", code, stderr, c.want)
			}
		})
	}
}

func TestRunIsTheDefaultCommand(t *testing.T) {
	if _, stderr, code := program(t); code != 1 || !strings.Contains(stderr, "--config DIR") {
		t.Errorf("exit status %d: %s", code, stderr)
	}
}

// The gateway within the test's own process, so that goroutines it leaves behind are found by TestMain.
func TestNothingIsLeftBehind(t *testing.T) {
	dir, state, port := t.TempDir(), t.TempDir(), freePort(t)
	backend := newBackend(t, saying("fast"))
	text := gatewayYAML(port) + "---\n" + routeYAML("fast", "/", backend)
	if err := os.WriteFile(filepath.Join(dir, "all.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{}, 2)
	log := &output{}
	ended := make(chan int, 1)
	address := fmt.Sprintf("127.0.0.1:%d", freePort(t))
	go func() {
		ended <- Execute(context.Background(), Program{
			Version: admin.Version{GitVersion: "test"}, Stdout: log, Stderr: log,
			Signals: func() Signals { return Signals{Stop: stop} },
		}, []string{"--config", dir, "--admin", address, "--state-dir", state})
	}()
	eventually(t, "it serves", func() bool {
		code, body := fetch(t, client, at(port, "/"))
		return code == http.StatusOK && body == "fast"
	})
	stop <- struct{}{}
	if code := <-ended; code != 0 {
		t.Errorf("exit status %d: %s", code, log)
	}
}
