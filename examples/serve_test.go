// The examples as a person runs them, with sh, curl, nc and openssl: serve.sh prints commands, and those work.

package examples

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/wicketgate/wicketgate/internal/patient"
)

func TestToolsPrintedCommandsWork(t *testing.T) {
	if os.Getenv("WICKETGATE_TEST_TOOLS") == "" {
		t.Skip("needs curl, nc, openssl and the ports 3306, 8053, 8080 and 8443: make test-all")
	}
	// One after the other: all examples serve the same ports.
	for _, name := range names(t) {
		t.Run(name, func(t *testing.T) {
			for _, line := range serveByScript(t, name) {
				line = strings.Replace(line, "curl ", "curl -sS -m 30 ", 1)
				// On a busy machine the echo servers may take longer to start than the gateway, and clients that leave after a second come again.
				patient.Until(t, line+" is answered", func() bool {
					c := exec.CommandContext(t.Context(), "sh", "-c", line)
					c.Dir = ".."
					text, err := c.CombinedOutput()
					if err == nil && answered(line, string(text)) {
						return true
					}
					t.Logf("%s: %v\n%s", line, err, text)
					return false
				})
			}
		})
	}
}

// answered reports whether an echo server has said something, or the gateway in its place; what is no request comes back.
func answered(line, text string) bool {
	if _, said, ok := strings.Cut(line, "echo "); ok {
		said, _, _ = strings.Cut(strings.Trim(said, "'"), "'")
		said, _, _ = strings.Cut(said, " |")
		return strings.Contains(text, said)
	}
	return strings.Contains(text, `"name": "`) || strings.Contains(text, "HTTP/")
}

// serveByScript runs serve.sh until the test ends and returns the commands that it prints, once they can be tried.
func serveByScript(t *testing.T, name string) []string {
	t.Helper()
	// Not the test's context: its end would kill the shell, and the shell could not end what it started.
	admin := "127.0.0.1:" + freePort(t)
	c := exec.Command("sh", "examples/serve.sh", "examples/"+name, "--admin", admin)
	c.Dir = ".."
	c.Env = append(os.Environ(), "WICKETGATE="+gateway)
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	c.Stderr = log
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Process.Signal(syscall.SIGTERM)
		_ = c.Wait() // 143: it was told to end
		if text, err := os.ReadFile(log.Name()); err == nil && t.Failed() {
			t.Logf("serve.sh printed\n%s", text)
		}
		_ = log.Close()
	})
	var lines []string
	for scan := bufio.NewScanner(out); scan.Scan(); {
		line := strings.TrimSpace(scan.Text())
		if strings.HasPrefix(line, "curl ") || strings.HasPrefix(line, "echo ") || strings.HasPrefix(line, "(echo ") {
			lines = append(lines, line)
		} else if line == "" && len(lines) > 0 {
			break
		}
	}
	if len(lines) == 0 {
		t.Fatal("serve.sh printed no command")
	}
	await(t, "http://"+admin+"/readyz")
	return lines
}
