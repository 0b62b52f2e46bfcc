// The binary, built once, and how the tests start it, edit its files and talk to it.

package cli

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/wicketgate/wicketgate/admin"
	"github.com/wicketgate/wicketgate/internal/patient"
	"github.com/wicketgate/wicketgate/internal/ports"
)

// binary is the program under test.
var binary string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "wicketgate-test-")
	if err != nil {
		panic(err)
	}
	binary = filepath.Join(dir, "wicketgate")
	_ = os.Setenv("XDG_STATE_HOME", filepath.Join(dir, "state")) // so that no test leaves anything in the home directory
	build := exec.Command("go", "build", "-ldflags", "-X main.version=v0.0.0-test", "-o", binary, "..")
	if raceEnabled {
		build.Args = slices.Insert(build.Args, 2, "-race")
	}
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "building the program: %v\n%s", err, out)
		os.Exit(1)
	}
	code := m.Run()
	_ = os.RemoveAll(dir)
	if code == 0 {
		// The sweeper of idle backend connections ends with its next round.
		err := goleak.Find()
		for end := time.Now().Add(time.Minute); err != nil && time.Now().Before(end); {
			err = goleak.Find()
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

// output is a process's output that may be read while it is written.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// program runs the binary to its end.
func program(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(t.Context(), binary, args...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// gate is a running gateway with its directory.
type gate struct {
	t     *testing.T
	dir   string
	admin string
	args  []string
	cmd   *exec.Cmd
	log   *output
	ended chan struct{}
}

// startGate serves files, a map from names to contents, and waits until they are served. Its state is its own unless args name another directory.
func startGate(t *testing.T, files map[string]string, args ...string) *gate {
	t.Helper()
	g := &gate{t: t, dir: t.TempDir(), admin: fmt.Sprintf("127.0.0.1:%d", freePort(t))}
	g.args = append([]string{"run", "--config", g.dir, "--admin", g.admin, "--state-dir", t.TempDir()}, args...)
	g.put(files)
	g.start()
	return g
}

// start runs the program, for the first time or again after its end, and waits until it serves.
func (g *gate) start() {
	t := g.t
	t.Helper()
	cmd, log, ended := exec.Command(binary, g.args...), &output{}, make(chan struct{})
	g.cmd, g.log, g.ended = cmd, log, ended
	cmd.Stderr = log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(ended)
		_ = cmd.Wait() // the exit status is in ProcessState
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-ended
		if t.Failed() {
			t.Logf("the gateway's log:\n%s", log)
		}
		if strings.Contains(log.String(), "DATA RACE") || strings.Contains(log.String(), "panic") {
			t.Errorf("the gateway's log:\n%s", log)
		}
	})
	eventually(t, "the gateway is ready", func() bool {
		select {
		case <-g.ended:
			t.Fatalf("the gateway ended: %s", g.log)
		default:
		}
		res, err := client.Get("http://" + g.admin + "/readyz")
		if err != nil {
			return false
		}
		defer res.Body.Close()
		return res.StatusCode == http.StatusOK
	})
}

// put writes files as editors do, by renaming, or deletes those with empty contents.
func (g *gate) put(files map[string]string) {
	g.t.Helper()
	for name, text := range files {
		path := filepath.Join(g.dir, name)
		var err error
		if text == "" {
			err = os.Remove(path)
		} else if err = os.WriteFile(path+".new~", []byte(text), 0o600); err == nil {
			err = os.Rename(path+".new~", path)
		}
		if err != nil {
			g.t.Fatal(err)
		}
	}
}

// edit writes files and waits until exactly what the directory holds is served.
func (g *gate) edit(files map[string]string) {
	g.t.Helper()
	g.put(files)
	g.await()
}

// await waits until what the directory holds is served.
func (g *gate) await() admin.Reload {
	g.t.Helper()
	names, err := filepath.Glob(filepath.Join(g.dir, "*.yaml"))
	if err != nil {
		g.t.Fatal(err)
	}
	slices.Sort(names)
	whole := sha256.New()
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			g.t.Fatal(err)
		}
		fmt.Fprintf(whole, "%x  %s\n", sha256.Sum256(text), filepath.Base(name))
	}
	return g.reload(fmt.Sprintf("GET /reload?timeout=55s&wait=%x", whole.Sum(nil)))
}

// reload sends a request to /reload and decodes the answer.
func (g *gate) reload(request string) (r admin.Reload) {
	g.t.Helper()
	method, path, _ := strings.Cut(request, " ")
	code, body := g.ask(method, path)
	if code != http.StatusOK {
		g.t.Fatalf("%s: %d %s", request, code, body)
	}
	if err := json.Unmarshal([]byte(body), &r); err != nil {
		g.t.Fatal(err)
	}
	return r
}

// ask sends a request to the administrative interface.
func (g *gate) ask(method, path string) (int, string) {
	g.t.Helper()
	req, err := http.NewRequestWithContext(g.t.Context(), method, "http://"+g.admin+path, http.NoBody)
	if err != nil {
		g.t.Fatal(err)
	}
	return do(g.t, client, req)
}

// get runs wicketgate get.
func (g *gate) get(args ...string) (stdout, stderr string, code int) {
	g.t.Helper()
	return program(g.t, append([]string{"get", "--admin", g.admin}, args...)...)
}

// logs waits until the log, which is written and read beside everything else, has a text.
func (g *gate) logs(text string) {
	g.t.Helper()
	eventually(g.t, fmt.Sprintf("the log has %q", text), func() bool { return strings.Contains(g.log.String(), text) })
}

// shows waits until the metrics have a text: things are counted a moment after they have been seen.
func (g *gate) shows(text string) {
	g.t.Helper()
	eventually(g.t, fmt.Sprintf("the metrics have %q", text), func() bool {
		_, metrics := g.ask(http.MethodGet, "/metrics")
		return strings.Contains(metrics, text)
	})
}

func (g *gate) signal(s syscall.Signal) {
	g.t.Helper()
	if err := g.cmd.Process.Signal(s); err != nil {
		g.t.Fatal(err)
	}
}

// exit waits for the end and returns the exit status.
func (g *gate) exit() int {
	g.t.Helper()
	select {
	case <-g.ended:
		return g.cmd.ProcessState.ExitCode()
	case <-time.After(time.Minute):
		g.t.Fatal("the gateway does not end")
		return -1
	}
}

// client keeps no connections, so that each request meets the sockets as they are.
var client = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: time.Minute}

// fetch gets a URL and returns the status code and the body.
func fetch(t *testing.T, c *http.Client, url string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	return do(t, c, req)
}

func do(t *testing.T, c *http.Client, req *http.Request) (int, string) {
	t.Helper()
	res, err := c.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return res.StatusCode, err.Error()
	}
	return res.StatusCode, string(body)
}

// eventually waits for a condition, generously.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	patient.Until(t, what, condition)
}

// freePort returns a port that nobody is given before it is used.
func freePort(t *testing.T) int {
	t.Helper()
	port, err := ports.Free()
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// newBackend serves h on loopback and returns its port.
func newBackend(t *testing.T, h http.HandlerFunc) int {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.Listener.Addr().(*net.TCPAddr).Port
}

func saying(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, text) }
}

// gatewayYAML is a Gateway on loopback with one plain listener a port, named by it.
func gatewayYAML(ports ...int) string {
	var b strings.Builder
	b.WriteString(`apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: web}
spec:
  gatewayClassName: wicketgate
  addresses: [{value: 127.0.0.1}]
  listeners:
`)
	for _, p := range ports {
		fmt.Fprintf(&b, "  - {name: p%d, port: %d, protocol: HTTP}\n", p, p)
	}
	return b.String()
}

// routeYAML leads a path prefix to a backend's port.
func routeYAML(name, prefix string, port int) string {
	return fmt.Sprintf(`apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: %[1]s}
spec:
  parentRefs: [{name: web}]
  rules:
  - matches: [{path: {value: %[2]s}}]
    backendRefs: [{name: %[1]s, port: 80}]
---
apiVersion: v1
kind: Service
metadata: {name: %[1]s}
spec: {ports: [{port: 80}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: %[1]s, labels: {kubernetes.io/service-name: %[1]s}}
addressType: IPv4
ports: [{port: %[3]d}]
endpoints: [{addresses: [127.0.0.1]}]
`, name, prefix, port)
}

func at(port int, path string) string { return fmt.Sprintf("http://127.0.0.1:%d%s", port, path) }
