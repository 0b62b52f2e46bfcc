//go:build linux

// What an idle connection costs in memory: many connections have one exchange each and then do nothing; and what is left when they have gone.

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"time"
)

func idleRows() []row {
	var list []row
	for _, over := range []string{"plain", "tls", "h2c", "websocket"} {
		list = append(list, row{
			Name: "idle-" + over, Run: measureIdle, Kind: "http", Backend: "http", TLS: over == "tls", H2: over == "h2c",
			Load: load{Protocol: over},
		})
		if over == "websocket" {
			list[len(list)-1].Kind = "websocket"
		}
	}
	return list
}

// idleProbe is the load with which it is seen that a proxy serves a kind of connection.
var idleProbe = map[string]string{"plain": "get", "tls": "handshake", "h2c": "h2c", "websocket": "websocket"}

// crowd is the idle connections to one proxy.
type crowd struct {
	*proxy
	conns  int
	load   *exec.Cmd
	leave  io.Closer // when it is closed, they are
	stderr strings.Builder
	mib    [3]float64 // resident memory before them, with them, and after them
}

// measureIdle measures all proxies at once: it is memory that is measured, and most of the time is waiting.
func measureIdle(b *bench, w row) (result, error) {
	probe := w
	probe.Load = load{Path: "/", Tool: ownTool, Protocol: idleProbe[w.Load.Protocol]}
	f, err := b.start(probe)
	if err != nil {
		return result{}, err
	}
	defer f.stop()
	ctx, cancel := context.WithCancel(b.ctx)
	defer cancel()
	crowds := make([]*crowd, 0, len(f.proxies))
	for _, p := range f.proxies {
		crowds = append(crowds, &crowd{proxy: p, conns: b.resting(w, len(f.proxies))})
	}
	steps := []func(*crowd) error{
		func(c *crowd) error { return c.arrive(ctx, b, w) },
		func(c *crowd) error { return c.measure(1) },
		func(c *crowd) error { return errors.Join(c.leave.Close(), c.load.Wait()) },
		func(c *crowd) error { return c.measure(2) },
	}
	for i, step := range steps {
		for _, c := range crowds {
			if err := step(c); err != nil {
				return result{}, fmt.Errorf("%s: %w: %s", c.name, err, c.stderr.String())
			}
		}
		if i%2 == 0 {
			time.Sleep(b.settle)
		}
	}
	return b.idleResult(w, crowds, f.missing), ctx.Err()
}

// resting is how many connections each proxy gets. Upgraded ones are connections of the backend, too, which has those of all proxies at once.
func (b *bench) resting(w row, proxies int) int {
	if w.Load.Protocol == "websocket" {
		return min(b.idle, (b.files-1000)/proxies/100*100)
	}
	return b.idle
}

// arrive opens the connections.
func (c *crowd) arrive(ctx context.Context, b *bench, w row) error {
	if err := c.measure(0); err != nil {
		return err
	}
	c.load = exec.CommandContext(ctx, b.tools.load, "-protocol", "hold", "-over", w.Load.Protocol, "-to", c.listen.String(), "-conns", fmt.Sprint(c.conns))
	c.load.Stderr = &c.stderr
	in, err := c.load.StdinPipe()
	if err != nil {
		return fmt.Errorf("start the load: %w", err)
	}
	c.leave = in
	out, err := c.load.StdoutPipe()
	if err != nil {
		return fmt.Errorf("start the load: %w", err)
	}
	if err := c.load.Start(); err != nil {
		return fmt.Errorf("start the load: %w", err)
	}
	if text, err := bufio.NewReader(out).ReadString('\n'); err != nil || text != fmt.Sprintln(c.conns) {
		return fmt.Errorf("the load said %q: %w", text, errors.Join(err, c.leave.Close(), c.load.Wait()))
	}
	return nil
}

func (c *crowd) measure(step int) (err error) {
	c.mib[step], err = residentMiB(c.pid)
	return err
}

// idleResult is the row's table.
func (b *bench) idleResult(w row, crowds []*crowd, missing map[string]string) result {
	r := result{row: w, Missing: missing}
	var t strings.Builder
	fmt.Fprintf(&t, "Resident memory that each of %d connections (%s) adds, %v after they have had one exchange each; then %v after all were closed,\nand what of that is still there.\n\n",
		crowds[0].conns, w.Load.Protocol, b.settle, b.settle)
	t.WriteString("| proxy | KiB a connection | RSS before, MiB | with the connections | after them |\n|---|---|---|---|---|\n")
	for _, c := range crowds {
		line := fmt.Sprintf("| %s | %.1f | %.1f | %.1f | %.1f |\n", c.name, (c.mib[1]-c.mib[0])*1024/float64(c.conns), c.mib[0], c.mib[1], c.mib[2])
		fmt.Fprintf(b.out, "%s %s", w.Name, line)
		t.WriteString(line)
	}
	for name, why := range missing {
		fmt.Fprintf(&t, "| %s | %s | | | |\n", name, why)
	}
	r.Table = t.String()
	return r
}
