//go:build linux

// The field of a row: the backend and every proxy that is installed, each on a free port, with configurations made from peers/.

package main

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"text/template"
	"time"
)

//go:embed peers
var templates embed.FS

// proxy is a running proxy.
type proxy struct {
	name   string
	pid    int
	listen netip.AddrPort
}

func (p *proxy) url(w row) string { return "http://" + p.listen.String() + w.Path }

// field is what runs during a row. It owns the processes: stop ends them.
type field struct {
	proxies   []*proxy
	missing   map[string]string
	processes []*exec.Cmd
	logs      []*os.File
}

// stop ends everything that was started, and waits for it.
func (f *field) stop() {
	for _, c := range f.processes {
		_ = c.Process.Signal(syscall.SIGTERM)
	}
	for _, c := range f.processes {
		kill := time.AfterFunc(5*time.Second, func() { _ = c.Process.Kill() })
		_ = c.Wait()
		kill.Stop()
	}
	for _, l := range f.logs {
		_ = l.Close()
	}
}

// peer says how a proxy is started.
type peer struct {
	name, program, template string
	args                    func(config string) []string
}

// peers lists the proxies; the first is the reference of all ratios.
func peers(gateway string) []peer {
	return []peer{
		{"nginx", "nginx", "nginx.conf", func(c string) []string { return []string{"-c", c} }},
		{"haproxy", "haproxy", "haproxy.cfg", func(c string) []string { return []string{"-db", "-f", c} }},
		{"wicketgate", gateway, "wicketgate.yaml", func(c string) []string {
			return []string{"run", "--config", c, "--admin", freePort().String(), "--state-dir", "none"}
		}},
	}
}

// start brings up the backend and the proxies for a row. A peer that is not installed is recorded as missing; a gateway that
// does not start is an error.
func start(ctx context.Context, dir, gateway string, w row) (*field, error) {
	f := &field{missing: map[string]string{}}
	if err := f.startAll(ctx, dir, gateway, w); err != nil {
		f.stop()
		return nil, err
	}
	return f, nil
}

func (f *field) startAll(ctx context.Context, dir, gateway string, w row) error {
	program := filepath.Join(dir, "backend")
	if text, err := exec.CommandContext(ctx, "go", "build", "-o", program, "./bench/backend").CombinedOutput(); err != nil {
		return fmt.Errorf("build the backend: %w: %s", err, text)
	}
	backend := freePort()
	if _, err := f.launch(ctx, dir, "backend", append(pin(w, 1), program, backend.String())); err != nil {
		return err
	}
	if err := await(ctx, backend, w); err != nil {
		return fmt.Errorf("the backend: %w", err)
	}
	for _, p := range peers(gateway) {
		path, err := exec.LookPath(p.program)
		if err != nil && p.name != "wicketgate" {
			f.missing[p.name] = "not installed"
			continue
		}
		if err != nil {
			return fmt.Errorf("%s: %w (run `make build` first)", p.program, err)
		}
		listen := freePort()
		config, err := render(dir, p, listen, backend, w)
		if err != nil {
			return err
		}
		pid, err := f.launch(ctx, dir, p.name, append(append(pin(w, 0), path), p.args(config)...))
		if err != nil {
			return err
		}
		if err := await(ctx, listen, w); err != nil {
			log, _ := os.ReadFile(filepath.Join(dir, p.name+".log"))
			return fmt.Errorf("%s does not serve: %w\n%s", p.name, err, log)
		}
		f.proxies = append(f.proxies, &proxy{name: p.name, pid: pid, listen: listen})
	}
	return nil
}

// launch starts a process with its output in a file. taskset replaces itself with what it starts, so that the pid is the proxy's.
func (f *field) launch(ctx context.Context, dir, name string, args []string) (int, error) {
	log, err := os.Create(filepath.Join(dir, name+".log"))
	if err != nil {
		return 0, fmt.Errorf("log of %s: %w", name, err)
	}
	f.logs = append(f.logs, log)
	c := exec.CommandContext(ctx, args[0], args[1:]...)
	c.Stdout, c.Stderr = log, log
	if err := c.Start(); err != nil {
		return 0, fmt.Errorf("start %s: %w", name, err)
	}
	f.processes = append(f.processes, c)
	return c.Process.Pid, nil
}

// render makes a proxy's configuration from its template.
func render(dir string, p peer, listen, backend netip.AddrPort, w row) (string, error) {
	text, err := templates.ReadFile("peers/" + p.template + ".tmpl")
	if err != nil {
		return "", fmt.Errorf("configuration of %s: %w", p.name, err)
	}
	t, err := template.New(p.name).Parse(string(text))
	if err != nil {
		return "", fmt.Errorf("configuration of %s: %w", p.name, err)
	}
	workers := 2
	if w.Pinned {
		workers = 1
	}
	var b strings.Builder
	if err := t.Execute(&b, map[string]any{
		"Dir": dir, "Workers": workers,
		"Listen": listen, "Host": listen.Addr(), "Port": listen.Port(),
		"Backend": backend, "BackendHost": backend.Addr(), "BackendPort": backend.Port(),
	}); err != nil {
		return "", fmt.Errorf("configuration of %s: %w", p.name, err)
	}
	path := filepath.Join(dir, p.template)
	if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
		return "", fmt.Errorf("configuration of %s: %w", p.name, err)
	}
	return path, nil
}

// await asks for the row's path until it is answered with 200 and the right length, for ten seconds at most.
func await(ctx context.Context, addr netip.AddrPort, w row) error {
	want := int64(128)
	if w.Path == "/64k" {
		want = 64 << 10
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for {
		err := ask(ctx, "http://"+addr.String()+w.Path, want)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// ask gets url and compares the length of what comes.
func ask(ctx context.Context, url string, want int64) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return fmt.Errorf("make a request: %w", err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("get: %w", err)
	}
	defer res.Body.Close()
	n, err := io.Copy(io.Discard, res.Body)
	if err != nil {
		return fmt.Errorf("read: %w", err)
	}
	if res.StatusCode != http.StatusOK || n != want {
		return fmt.Errorf("%s: %s with %d bytes, not 200 with %d", url, res.Status, n, want)
	}
	return nil
}

// pin is the command that keeps a process on one CPU in a pinned row, and nothing otherwise.
func pin(w row, cpu int) []string {
	if !w.Pinned {
		return nil
	}
	return []string{"taskset", "-c", fmt.Sprint(cpu)}
}

// freePort finds a loopback port that is free now, outside the range from which the system picks the ports of the load's connections.
func freePort() netip.AddrPort {
	loopback := netip.AddrFrom4([4]byte{127, 0, 0, 1})
	for {
		addr := netip.AddrPortFrom(loopback, uint16(10_000+rand.IntN(20_000)))
		l, err := net.ListenTCP("tcp4", net.TCPAddrFromAddrPort(addr))
		if err == nil {
			_ = l.Close()
			return addr
		}
	}
}

// needTools says which programs the benchmark cannot do without.
func needTools() error {
	for _, tool := range []string{"wrk", "taskset", "go"} {
		if _, err := exec.LookPath(tool); err != nil {
			return errors.Join(errors.New("the benchmark needs "+tool), err)
		}
	}
	return nil
}
