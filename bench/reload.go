//go:build linux

// What a start and an edit cost at several sizes: one HTTPRoute to a file, an edit changes one of them.

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// pause is between two questions of whether a start is over.
const pause = 2 * time.Millisecond

// edits is how many are measured.
const edits = 10

// begun is what a start took until the first request was served.
type begun struct{ took, cpu time.Duration }

func (b begun) String() string {
	return fmt.Sprintf("%v (%v)", b.took.Round(time.Millisecond), b.cpu.Round(10*time.Millisecond))
}

// sizes is what a start and edits showed.
type sizes struct {
	routes       int
	clean, again begun     // with nothing remembered, and after a restart
	rss          float64   // MiB, after the first start
	edit         []float64 // milliseconds, for POST /reload after a file was written
	noticed      []float64 // milliseconds from the write of a file, which notifications alone tell of, to the first request by it
	cpu          float64   // milliseconds of processor time, an edit
	served       int       // requests while files were edited
	failed       int
}

// measureReload is the row for all sizes.
func measureReload(b *bench, w row) (result, error) {
	r := result{row: w}
	var t strings.Builder
	t.WriteString("One HTTPRoute to a file. *Start* is from the launch of the process to the first request that is served, with an empty state\n")
	t.WriteString("directory and with what the start before left there; in brackets, the process's CPU. An *edit* changes the path of one route; its time is that of `POST /reload`, which\n")
	t.WriteString("answers when the edit is in force, quartiles over 10; *noticed* is the time of an edit of which file notifications alone tell, from its write to the\n")
	t.WriteString("first request that is served by it, the 20 ms of quiet that are waited for included. CPU is all that the process used for an edit of the first kind, collecting garbage and writing the state directory\n")
	t.WriteString("included, and *unchanged* is what of it each route costs that nobody touched. *Failed* counts among requests\n")
	t.WriteString("that were served while files were edited (2,000 a second).\n\n")
	t.WriteString("| HTTPRoutes | start, clean | start, again | RSS MiB | an edit, ms | noticed, ms | an edit, CPU ms | unchanged, CPU us | requests meanwhile | failed |\n|---|---|---|---|---|---|---|---|---|---|\n")
	least := 0.0
	for _, n := range b.sizes {
		s, err := b.measureSize(w, n)
		if err != nil {
			return r, fmt.Errorf("%d routes: %w", n, err)
		}
		unchanged := "-"
		if least == 0 {
			least = s.cpu
		} else {
			unchanged = fmt.Sprintf("%.1f", (s.cpu-least)*1000/float64(n))
		}
		fmt.Fprintf(&t, "| %d | %v | %v | %.0f | %s | %s | %.0f | %s | %d | %d |\n", n, s.clean, s.again,
			s.rss, quartiles(s.edit), quartiles(s.noticed), s.cpu, unchanged, s.served, s.failed)
		fmt.Fprintf(b.out, "reload %d routes: %+v\n", n, s)
		if s.failed > 0 {
			r.Samples = map[string][]sample{"wicketgate": {{Errors: s.failed}}}
		}
	}
	r.Table = t.String()
	return r, nil
}

func quartiles(list []float64) string {
	return fmt.Sprintf("%.1f [%.1f-%.1f]", quantile(list, 0.5), quantile(list, 0.25), quantile(list, 0.75))
}

// sized is a gateway with some routes of its own.
type sized struct {
	*field
	dir           string // of the configuration
	args          []string
	listen, admin netip.AddrPort
}

func (b *bench) measureSize(w row, n int) (sizes, error) {
	f, err := b.startBackend(w)
	if err != nil {
		return sizes{}, err
	}
	defer f.stop()
	g := sized{field: f, dir: filepath.Join(f.dir, "config"), listen: freePort(), admin: freePort()}
	if err := os.Mkdir(g.dir, 0o700); err != nil {
		return sizes{}, fmt.Errorf("make a directory: %w", err)
	}
	if err := write(g.dir, "base.yaml", base(g.listen, f.backend)); err != nil {
		return sizes{}, err
	}
	for i := range n {
		if err := g.writeRoute(i, fmt.Sprintf("/r%d", i)); err != nil {
			return sizes{}, err
		}
	}
	g.args = []string{
		b.settings.gateway, "run", "--config", g.dir, "--admin", g.admin.String(), "--state-dir", filepath.Join(f.dir, "state"), "--poll-interval", "0",
	}
	s := sizes{routes: n}
	pid, clean, err := g.begin(b.ctx)
	if err != nil {
		return s, err
	}
	s.clean = clean
	if s.rss, err = residentMiB(pid); err != nil {
		return s, err
	}
	if err := g.edits(b, pid, &s); err != nil {
		return s, err
	}
	if err := g.end(); err != nil {
		return s, err
	}
	_, s.again, err = g.begin(b.ctx)
	return s, err
}

func (g *sized) writeRoute(i int, path string) error {
	return write(g.dir, fmt.Sprintf("r%d.yaml", i), fmt.Sprintf(`apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: r%d, labels: {team: shop}}
spec:
  parentRefs: [{name: bench}]
  rules:
  - matches: [{path: {value: %s}}]
    backendRefs: [{name: backend, port: 80}]
`, i, path))
}

// begin starts the gateway and waits until its first route is served.
func (g *sized) begin(ctx context.Context) (pid int, b begun, err error) {
	start := time.Now()
	pid, err = g.launch(ctx, "wicketgate", g.args)
	if err != nil {
		return 0, b, err
	}
	for !g.serves(ctx, "/r0") {
		if !alive(pid) || time.Since(start) > 2*time.Minute {
			return 0, b, fmt.Errorf("the gateway does not serve: %s", g.log("wicketgate"))
		}
		time.Sleep(pause)
	}
	b.took = time.Since(start)
	b.cpu, err = cpuTime(pid)
	return pid, b, err
}

// end lets the gateway end as a service manager would, so that it writes down what it remembers.
func (g *sized) end() error {
	c := g.processes[len(g.processes)-1]
	g.processes = g.processes[:len(g.processes)-1]
	if err := c.Process.Signal(os.Interrupt); err != nil {
		return fmt.Errorf("end the gateway: %w", err)
	}
	if err := c.Wait(); err != nil {
		return fmt.Errorf("end the gateway: %w: %s", err, g.log("wicketgate"))
	}
	return nil
}

func (g *sized) serves(ctx context.Context, path string) bool {
	return send(ctx, http.MethodGet, "http://"+g.listen.String()+path) == nil
}

// send asks once on a connection of its own and wants the status 200.
func send(ctx context.Context, method, url string) error {
	req, err := http.NewRequestWithContext(ctx, method, url, http.NoBody)
	if err != nil {
		return fmt.Errorf("make a request: %w", err)
	}
	req.Close = true
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("ask: %w", err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return fmt.Errorf("read: %w", err)
	}
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", res.Status, text)
	}
	return nil
}

// edits measures edits without load, and then counts what fails during edits under load.
func (g *sized) edits(b *bench, pid int, s *sizes) error {
	if err := send(b.ctx, http.MethodPost, "http://"+g.admin.String()+"/reload"); err != nil {
		return fmt.Errorf("reload: %w", err)
	}
	before, err := cpuTime(pid)
	if err != nil {
		return err
	}
	for i := range edits {
		took, err := g.edit(b.ctx, s.routes, fmt.Sprintf("/edited%d", i))
		if err != nil {
			return err
		}
		s.edit = append(s.edit, float64(took.Microseconds())/1000)
	}
	time.Sleep(500 * time.Millisecond) // file notifications come late
	after, err := cpuTime(pid)
	if err != nil {
		return err
	}
	s.cpu = float64((after - before).Microseconds()) / 1000 / edits
	for i := range edits {
		took, err := g.notice(b.ctx, s.routes, fmt.Sprintf("/noticed%d", i))
		if err != nil {
			return err
		}
		s.noticed = append(s.noticed, float64(took.Microseconds())/1000)
	}

	done := make(chan error, 1)
	go func() {
		for i := range edits {
			if _, err := g.edit(b.ctx, s.routes, fmt.Sprintf("/again%d", i)); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	for { // load until the edits are through
		l := load{Tool: ownTool, Protocol: "route", Conns: 8, Streams: 1, Rate: 2000}
		var got figures
		err := b.patiently(b.window, func(d time.Duration) (err error) {
			got, err = b.generate(row{Load: l}, &proxy{listen: g.listen}, d)
			return err
		})
		if err != nil {
			return errors.Join(err, <-done)
		}
		s.served += got.Requests
		s.failed += got.Errors
		select {
		case err := <-done:
			return err
		default:
		}
	}
}

// edit gives the last route another path, and waits until that is served. With one route only, the path that the others ask for stays.
func (g *sized) edit(ctx context.Context, routes int, path string) (time.Duration, error) {
	i := max(1, routes-1)
	if err := g.writeRoute(i, path); err != nil {
		return 0, err
	}
	start := time.Now()
	if err := send(ctx, http.MethodPost, "http://"+g.admin.String()+"/reload"); err != nil {
		return 0, fmt.Errorf("reload: %w", err)
	}
	took := time.Since(start)
	if !g.serves(ctx, path) {
		return 0, fmt.Errorf("%s is not served after a reload", path)
	}
	return took, nil
}

// notice is edit without a reload that is asked for.
func (g *sized) notice(ctx context.Context, routes int, path string) (time.Duration, error) {
	start := time.Now()
	if err := g.writeRoute(max(1, routes-1), path); err != nil {
		return 0, err
	}
	for !g.serves(ctx, path) {
		if time.Since(start) > time.Minute {
			return 0, fmt.Errorf("%s is not served, and nobody asked for a reload", path)
		}
		time.Sleep(pause)
	}
	return time.Since(start), nil
}
