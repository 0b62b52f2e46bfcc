//go:build linux

// How a row is measured: rounds, in which each proxy gets a window of load.

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"time"
)

// bench is one run of the benchmark.
type bench struct {
	ctx context.Context // of the run, which ends with it
	settings
	out   io.Writer
	dir   string // of the row that is being measured
	tools struct{ backend, load, h3load, caddy string }
	cert  certificate
	files int // that a process may open
}

// newBench builds the backend and the generators, and takes what open files the system grants. The caller removes b.dir.
func newBench(ctx context.Context, s settings, out io.Writer) (*bench, error) {
	dir, err := os.MkdirTemp("", "wicketgate-bench-")
	if err != nil {
		return nil, fmt.Errorf("make a directory: %w", err)
	}
	b := &bench{ctx: ctx, settings: s, out: out, dir: dir}
	b.tools.backend, b.tools.load = filepath.Join(dir, "backend"), filepath.Join(dir, "load")
	for _, program := range []string{b.tools.backend, b.tools.load} {
		c := exec.CommandContext(ctx, "go", "build", "-o", program, "./bench/"+filepath.Base(program))
		if text, err := c.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("build %s: %w: %s", filepath.Base(program), err, text)
		}
	}
	if b.cert, err = selfSigned("bench.example.com"); err != nil {
		return nil, err
	}
	b.files = openFiles()
	// An upgraded connection is one towards the backend, too.
	b.idle = min(b.idle, (b.files-1000)/200*100)
	return b, nil
}

// openFiles raises the limit of open files as far as it goes, for itself and what it starts. (Set explicitly, Go hands it on.)
func openFiles() int {
	const wanted = 40_000
	limit := syscall.Rlimit{Cur: wanted, Max: wanted}
	if syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit) == nil {
		return wanted
	}
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) != nil {
		return 1024
	}
	limit.Cur = limit.Max
	if syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit) != nil {
		return 1024
	}
	return int(limit.Cur)
}

// buildH3 builds what the HTTP/3 rows need, which is a module of its own.
func (b *bench) buildH3() error {
	if b.tools.caddy != "" {
		return nil
	}
	bin, err := filepath.Abs("bin")
	if err != nil {
		return fmt.Errorf("the directory for programs: %w", err)
	}
	for name, path := range map[string]string{"h3load": "./load", "caddy": "./caddy"} {
		c := exec.CommandContext(b.ctx, "go", "build", "-o", filepath.Join(bin, name), path)
		c.Dir = "bench/h3"
		if text, err := c.CombinedOutput(); err != nil {
			return fmt.Errorf("build %s: %w: %s", name, err, text)
		}
	}
	b.tools.h3load, b.tools.caddy = filepath.Join(bin, "h3load"), filepath.Join(bin, "caddy")
	return nil
}

// sample is what one window of load showed.
type sample struct {
	figures
	CPU     float64 // microseconds of the proxy's processes, a request
	Machine float64 // microseconds of all processors, a request
	RSS     float64 // MiB of the proxy's processes, at the end of the window
}

// result is a row with the samples of each proxy, by round. A proxy that is not there has none.
type result struct {
	row
	Names   []string
	Samples map[string][]sample
	Missing map[string]string // why a proxy is not there
	Table   string            // Markdown, of rows that are not measured in rounds
}

// failed reports whether any request to the named proxy went wrong.
func (r *result) failed(name string) bool {
	return slices.ContainsFunc(r.Samples[name], func(s sample) bool { return s.Errors > 0 })
}

// measure starts everything that a row needs, runs the rounds and ends what it started.
func (b *bench) measure(w row) (result, error) {
	if w.Run != nil {
		return w.Run(b, w)
	}
	if w.Kind == "h3" {
		if err := b.buildH3(); err != nil {
			return result{}, err
		}
	}
	f, err := b.start(w)
	if err != nil {
		return result{}, err
	}
	defer f.stop()

	r := result{row: w, Samples: map[string][]sample{}, Missing: f.missing}
	if len(f.proxies) == 0 {
		return r, errors.New("there is no proxy to measure")
	}
	if w.Share > 0 {
		if err := b.setRate(&w, f.proxies[0]); err != nil {
			return result{}, err
		}
		r.About += fmt.Sprintf(": %.0f requests/s", w.Load.Rate)
	}
	for _, p := range f.proxies {
		r.Names = append(r.Names, p.name)
		if err := b.warm(f, w, p); err != nil {
			return result{}, err
		}
	}
	for n := range b.rounds {
		order := slices.Clone(f.proxies)
		if n%2 == 1 {
			slices.Reverse(order)
		}
		for _, p := range order {
			got, err := b.sample(w, p)
			if err != nil {
				return result{}, fmt.Errorf("%s: %w\n%s", p.name, err, f.log(p.name))
			}
			r.Samples[p.name] = append(r.Samples[p.name], got)
			fmt.Fprintf(b.out, "%s round %d %-12s %8.0f/s %8.2f us p50 %v p99 %v errors %d lost %d %s\n",
				w.Name, n+1, p.name, got.PerSecond, got.CPU, got.P50, got.P99, got.Errors, got.Lost, got.LastError)
		}
	}
	return r, nil
}

// setRate makes a row's load open, at a share of what its reference can do.
func (b *bench) setRate(w *row, reference *proxy) error {
	return b.patiently(time.Second, func(d time.Duration) error {
		most, err := b.generate(*w, reference, d)
		if err != nil {
			return fmt.Errorf("what %s can do: %w", reference.name, err)
		}
		w.Load.Rate = most.PerSecond * w.Share
		return nil
	})
}

// warm loads a proxy for a while before anything is measured.
func (b *bench) warm(f *field, w row, p *proxy) error {
	if b.warmUp == 0 {
		return nil
	}
	if err := b.patiently(b.warmUp, func(d time.Duration) error { _, err := b.generate(w, p, d); return err }); err != nil {
		return fmt.Errorf("warm up %s: %w\n%s", p.name, err, f.log(p.name))
	}
	return nil
}

// patiently does something with a window, and with longer ones if nothing was answered in that: on a machine that has other things to do a moment
// can be too short for a first answer.
func (b *bench) patiently(window time.Duration, f func(time.Duration) error) error {
	const tries = 4
	for n := 1; ; n++ {
		err := f(window)
		if err == nil || n == tries || b.ctx.Err() != nil {
			return err
		}
		window *= 4
		fmt.Fprintf(b.out, "again, for %v: %v\n", window, err)
	}
}

// sample loads one proxy once and reads what that cost it.
func (b *bench) sample(w row, p *proxy) (s sample, err error) {
	err = b.patiently(b.window, func(d time.Duration) error { s, err = b.sampleFor(w, p, d); return err })
	return s, err
}

func (b *bench) sampleFor(w row, p *proxy, window time.Duration) (sample, error) {
	before, err := cpuTime(p.pid)
	if err != nil {
		return sample{}, err
	}
	machineBefore, err := machineTime()
	if err != nil {
		return sample{}, err
	}
	l, err := b.generate(w, p, window)
	if err != nil {
		return sample{}, err
	}
	after, err := cpuTime(p.pid)
	if err != nil {
		return sample{}, err
	}
	machineAfter, err := machineTime()
	if err != nil {
		return sample{}, err
	}
	rss, err := residentMiB(p.pid)
	if err != nil {
		return sample{}, err
	}
	n := float64(l.Requests)
	return sample{
		figures: l, RSS: rss,
		CPU: float64((after - before).Microseconds()) / n, Machine: float64((machineAfter - machineBefore).Microseconds()) / n,
	}, nil
}
