// The processes behind an example: its stand-ins, and the program itself.

package examples

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/wicketgate/wicketgate/internal/ports"
)

// echoLine is the command of a stand-in, and echoPort an address in it.
var (
	echoLine = regexp.MustCompile(`(?m)^# wicketgate (echo .*)$`)
	echoPort = regexp.MustCompile(`127\.0\.0\.1:(\d+)`)
)

// startBackends runs the echo servers that the comments of a backends.yaml name, on free ports, and returns the text with those.
func startBackends(t *testing.T, text []byte) []byte {
	t.Helper()
	lines := echoLine.FindAllSubmatch(text, -1)
	if len(lines) == 0 {
		t.Fatal("backends.yaml names no echo server")
	}
	for _, l := range lines {
		command := string(l[1])
		stands := map[string]string{}
		for _, m := range echoPort.FindAllStringSubmatch(command, -1) {
			if stands[m[1]] == "" {
				stands[m[1]] = freePort(t)
			}
		}
		for old, port := range stands {
			word := regexp.MustCompile(`\b` + old + `\b`)
			text, command = word.ReplaceAll(text, []byte(port)), word.ReplaceAllString(command, port)
		}
		output := start(t, strings.Fields(command)...)
		sockets := len(echoPort.FindAllString(command, -1))
		for end := time.Now().Add(time.Minute); strings.Count(output(), " listening on ") < sockets; time.Sleep(10 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("wicketgate %s does not listen", command)
			}
		}
	}
	return text
}

// start runs the binary in the root of the repository until the test ends, and returns what tells its output, which is shown if the test fails.
func start(t *testing.T, args ...string) (output func() string) {
	t.Helper()
	var mu sync.Mutex
	var text bytes.Buffer
	output = func() string {
		mu.Lock()
		defer mu.Unlock()
		return text.String()
	}
	c := exec.Command(gateway, args...)
	c.Dir = ".."
	c.Stdout = &lockedWriter{mu: &mu, w: &text}
	c.Stderr = c.Stdout
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Process.Signal(os.Interrupt)
		kill := time.AfterFunc(time.Minute, func() { _ = c.Process.Kill() })
		err := c.Wait()
		if !kill.Stop() || err != nil {
			t.Errorf("wicketgate %s did not end well: %v", args[0], err)
		}
		if t.Failed() {
			t.Logf("wicketgate %s printed\n%s", strings.Join(args, " "), output())
		}
	})
	return output
}

type lockedWriter struct {
	mu *sync.Mutex
	w  io.Writer
}

func (l *lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

// freePort returns a port that nobody is given before it is used.
func freePort(t *testing.T) string {
	t.Helper()
	port, err := ports.Free()
	if err != nil {
		t.Fatal(err)
	}
	return strconv.Itoa(port)
}
