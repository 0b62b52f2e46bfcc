//go:build linux

// The rows of the report: one workload each, and how a row is measured.

package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"time"
)

// row is one workload.
type row struct {
	Name   string
	Path   string // what is asked for: "/" is 128 bytes, "/64k" 64 KiB
	Conns  int    // kept-alive connections of the load
	Pinned bool   // proxy on CPU 0, load and backend on CPU 1
}

var rows = []row{
	{Name: "h1-small", Path: "/", Conns: 64, Pinned: true},
	{Name: "h1-small-unpinned", Path: "/", Conns: 64},
	{Name: "h1-small-4", Path: "/", Conns: 4, Pinned: true},
	{Name: "h1-small-1000", Path: "/", Conns: 1000, Pinned: true},
	{Name: "h1-64k", Path: "/64k", Conns: 64, Pinned: true},
	{Name: "h1-64k-unpinned", Path: "/64k", Conns: 64},
}

// sample is what one window of load showed.
type sample struct {
	load
	CPU float64 // microseconds a request
	RSS float64 // MiB, at the end of the window
}

// result is a row with the samples of each proxy, by round. A proxy that is not there has none.
type result struct {
	row
	Names   []string
	Samples map[string][]sample
	Missing map[string]string // why a proxy is not there
}

// failed reports whether any request to the named proxy went wrong.
func (r *result) failed(name string) bool {
	return slices.ContainsFunc(r.Samples[name], func(s sample) bool { return s.Errors > 0 })
}

// measure starts everything that a row needs, runs the rounds and ends what it started.
func measure(ctx context.Context, s settings, w row, out io.Writer) (result, error) {
	dir, err := os.MkdirTemp("", "wicketgate-bench-")
	if err != nil {
		return result{}, fmt.Errorf("make a directory: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	field, err := start(ctx, dir, s.gateway, w)
	if err != nil {
		return result{}, err
	}
	defer field.stop()

	r := result{row: w, Samples: map[string][]sample{}, Missing: field.missing}
	for _, p := range field.proxies {
		r.Names = append(r.Names, p.name)
		if _, err := generate(ctx, w, p.url(w), time.Second); err != nil {
			return result{}, fmt.Errorf("warm up %s: %w", p.name, err)
		}
	}
	for n := range s.rounds {
		order := slices.Clone(field.proxies)
		if n%2 == 1 {
			slices.Reverse(order)
		}
		for _, p := range order {
			got, err := window(ctx, w, p, s.window)
			if err != nil {
				return result{}, fmt.Errorf("%s: %w", p.name, err)
			}
			r.Samples[p.name] = append(r.Samples[p.name], got)
			fmt.Fprintf(out, "%s round %d %-10s %8.0f req/s %7.2f us/req p50 %v p99 %v errors %d\n",
				w.Name, n+1, p.name, got.PerSecond, got.CPU, got.P50, got.P99, got.Errors)
		}
	}
	return r, nil
}

// window loads one proxy once and reads what that cost it.
func window(ctx context.Context, w row, p *proxy, d time.Duration) (sample, error) {
	before, err := cpuTime(p.pid)
	if err != nil {
		return sample{}, err
	}
	l, err := generate(ctx, w, p.url(w), d)
	if err != nil {
		return sample{}, err
	}
	after, err := cpuTime(p.pid)
	if err != nil {
		return sample{}, err
	}
	rss, err := residentMiB(p.pid)
	if err != nil {
		return sample{}, err
	}
	spent := float64((after - before).Microseconds())
	return sample{load: l, CPU: spent / float64(l.Requests), RSS: rss}, nil
}
