//go:build linux

// The field of a row: the backend and every proxy that is there, each on a free port.

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/wicketgate/wicketgate/internal/ports"
)

// proxy is a running proxy.
type proxy struct {
	name   string
	pid    int
	listen netip.AddrPort
	scale  int
}

// field is what runs during a row. It owns the processes: stop ends them.
type field struct {
	dir       string
	backend   netip.AddrPort
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
		kill := time.AfterFunc(2*time.Second, func() { _ = c.Process.Kill() })
		_ = c.Wait()
		kill.Stop()
	}
	for _, l := range f.logs {
		_ = l.Close()
	}
	_ = os.RemoveAll(f.dir)
}

// log is what a proxy said.
func (f *field) log(name string) string {
	text, _ := os.ReadFile(filepath.Join(f.dir, name+".log"))
	return string(text[:min(len(text), 4096)])
}

// start brings up the backend and the proxies for a row. A peer that is not installed is recorded as missing; a gateway that
// does not start is an error.
func (b *bench) start(w row) (*field, error) {
	f, err := b.startBackend(w)
	if err != nil {
		return nil, err
	}
	list := w.Peers
	if list == nil {
		list = standardPeers()
	}
	for _, p := range list {
		if err := b.startPeer(f, w, p); err != nil {
			f.stop()
			return nil, err
		}
	}
	return f, nil
}

// startBackend makes a field without proxies.
func (b *bench) startBackend(w row) (*field, error) {
	dir, err := os.MkdirTemp(b.dir, "row-")
	if err != nil {
		return nil, fmt.Errorf("make a directory: %w", err)
	}
	// nginx's workers, which are another user's if it was started as root, make their temporary files there.
	if err := errors.Join(os.Chmod(b.dir, 0o755), os.Chmod(dir, 0o777)); err != nil {
		return nil, fmt.Errorf("make a directory: %w", err)
	}
	f := &field{dir: dir, backend: freePort(), missing: map[string]string{}}
	if _, err := f.launch(b.ctx, "backend", append(pin(w, 1), b.tools.backend, w.Backend, f.backend.String())); err != nil {
		f.stop()
		return nil, err
	}
	return f, nil
}

func (b *bench) startPeer(f *field, w row, p peer) error {
	if p.unable != nil {
		if why := p.unable(w); why != "" {
			f.missing[p.name] = why
			return nil
		}
	}
	path, err := exec.LookPath(p.program(b))
	if err != nil && p.program(b) != b.settings.gateway {
		f.missing[p.name] = "not installed"
		return nil
	}
	if err != nil {
		return fmt.Errorf("%s: %w (run `make build` first)", p.name, err)
	}
	listen := freePort()
	args, err := p.config(b, w, f.dir, listen, f.backend)
	if err != nil {
		return err
	}
	pid, err := f.launch(b.ctx, p.name, append(append(pin(w, 0), path), args...))
	if err != nil {
		return err
	}
	running := &proxy{name: p.name, pid: pid, listen: listen, scale: min(p.scale, b.most)}
	if err := b.await(w, running); err != nil {
		return fmt.Errorf("%s does not serve: %w\n%s", p.name, err, f.log(p.name))
	}
	f.proxies = append(f.proxies, running)
	return nil
}

// launch starts a process with its output in a file. taskset replaces itself with what it starts, so that the pid is the proxy's.
func (f *field) launch(ctx context.Context, name string, args []string) (int, error) {
	log, err := os.Create(filepath.Join(f.dir, name+".log"))
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

// await tries the row's protocol until it is answered rightly, for five minutes at most: a start with 100,000 routes takes its time.
func (b *bench) await(w row, p *proxy) error {
	probe := w
	probe.Share, probe.Load.Conns, probe.Load.Streams = 0, 1, 1
	switch {
	case w.Kind == "h3":
	case w.TLS:
		probe.Load.Tool, probe.Load.Protocol, probe.Load.Resume = ownTool, "handshake", false
	case w.Kind == "http":
		probe.Load.Tool = ownTool
		if w.Load.Protocol == "" {
			probe.Load.Protocol = map[string]string{"/": "get", "/64k": "get64k"}[w.Load.Path]
		}
	}
	deadline := time.Now().Add(5 * time.Minute)
	for {
		got, err := b.generate(probe, p, 100*time.Millisecond)
		if err == nil && got.Errors == 0 || b.ctx.Err() != nil {
			return b.ctx.Err()
		}
		if time.Now().After(deadline) || !alive(p.pid) {
			return errors.Join(err, errors.New(got.LastError))
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// alive reports whether a process that we started still runs: one that has ended stays as a zombie until stop waits for it.
func alive(pid int) bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && !bytes.Contains(text, []byte(") Z "))
}

// pin is the command that keeps a process on one CPU in a pinned row, and nothing otherwise.
func pin(w row, cpu int) []string {
	if !w.Pinned {
		return nil
	}
	return []string{"taskset", "-c", fmt.Sprint(cpu)}
}

// freePort finds a loopback port that nobody is given before it is used. It waits while there is none.
func freePort() netip.AddrPort {
	for {
		port, err := ports.Free()
		if err == nil {
			return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), uint16(port))
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// needTools says which programs the benchmark cannot do without.
func needTools() error {
	for _, tool := range []string{"wrk", "h2load", "taskset", "go"} {
		if _, err := exec.LookPath(tool); err != nil {
			return errors.Join(errors.New("the benchmark needs "+tool), err)
		}
	}
	return nil
}
