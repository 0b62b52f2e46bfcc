//go:build linux

// Real clients and servers through the examples: where a stand-in was, the protocol's own server is, and its own client comes.

package examples

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// needTools skips a test where tools may be missing.
func needTools(t *testing.T, tools string) {
	t.Helper()
	if os.Getenv("WICKETGATE_TEST_TOOLS") == "" {
		t.Skipf("needs %s: make test-all", tools)
	}
}

// daemon runs a server until the test ends. It is ready when its port is listened on.
func daemon(t *testing.T, port string, args ...string) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	c := exec.CommandContext(ctx, args[0], args[1:]...)
	c.Cancel = func() error { return c.Process.Signal(os.Interrupt) }
	c.WaitDelay = 20 * time.Second
	var log bytes.Buffer
	c.Stdout, c.Stderr = &log, &log
	if err := c.Start(); err != nil {
		cancel()
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = c.Wait() // it was told to end
		if t.Failed() {
			t.Logf("%s printed\n%s", args[0], log.String())
		}
	})
	for end := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		if conn, err := net.Dial("tcp", "127.0.0.1:"+port); err == nil {
			_ = conn.Close()
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%s does not listen", args[0])
		}
	}
}

// served runs an example whose stand-in for a port is a server at another one, and returns the ports of its listeners.
func served(t *testing.T, name, stub, port, listener string) *example {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(name, "backends.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), name)
	if err := os.CopyFS(dir, os.DirFS(name)); err != nil {
		t.Fatal(err)
	}
	text = regexp.MustCompile(`(?m)^(.*port: )`+stub+`$`).ReplaceAll(text, []byte("${1}"+port))
	if err := os.WriteFile(filepath.Join(dir, "backends.yaml"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	e := &example{ports: map[string]string{listener: freePort(t)}}
	admin := "127.0.0.1:" + freePort(t)
	start(t, "run", "--config", dir, "--admin", admin, "--state-dir", t.TempDir(), "--port-map", listener+"="+e.ports[listener])
	await(t, "http://"+admin+"/readyz")
	return e
}

// says runs a command and fails unless it prints all of these.
func says(t *testing.T, command string, want ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	c := exec.CommandContext(ctx, "sh", "-c", command)
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	c.Cancel = func() error { return syscall.Kill(-c.Process.Pid, syscall.SIGKILL) } // what the shell has started, too
	out, err := c.CombinedOutput()
	if err != nil {
		t.Errorf("%s: %v\n%s", command, err, out)
		return
	}
	for _, w := range want {
		if !strings.Contains(string(out), w) {
			t.Errorf("%s printed, without %q,\n%s", command, w, out)
		}
	}
}

func TestToolsMariaDB(t *testing.T) {
	needTools(t, "MariaDB")
	dir, port := t.TempDir(), freePort(t)
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	args := fmt.Sprintf("--no-defaults --user=root --datadir=%s/data --innodb-log-file-size=8M --innodb-flush-method=nosync", dir)
	says(t, "mkdir "+dir+"/data && mariadb-install-db "+args+" --auth-root-authentication-method=normal --skip-test-db --skip-name-resolve")
	daemon(t, port, append([]string{"mariadbd"}, append(strings.Fields(args),
		"--bind-address=127.0.0.1", "--port="+port, "--socket="+dir+"/socket", "--pid-file="+dir+"/pid", "--skip-name-resolve", "--max-allowed-packet=64M")...)...)
	e := served(t, "mysql", "3201", port, "3306")
	client := fmt.Sprintf("mariadb --no-defaults --protocol=TCP -h127.0.0.1 -P%s -uroot --max-allowed-packet=64M -BN", e.ports["3306"])
	says(t, client+" -e 'SELECT 6*7'", "42")
	says(t, client+" -e 'CREATE DATABASE shop; CREATE TABLE shop.t (id INT, v LONGTEXT); INSERT INTO shop.t VALUES (1, REPEAT(\"x\", 20000000))'")
	says(t, client+" -e 'SELECT v FROM shop.t' | wc -c", "20000001") // the answer is splice's
	says(t, `(printf 'INSERT INTO shop.t VALUES (2, "'; head -c 8000000 /dev/zero | tr '\0' y; printf '");') | `+client)
	says(t, client+` -e 'SELECT id, LENGTH(v), MD5(v)=MD5(REPEAT("y", 8000000)) FROM shop.t WHERE id=2'`, "2\t8000000\t1")
}

func TestToolsRedis(t *testing.T) {
	needTools(t, "Redis")
	port := freePort(t)
	daemon(t, port, "redis-server", "--bind", "127.0.0.1", "--port", port, "--save", "", "--dir", t.TempDir())
	e := served(t, "mysql", "3201", port, "3306") // a TCPRoute does not mind what it carries
	benchmark := "redis-benchmark -h 127.0.0.1 -p " + e.ports["3306"] + " -q "
	says(t, benchmark+"-t set,get -c 50 -n 10000", "SET:", "GET:")
	says(t, benchmark+"-t set,get -c 10 -P 16 -n 20000 -d 4096", "SET:", "GET:")
	says(t, benchmark+"-t lrange_600 -c 10 -n 1000", "LRANGE_600")
	says(t, benchmark+"-t ping -c 20 -n 2000 -k 0", "PING_") // a connection for each
	says(t, "redis-cli -p "+e.ports["3306"]+" SET greeting hello && redis-cli -p "+e.ports["3306"]+" GET greeting", "OK", "hello")
}

func TestToolsDNS(t *testing.T) {
	needTools(t, "dnsmasq, dig and dnsperf")
	port, dir := freePort(t), t.TempDir()
	daemon(t, port, "dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--user=root", "--bind-interfaces",
		"--listen-address=127.0.0.1", "--port="+port, "--address=/shop.example.com/192.0.2.7", "--txt-record=large.example.com,"+
			strings.Repeat(strings.Repeat("x", 250)+",", 12)+"end")
	e := served(t, "dns", "3211", port, "53")
	dig := "dig @127.0.0.1 -p " + e.ports["53"] + " +tries=1 "
	says(t, dig+"shop.example.com A", "192.0.2.7", "(UDP)")
	says(t, dig+"+tcp shop.example.com A", "192.0.2.7", "(TCP)")
	says(t, dig+"+bufsize=512 large.example.com TXT", "Truncated, retrying in TCP mode", `"end"`)
	queries := filepath.Join(dir, "queries")
	if err := os.WriteFile(queries, []byte("shop.example.com A\nlarge.example.com TXT\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	perf := "dnsperf -s 127.0.0.1 -p " + e.ports["53"] + " -d " + queries
	says(t, perf+" -c 20 -q 50 -n 2000", "Queries completed:    4000 (100.00%)", "Queries lost:         0 (0.00%)")
	// dnsmasq closes a connection after 100 questions.
	says(t, perf+" -m tcp -c 5 -q 20 -n 100", "Queries completed:    200 (100.00%)", "Queries lost:         0 (0.00%)")
}

func TestToolsOpenSSL(t *testing.T) {
	needTools(t, "openssl")
	port := freePort(t)
	daemon(t, port, "openssl", "s_server", "-quiet", "-accept", "127.0.0.1:"+port, "-cert", "tls-passthrough/app.crt", "-key", "tls-passthrough/app.key", "-rev",
		"-alpn", "postgresql")
	e := served(t, "tls-passthrough", "3221", port, "443")
	connect := " | openssl s_client -connect 127.0.0.1:" + e.ports["443"] + " -CAfile tls-passthrough/app.crt -verify_return_error"
	// The client leaves when its input ends: not before it has heard the answer.
	answer := filepath.Join(t.TempDir(), "answer")
	client := ": > " + answer + "; (echo live; n=0; until grep -q evil " + answer + " || [ $((n += 1)) -gt 500 ]; do sleep 0.1; done)" + connect
	heard, refused := " | tee "+answer, "echo live"+connect
	for _, version := range []string{"-tls1_2", "-tls1_3", "-groups P-521:X25519"} {
		says(t, client+" -servername app.example.com -alpn postgresql "+version+heard, "evil", "ALPN protocol: postgresql", "Verify return code: 0 (ok)")
	}
	// The hello of these names comes in two records, and is read all the same.
	says(t, client+" -servername app.example.com -alpn "+strings.Repeat("a-protocol-with-a-long-name,", 30)+"postgresql -max_send_frag 512"+heard, "evil")
	for _, name := range []string{"-servername other.example.com", "-noservername"} {
		says(t, refused+" "+name+" 2>&1 || true", "no peer certificate available")
	}
}
