//go:build linux

// What the first start of a new user costs: examples/quickstart, on free ports.

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// firstStart is one start, until the first request was served.
type firstStart struct {
	took, cpu float64 // milliseconds
	rss       float64 // MiB
}

// measureQuickstart is the row: starts on a clean machine, each followed by one that finds what it left.
func measureQuickstart(b *bench, w row) (result, error) {
	r := result{row: w}
	f, err := b.startBackend(w)
	if err != nil {
		return r, err
	}
	defer f.stop()
	g := sized{field: f, dir: filepath.Join(f.dir, "config"), listen: freePort(), admin: freePort()}
	if err := g.copyQuickstart("examples/quickstart"); err != nil {
		return r, err
	}
	var clean, again []firstStart
	for i := range b.settings.rounds {
		g.args = []string{
			b.settings.gateway, "run", "--config", g.dir, "--admin", g.admin.String(), "--state-dir", filepath.Join(f.dir, fmt.Sprint("state", i)),
		}
		for _, list := range []*[]firstStart{&clean, &again} {
			s, err := g.firstStart(b)
			if err != nil {
				return r, err
			}
			*list = append(*list, s)
		}
	}
	var t strings.Builder
	t.WriteString("The configuration of examples/quickstart. The time is from the launch of the process to the first request that is answered by a backend,\n")
	t.WriteString("asked for every 2 ms, and CPU is what the process used until then; medians [quartiles]. *Again* finds the state directory of the start before.\n\n")
	t.WriteString("| start | first request served, ms | aim | CPU ms | RSS MiB |\n|---|---|---|---|---|\n")
	line := func(name string, aim int, list []firstStart) {
		var took, cpu, rss []float64
		for _, s := range list {
			took, cpu, rss = append(took, s.took), append(cpu, s.cpu), append(rss, s.rss)
		}
		fmt.Fprintf(&t, "| %s | %.0f [%.0f-%.0f] | %d | %.0f | %.0f |\n", name, quantile(took, 0.5), quantile(took, 0.25), quantile(took, 0.75), aim,
			quantile(cpu, 0.5), quantile(rss, 0.5))
	}
	line("clean", 1000, clean)
	line("again", 300, again)
	r.Table = t.String()
	return r, nil
}

// copyQuickstart makes the configuration of the example, on this machine's free ports.
func (g *sized) copyQuickstart(from string) error {
	if err := os.Mkdir(g.dir, 0o700); err != nil {
		return fmt.Errorf("make a directory: %w", err)
	}
	ports := strings.NewReplacer("8080", fmt.Sprint(g.listen.Port()), "3001", fmt.Sprint(g.backend.Port()), "3002", fmt.Sprint(g.backend.Port()))
	for _, name := range []string{"gateway.yaml", "backends.yaml"} {
		text, err := os.ReadFile(filepath.Join(from, name))
		if err != nil {
			return fmt.Errorf("read the example: %w", err)
		}
		if err := write(g.dir, name, ports.Replace(string(text))); err != nil {
			return err
		}
	}
	return nil
}

// firstStart starts the gateway, and ends it when it has served.
func (g *sized) firstStart(b *bench) (s firstStart, err error) {
	pid, start, err := g.begin(b.ctx)
	if err != nil {
		return s, err
	}
	s.took, s.cpu = float64(start.took)/float64(time.Millisecond), float64(start.cpu)/float64(time.Millisecond)
	if s.rss, err = residentMiB(pid); err != nil {
		return s, err
	}
	return s, g.end()
}
