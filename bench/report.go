//go:build linux

// The report: a table in Markdown with what was measured, on what, and how to measure it again.

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"
)

// report renders all results.
func report(results []result, about []string, s settings) string {
	var b strings.Builder
	b.WriteString("# Measured\n\n")
	b.WriteString("`make bench` writes this file. The figure that counts is the ratio to nginx: CPU time (user and system) per request\n")
	b.WriteString("divided by nginx's in the same round, median [quartiles] over the rounds. Lower is better. Differences below a tenth mean\n")
	b.WriteString("little, and absolute times speak of the machine. Every proxy sets the same X-Forwarded headers, keeps its connections\n")
	b.WriteString("to the backend and writes no access log; the configurations are in bench/peers.\n\n")
	fmt.Fprintf(&b, "%d rounds of %v each. %s. Load average before: %s.\n", s.rounds, s.window, strings.Join(about, "; "), s.busy)
	for _, r := range results {
		placement := "all processes on all CPUs"
		if r.Pinned {
			placement = "proxy on CPU 0, load and backend on CPU 1"
		}
		fmt.Fprintf(&b, "\n## %s\n\nGET %s, %d kept-alive connections, %s.\n\n", r.Name, r.Path, r.Conns, placement)
		b.WriteString("| proxy | ratio to nginx | CPU us/request | requests/s | p50 | p99 | RSS MiB | errors |\n|---|---|---|---|---|---|---|---|\n")
		for _, name := range r.Names {
			b.WriteString(line(name, r.Samples[name], r.Samples["nginx"]))
		}
		for name, why := range r.Missing {
			fmt.Fprintf(&b, "| %s | %s | | | | | | |\n", name, why)
		}
	}
	return b.String()
}

// line is one row of a table.
func line(name string, samples, reference []sample) string {
	median := func(figure func(sample) float64) float64 { return quantile(column(samples, figure), 0.5) }
	ratio := "-"
	if list := ratios(samples, reference); len(list) > 0 {
		ratio = fmt.Sprintf("%.2f [%.2f-%.2f]", quantile(list, 0.5), quantile(list, 0.25), quantile(list, 0.75))
	}
	errs := 0
	for _, s := range samples {
		errs += s.Errors
	}
	p50 := time.Duration(median(func(s sample) float64 { return float64(s.P50) }))
	p99 := time.Duration(median(func(s sample) float64 { return float64(s.P99) }))
	return fmt.Sprintf("| %s | %s | %.1f | %.0f | %v | %v | %.1f | %d |\n", name, ratio,
		median(func(s sample) float64 { return s.CPU }), median(func(s sample) float64 { return s.PerSecond }),
		p50.Round(time.Microsecond), p99.Round(time.Microsecond), median(func(s sample) float64 { return s.RSS }), errs)
}

// versions describes the machine and the programs, as far as they can be asked.
func versions(ctx context.Context, gateway string) []string {
	list := []string{
		fmt.Sprintf("%d CPUs (%s)", runtime.NumCPU(), processor()),
		"Linux " + procLine("/proc/sys/kernel/osrelease"), runtime.Version(),
	}
	for _, c := range [][]string{{gateway, "version"}, {"nginx", "-v"}, {"haproxy", "-v"}, {"wrk", "-v"}} {
		// wrk exits with 1 after printing its version.
		text, _ := exec.CommandContext(ctx, c[0], c[1:]...).CombinedOutput()
		first, _, _ := strings.Cut(strings.TrimSpace(string(text)), "\n")
		if first != "" {
			list = append(list, strings.TrimSpace(strings.Split(first, " [")[0]))
		}
	}
	return list
}

func processor() string {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return "unknown"
	}
	_, after, _ := strings.Cut(string(text), "model name")
	name, _, _ := strings.Cut(after, "\n")
	return strings.Trim(name, "\t :")
}

// procLine is the content of a file with one line.
func procLine(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(text))
}
