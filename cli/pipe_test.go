// The gateway and whoever reads its logs: it does not end with them.

package cli

import (
	"bufio"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// TestTheGatewayOutlivesTheReadersOfItsLogs is `wicketgate run 2>&1 | head`, or a program that ships logs and is restarted.
func TestTheGatewayOutlivesTheReadersOfItsLogs(t *testing.T) {
	port := freePort(t)
	g := &gate{t: t, dir: t.TempDir(), log: &output{}, ended: make(chan struct{}), admin: fmt.Sprintf("127.0.0.1:%d", freePort(t))}
	g.put(map[string]string{"gateway.yaml": gatewayYAML(port), "one.yaml": routeYAML("one", "/one", newBackend(t, saying("one")))})
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	g.cmd = exec.Command(binary, "run", "--config", g.dir, "--admin", g.admin, "--state-dir", "none", "--access-log", "-")
	g.cmd.Stdout, g.cmd.Stderr = w, w
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
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	for lines := bufio.NewScanner(r); !strings.Contains(lines.Text(), "configuration served"); {
		if !lines.Scan() {
			t.Fatalf("the log ends before the gateway is ready: %v", lines.Err())
		}
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	for range 3 { // each of them is a line in both logs
		if code, body := fetch(t, client, at(port, "/nothing")); code != http.StatusNotFound {
			t.Fatalf("%d %s", code, body)
		}
		g.reload("POST /reload")
	}
	if code, body := fetch(t, client, at(port, "/one")); code != http.StatusOK || body != "one" {
		t.Errorf("%d %s", code, body)
	}
	g.signal(syscall.SIGTERM)
	if code := g.exit(); code != 0 {
		t.Errorf("exit status %d", code)
	}
}
