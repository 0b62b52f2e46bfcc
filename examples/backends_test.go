// The processes behind an example: its stand-ins, and the program itself.

package examples

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
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
		ports := map[string]string{}
		for _, m := range echoPort.FindAllStringSubmatch(command, -1) {
			if ports[m[1]] == "" {
				ports[m[1]] = freePort(t)
			}
		}
		for old, port := range ports {
			word := regexp.MustCompile(`\b` + old + `\b`)
			text, command = word.ReplaceAll(text, []byte(port)), word.ReplaceAllString(command, port)
		}
		output := start(t, strings.Fields(command)...)
		sockets := len(echoPort.FindAllString(command, -1))
		for end := time.Now().Add(30 * time.Second); strings.Count(output(), " listening on ") < sockets; time.Sleep(10 * time.Millisecond) {
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
		kill := time.AfterFunc(10*time.Second, func() { _ = c.Process.Kill() })
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

// given are the ports that freePort has handed out.
var given sync.Map

// freePort finds a port that nobody listens on and that was not handed out before, outside the range from which the system picks the
// ports of outgoing connections.
func freePort(t *testing.T) string {
	t.Helper()
	for range 1000 {
		port := fmt.Sprint(10_000 + rand.IntN(20_000))
		if _, taken := given.LoadOrStore(port, true); taken {
			continue
		}
		l, err := net.Listen("tcp", ":"+port)
		if err != nil {
			continue
		}
		_ = l.Close()
		c, err := net.ListenPacket("udp", ":"+port)
		if err != nil {
			continue
		}
		_ = c.Close()
		return port
	}
	t.Fatal("no port is free")
	return ""
}
