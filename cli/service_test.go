//go:build unix

// The gateway as a service: sockets that a service manager opened, what it is told, and the health check.

package cli

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// manager is the part of a service manager that the gateway talks to.
type manager struct {
	t    *testing.T
	conn *net.UnixConn
}

func newManager(t *testing.T) *manager {
	t.Helper()
	path := filepath.Join(t.TempDir(), "notify")
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	return &manager{t, c}
}

// told waits for the next message.
func (m *manager) told() string {
	m.t.Helper()
	b := make([]byte, 4096)
	n, err := m.conn.Read(b)
	if err != nil {
		m.t.Fatal(err)
	}
	return string(b[:n])
}

func TestAServiceManagerPassesSocketsAndIsTold(t *testing.T) {
	var sockets []*os.File
	var ports []int
	for range 2 {
		l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		f, err := l.File()
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		sockets, ports = append(sockets, f), append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	packets, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer packets.Close()
	f, err := packets.File()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	udp := packets.LocalAddr().(*net.UDPAddr).Port
	m := newManager(t)
	g := &gate{t: t, dir: t.TempDir(), admin: fmt.Sprintf("127.0.0.1:%d", freePort(t)), log: &output{}, ended: make(chan struct{})}
	backend := newBackend(t, saying("hello"))
	dns := fmt.Sprintf("  - {name: dns, port: %d, protocol: UDP}\n", udp)
	g.put(map[string]string{"gateway.yaml": gatewayYAML(ports[0]), "app.yaml": routeYAML("app", "/", backend)})
	// Only a shell can tell a process its own number before it begins.
	g.cmd = exec.Command("sh", "-c", `LISTEN_PID=$$ exec "$0" run --config "$1" --admin "$2" --state-dir "$3"`, binary, g.dir, g.admin, t.TempDir())
	g.cmd.Env = append(os.Environ(), "LISTEN_FDS=3", "NOTIFY_SOCKET="+m.conn.LocalAddr().String())
	sockets = append(sockets, f)
	g.cmd.ExtraFiles, g.cmd.Stderr = sockets, g.log
	if err := g.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(g.ended)
		_ = g.cmd.Wait() // the exit status is in ProcessState
	}()
	t.Cleanup(func() {
		_ = g.cmd.Process.Kill()
		<-g.ended
	})

	if said := m.told(); said != "READY=1\nSTATUS=Serving 1 routes from 2 files, 0 errors" {
		t.Errorf("told %q", said)
	}
	if code, body := fetch(t, client, at(ports[0], "/")); code != http.StatusOK || body != "hello" {
		t.Errorf("on the socket that was passed on: %d %q\n%s", code, body, g.log)
	}
	g.logs("no listener wants a socket")
	g.logs(fmt.Sprintf("127.0.0.1:%d", ports[1]))
	c, err := net.Dial("udp", fmt.Sprintf("127.0.0.1:%d", udp))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write([]byte("waits")); err != nil { // until there is a listener
		t.Fatal(err)
	}
	g.edit(map[string]string{"gateway.yaml": gatewayYAML(ports[0]) + dns, "dns.yaml": packetRouteYAML(startRawEcho(t, "dns"))})
	_ = c.SetReadDeadline(time.Now().Add(time.Minute))
	answer := make([]byte, 100)
	if n, err := c.Read(answer); err != nil || string(answer[:n]) != "dns waits" {
		t.Errorf("on the socket of UDP that was passed on: %q, %v\n%s", answer[:n], err, g.log)
	}
	// A listener on the other socket comes, and the first one goes and comes back.
	g.edit(map[string]string{"gateway.yaml": gatewayYAML(ports[1])})
	if code, _ := fetch(t, client, at(ports[1], "/")); code != http.StatusOK {
		t.Errorf("on the second socket: %d", code)
	}
	g.edit(map[string]string{"gateway.yaml": gatewayYAML(ports...)})
	if code, _ := fetch(t, client, at(ports[0], "/")); code != http.StatusOK {
		t.Errorf("on the first socket again: %d", code)
	}
	if out, _, code := program(t, "health", "--admin", g.admin); code != 0 || out != "ok\n" {
		t.Errorf("health: %d %q", code, out)
	}
	g.signal(syscall.SIGTERM)
	for said := ""; !strings.HasPrefix(said, "STOPPING=1\n"); said = m.told() {
		if said != "" && !strings.HasPrefix(said, "READY=1\n") {
			t.Errorf("told %q", said)
		}
	}
	if code := g.exit(); code != 0 {
		t.Errorf("exit status %d", code)
	}
	if _, errs, code := program(t, "health", "--admin", g.admin); code != 1 || !strings.Contains(errs, "no gateway answers at http://"+g.admin) {
		t.Errorf("health of nobody: %d %q", code, errs)
	}
}

func TestHealthOfAGatewayThatIsNotReady(t *testing.T) {
	backend := newBackend(t, func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "not ready: shutting down", http.StatusServiceUnavailable)
	})
	_, errs, code := program(t, "health", "--admin", fmt.Sprintf("127.0.0.1:%d", backend))
	if code != 1 || !strings.HasSuffix(errs, " is not ready: shutting down\n") {
		t.Errorf("%d %q", code, errs)
	}
}

func TestAnUnreachableServiceManagerIsNoReasonNotToServe(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", filepath.Join(t.TempDir(), "nobody"))
	g := startGate(t, map[string]string{"gateway.yaml": gatewayYAML(freePort(t))})
	g.logs("cannot reach the service manager")
}
