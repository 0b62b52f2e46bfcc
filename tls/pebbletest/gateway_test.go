// The gateway of these tests: the real program, with the ports that the authority asks.

package pebbletest

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// program builds the gateway once.
var program = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "pebbletest")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "wicketgate")
	build := exec.Command("go", "build", "-o", path, ".")
	build.Dir = filepath.Join("..", "..")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w\n%s", err, out)
	}
	return path, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if path, err := program(); err == nil {
		_ = os.RemoveAll(filepath.Dir(path))
	}
	os.Exit(code)
}

// gateway is a running gateway.
type gateway struct {
	t     *testing.T
	cmd   *exec.Cmd
	admin string
	https int // port
	log   *logBuffer
	ended chan struct{}
}

type logBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// directory writes files, which are given with their names, into a directory of their own.
func directory(t *testing.T, files ...string) string {
	t.Helper()
	dir := t.TempDir()
	for i := 0; i < len(files); i += 2 {
		if err := os.WriteFile(filepath.Join(dir, files[i]), []byte(files[i+1]), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// start runs the gateway on a directory, with listener ports 80 and 443 bound where the authority looks for them.
func start(t *testing.T, a *authority, config, state string, flags ...string) *gateway {
	t.Helper()
	return startOn(t, a.httpPort, a.tlsPort, config, state, flags...)
}

func startOn(t *testing.T, httpPort, tlsPort int, config, state string, flags ...string) *gateway {
	t.Helper()
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	g := &gateway{t: t, admin: fmt.Sprintf("127.0.0.1:%d", freePort(t)), https: tlsPort, log: &logBuffer{}, ended: make(chan struct{})}
	args := []string{
		"run", "--config", config, "--state-dir", state, "--admin", g.admin, "--drain-timeout", "2s",
		"--port-map", fmt.Sprintf("80=%d,443=%d", httpPort, tlsPort),
	}
	g.cmd = exec.Command(path, append(args, flags...)...)
	g.cmd.Stderr = g.log
	if err := g.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = g.cmd.Wait()
		close(g.ended)
	}()
	t.Cleanup(func() {
		g.stop()
		for line := range strings.Lines(g.log.String()) {
			if !json.Valid([]byte(line)) {
				t.Errorf("not a line of JSON, as all of the log is: %s", line)
			}
		}
		if t.Failed() {
			t.Logf("the gateway's log:\n%s", g.log)
		}
	})
	return g
}

// stop ends the gateway in order; kill does not.
func (g *gateway) stop() {
	_ = g.cmd.Process.Signal(syscall.SIGTERM)
	<-g.ended
}

func (g *gateway) kill() {
	_ = g.cmd.Process.Kill()
	<-g.ended
}

// patience is how long a condition may take to come true.
const patience = 60 * time.Second

// until waits for a condition.
func (g *gateway) until(what string, condition func() bool) {
	g.t.Helper()
	for end := time.Now().Add(patience); !condition(); time.Sleep(50 * time.Millisecond) {
		select {
		case <-g.ended:
			g.t.Fatalf("the gateway ended while waiting for: %s", what)
		default:
		}
		if time.Now().After(end) {
			g.t.Fatalf("this did not come true: %s", what)
		}
	}
}

// ready waits until the gateway serves what it found at its start.
func (g *gateway) ready() {
	g.t.Helper()
	g.until("the gateway is ready", func() bool {
		response, err := http.Get("http://" + g.admin + "/readyz")
		if err != nil {
			return false
		}
		_ = response.Body.Close()
		return response.StatusCode == http.StatusOK
	})
}

// served gives the certificate that is shown for a server name, or nil.
func (g *gateway) served(name string) *x509.Certificate {
	dialer := &net.Dialer{Timeout: patience}
	c, err := tls.DialWithDialer(dialer, "tcp", fmt.Sprintf("127.0.0.1:%d", g.https), &tls.Config{ServerName: name, InsecureSkipVerify: true}) //nolint:gosec // verified by the caller
	if err != nil {
		return nil
	}
	defer c.Close()
	return c.ConnectionState().PeerCertificates[0]
}

// untilIssued waits until a certificate of the authority is served that is valid for a name, and returns it. A listener that waits for some of its
// certificates may serve one of another name until then.
func (g *gateway) untilIssued(a *authority, name string) (leaf *x509.Certificate) {
	g.t.Helper()
	g.until("a certificate of the authority is served for "+name, func() bool {
		leaf = g.served(name)
		return leaf != nil && strings.Contains(leaf.Issuer.CommonName, "Pebble") && leaf.VerifyHostname(name) == nil
	})
	return leaf
}

// object reads an object from the administrative interface.
func (g *gateway) object(path string) map[string]any {
	response, err := http.Get("http://" + g.admin + "/apis/" + path)
	if err != nil {
		return nil
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return nil
	}
	var tree map[string]any
	_ = json.Unmarshal(text, &tree)
	return tree
}

// condition gives status and message of a condition of a Certificate or an issuer.
func (g *gateway) condition(path, kind string) (status, message string) {
	s, _ := g.object("cert-manager.io/v1/" + path)["status"].(map[string]any)
	list, _ := s["conditions"].([]any)
	for _, c := range list {
		if tree := c.(map[string]any); tree["type"] == kind {
			return fmt.Sprint(tree["status"]), fmt.Sprint(tree["message"])
		}
	}
	return "", ""
}
