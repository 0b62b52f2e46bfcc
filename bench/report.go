//go:build linux

// The report: tables in Markdown with what was measured, on what, and how to measure it again.

package main

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

const preface = "`make bench` writes this file, and `make bench ROW=h1-small,tcp-*` measures some rows only. The figure that counts is the ratio: CPU time (user\n" +
	"and system) of the proxy per request, divided by that of the first proxy of the row in the same round, median [quartiles] over the\n" +
	"rounds. Lower is better. Differences below a tenth mean little, and absolute times speak of the machine. Every proxy sets the\n" +
	"same X-Forwarded headers, keeps its connections to the backend and writes no access log; Wicketgate runs with what it ships (metrics\n" +
	"and timeouts on). The configurations are in bench/peers, the load and the backend in bench/load and bench/backend.\n\n" +
	"*Machine* is what all processors together did in the window, load, backend and anything else included. RSS is at the end of the window. Rates\n" +
	"are with load and backend on the same machine, which has to do their work as well.\n\n"

// report renders all results.
func report(results []result, about []string, s settings) string {
	var b strings.Builder
	b.WriteString("# Measured\n\n" + preface)
	fmt.Fprintf(&b, "%d rounds of %v each (`make bench ROUNDS=%d WINDOW=%v`). %s. All of it took %v. Load average before: %s, after: %s.\n\n",
		s.rounds, s.window, s.rounds, s.window, strings.Join(about, "; "), time.Since(s.began).Round(time.Second), s.busy, loadAverages())
	b.WriteString(summary(results))
	for _, r := range results {
		fmt.Fprintf(&b, "\n## %s\n\n", r.Name)
		if r.Table != "" {
			b.WriteString(r.Table)
			continue
		}
		placement := "all processes on all CPUs"
		if r.Pinned {
			placement = "proxy on CPU 0, load and backend on CPU 1"
		}
		unit := r.unit()
		fmt.Fprintf(&b, "%s; %s.\n\n| proxy | ratio | CPU us/%s | machine us/%s | %ss/s | p50 | p99 | p99.9 | RSS MiB | errors |", r.About, placement, unit, unit, unit)
		lost := r.Kind == "udp"
		b.WriteString(map[bool]string{true: " lost |", false: ""}[lost] + "\n|---|---|---|---|---|---|---|---|---|---|" + map[bool]string{true: "---|", false: ""}[lost] + "\n")
		for _, name := range r.Names {
			b.WriteString(line(r.Samples[name], r.Samples[r.Names[0]], name, lost))
		}
		for _, name := range slices.Sorted(maps.Keys(r.Missing)) {
			fmt.Fprintf(&b, "| %s | %s | | | | | | | | |%s\n", name, r.Missing[name], map[bool]string{true: " |", false: ""}[lost])
		}
	}
	return b.String()
}

func (w *row) unit() string {
	if w.Unit == "" {
		return "request"
	}
	return w.Unit
}

// summary is the table of all ratios.
func summary(results []result) string {
	var b strings.Builder
	b.WriteString("![CPU per request against nginx](ratios.svg)\n\n![Latency under open load](latency.svg)\n\n## All ratios\n\n")
	b.WriteString("| row | against | CPU us of that | haproxy | wicketgate | aim |\n|---|---|---|---|---|---|\n")
	for _, r := range results {
		if len(r.Names) < 2 {
			continue
		}
		reference := r.Samples[r.Names[0]]
		aim := "-"
		if r.Aim > 0 {
			aim = fmt.Sprintf("%.2f", r.Aim)
		}
		fmt.Fprintf(&b, "| %s | %s | %.1f | %s | %s | %s |\n", r.Name, r.Names[0],
			quantile(column(reference, func(s sample) float64 { return s.CPU }), 0.5),
			ratioText(r.Samples["haproxy"], reference), ratioText(r.Samples[r.Names[len(r.Names)-1]], reference), aim)
	}
	return b.String()
}

// ratioText is a ratio with its quartiles.
func ratioText(samples, reference []sample) string {
	list := ratios(samples, reference)
	if len(list) == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f [%.2f-%.2f]", quantile(list, 0.5), quantile(list, 0.25), quantile(list, 0.75))
}

// line is one row of a table.
func line(samples, reference []sample, name string, withLost bool) string {
	median := func(figure func(sample) float64) float64 { return quantile(column(samples, figure), 0.5) }
	errs, lost, all := 0, 0, 0
	for _, s := range samples {
		errs += s.Errors
		lost += s.Lost
		all += s.Requests
	}
	took := func(figure func(sample) time.Duration) string {
		d := time.Duration(median(func(s sample) float64 { return float64(figure(s)) }))
		if d == 0 {
			return "-" // the generator does not say
		}
		return d.Round(time.Microsecond).String()
	}
	text := fmt.Sprintf("| %s | %s | %.1f | %.1f | %.0f | %s | %s | %s | %.1f | %d |", name, ratioText(samples, reference),
		median(func(s sample) float64 { return s.CPU }), median(func(s sample) float64 { return s.Machine }),
		median(func(s sample) float64 { return s.PerSecond }),
		took(func(s sample) time.Duration { return s.P50 }), took(func(s sample) time.Duration { return s.P99 }),
		took(func(s sample) time.Duration { return s.P999 }), median(func(s sample) float64 { return s.RSS }), errs)
	if withLost {
		text += fmt.Sprintf(" %d (%.2f%%) |", lost, 100*float64(lost)/float64(max(1, all+lost)))
	}
	return text + "\n"
}

// versions describes the machine and the programs, as far as they can be asked.
func (b *bench) versions() []string {
	list := []string{
		fmt.Sprintf("%d CPUs (%s)", runtime.NumCPU(), processor()),
		"Linux " + procLine("/proc/sys/kernel/osrelease"), runtime.Version(),
	}
	commands := [][]string{{b.settings.gateway, "version"}, {"nginx", "-v"}, {"haproxy", "-v"}, {"wrk", "-v"}, {"h2load", "--version"}}
	if b.tools.caddy != "" {
		commands = append(commands, []string{b.tools.caddy, "version"})
	}
	for _, c := range commands {
		// wrk exits with 1 after printing its version.
		text, _ := exec.CommandContext(b.ctx, c[0], c[1:]...).CombinedOutput()
		first, _, _ := strings.Cut(strings.TrimSpace(string(text)), "\n")
		first = strings.TrimSpace(strings.Split(first, " [")[0])
		if filepath.Base(c[0]) == "caddy" {
			first, _, _ = strings.Cut("Caddy "+first, " h1:")
		}
		if first != "" {
			list = append(list, first)
		}
	}
	return list
}

func loadAverages() string {
	if averages := strings.Fields(procLine("/proc/loadavg")); len(averages) > 2 {
		return strings.Join(averages[:3], " ")
	}
	return "unknown"
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
