//go:build linux

// What an idle connection costs in memory: many connections have one exchange each and then do nothing.

package main

import (
	"bufio"
	"context"
	"fmt"
	"os/exec"
	"strings"
	"time"
)

// settle is how long the proxies have for giving memory back.
const settle = 3 * time.Second

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

func measureIdle(b *bench, w row) (result, error) {
	r := result{row: w, Missing: map[string]string{}}
	var t strings.Builder
	fmt.Fprintf(&t, "Resident memory that each of %d connections (%s) adds, %v after it has had one exchange; then %v after all were closed,\nabove what it was before.\n\n",
		b.idle, w.Load.Protocol, settle, settle)
	t.WriteString("| proxy | KiB a connection | RSS before, MiB | with the connections | after them |\n|---|---|---|---|---|\n")
	for _, p := range standardPeers() {
		line, err := b.idleOf(w, p)
		if err != nil {
			return r, fmt.Errorf("%s: %w", p.name, err)
		}
		fmt.Fprintf(b.out, "%s %s", w.Name, line)
		t.WriteString(line)
	}
	r.Table = t.String()
	return r, nil
}

// idleOf measures one proxy, alone.
func (b *bench) idleOf(w row, p peer) (string, error) {
	probe := w
	probe.Peers = []peer{p}
	probe.Load = load{Path: "/", Tool: ownTool, Protocol: map[string]string{"plain": "get", "tls": "handshake", "h2c": "h2c", "websocket": "websocket"}[w.Load.Protocol]}
	f, err := b.start(probe)
	if err != nil {
		return "", err
	}
	defer f.stop()
	if why, ok := f.missing[p.name]; ok {
		return fmt.Sprintf("| %s | %s | | | |\n", p.name, why), nil
	}
	pid := f.proxies[0].pid
	var mib [3]float64
	if mib[0], err = residentMiB(pid); err != nil {
		return "", err
	}
	ctx, cancel := context.WithCancel(b.ctx)
	defer cancel()
	c := exec.CommandContext(ctx, b.tools.load, "-protocol", "hold", "-over", w.Load.Protocol, "-to", f.proxies[0].listen.String(), "-conns", fmt.Sprint(b.idle))
	in, err := c.StdinPipe()
	if err != nil {
		return "", fmt.Errorf("start the load: %w", err)
	}
	out, err := c.StdoutPipe()
	if err != nil {
		return "", fmt.Errorf("start the load: %w", err)
	}
	var stderr strings.Builder
	c.Stderr = &stderr
	if err := c.Start(); err != nil {
		return "", fmt.Errorf("start the load: %w", err)
	}
	text, _ := bufio.NewReader(out).ReadString('\n')
	time.Sleep(settle)
	if mib[1], err = residentMiB(pid); err != nil {
		return "", err
	}
	_ = in.Close()
	if err := c.Wait(); err != nil || text != fmt.Sprintln(b.idle) {
		return "", fmt.Errorf("the load: %w: %q %s", err, text, stderr.String())
	}
	time.Sleep(settle)
	if mib[2], err = residentMiB(pid); err != nil {
		return "", err
	}
	return fmt.Sprintf("| %s | %.1f | %.1f | %.1f | %.1f |\n", p.name, (mib[1]-mib[0])*1024/float64(b.idle), mib[0], mib[1], mib[2]), nil
}
