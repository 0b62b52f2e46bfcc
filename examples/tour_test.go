//go:build unix

// The README's tour, command by command: its sh blocks are run in one shell, and each prints what the README promises.

package examples

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

var shellBlock = regexp.MustCompile("(?ms)^```sh\n(.*?)^```$")

// echoListens is an address in a command that starts an echo server.
var echoListens = regexp.MustCompile(`wicketgate echo --listen (\S+)`)

// untilServed waits until exactly what the directory holds is served.
const untilServed = `until curl -sf -o /dev/null http://localhost:9080/readyz; do sleep 0.1; done
digest=$(cd site && sha256sum *.yaml | sha256sum | cut -d ' ' -f 1)
curl -sSf -o /dev/null "http://localhost:9080/reload?timeout=2m&wait=$digest"
`

func TestToolsTour(t *testing.T) {
	if os.Getenv("WICKETGATE_TEST_TOOLS") == "" {
		t.Skip("needs curl, openssl and the ports 3000, 3001, 8080, 8443 and 9080: make test-all")
	}
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := shellBlock.FindAllSubmatch(readme, -1)
	if len(blocks) < 5 {
		t.Fatalf("the README has %d blocks of commands", len(blocks))
	}
	// A person takes a moment between two blocks: until what was started listens, and what was edited is served. The first block's build is this
	// test's own.
	script, running := "export LC_ALL=C PATH="+filepath.Dir(gateway)+":$PATH\n", false
	for _, b := range blocks {
		for line := range strings.Lines(string(b[1])) {
			if line != "make build\n" && !strings.HasPrefix(line, "export PATH=") {
				script += line
			}
		}
		for _, at := range echoListens.FindAllSubmatch(b[1], -1) {
			script += "until curl -s -o /dev/null http://" + string(at[1]) + "/; do sleep 0.1; done\n"
		}
		if running = running || bytes.Contains(b[1], []byte("wicketgate run ")); running {
			script += untilServed
		}
	}
	got := runShell(t, script)
	for _, want := range []string{
		`"path": "/hello"`,
		`"name": "old"`,
		`"name": "new"`,
		`"X-Forwarded-Proto": [`,
		`gateway.gateway.networking.k8s.io/web`,
		"\nTrue\n",
		`wicketgate_http_requests_total{code="200",gateway="default/web",listener="http",route="default/app"`,
		`site/app.yaml:9:5: HTTPRoute default/app: spec.rules[0].backends: unknown field (did you mean "backendRefs"?)`,
	} {
		at := strings.Index(got, want)
		if at < 0 {
			t.Fatalf("%q is missing, or comes too early, in\n%s", want, got)
		}
		got = got[at+len(want):]
	}
	if !strings.Contains(got, `"name": "`) {
		t.Errorf("after the mistake nothing is served any more:\n%s", got)
	}
}

// runShell runs a script in an empty directory, ends whatever it left in the background, and returns what it printed.
func runShell(t *testing.T, script string) string {
	t.Helper()
	c := exec.Command("sh")
	c.Dir = t.TempDir()
	c.Stdin = strings.NewReader(script)
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // so that all of it can be ended
	var out bytes.Buffer
	c.Stdout = &out
	log, err := os.Create(filepath.Join(c.Dir, "stderr"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	c.Stderr = log
	// Wait would wait for the background processes, too: they have standard output. They are ended once the script is through.
	c.WaitDelay = time.Second
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	group := c.Process.Pid
	limit := time.AfterFunc(5*time.Minute, func() { _ = syscall.Kill(-group, syscall.SIGKILL) })
	state, err := c.Process.Wait()
	limit.Stop()
	_ = syscall.Kill(-group, syscall.SIGTERM)
	_ = c.Wait() // the copy of standard output ends with the last process
	if err != nil || t.Failed() {
		text, _ := os.ReadFile(log.Name())
		t.Logf("%v, %v\n%s", state, err, text)
	}
	return out.String()
}
