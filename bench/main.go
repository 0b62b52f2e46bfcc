//go:build linux

// Command bench measures what a request costs Wicketgate in processor time, beside nginx and haproxy, in one run on one machine.
//
// All proxies are up at once, each on a port of its own, in front of the same backend (bench/backend). Rounds are interleaved: in each
// round every proxy gets one window of load from wrk, in an order that turns about. The figure is the CPU time (user and
// system, of all the proxy's processes) per request, divided by nginx's in the same round; the report gives median and
// quartiles over the rounds. An absolute time says more about the machine than about the proxy.
//
// Pinned rows have the proxy on CPU 0 and load and backend on CPU 1; the others leave all of them to the scheduler.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"time"
)

// settings are the command's flags.
type settings struct {
	gateway string
	rows    string
	rounds  int
	window  time.Duration
	out     string
	busy    string // the machine's load averages before anything was started
}

func main() {
	var s settings
	flag.StringVar(&s.gateway, "gateway", "bin/wicketgate", "the gateway's binary")
	flag.StringVar(&s.rows, "row", "", "only rows whose name begins with this (h1-small, h1-64k, ...)")
	flag.IntVar(&s.rounds, "rounds", 7, "rounds a row")
	flag.DurationVar(&s.window, "window", 2*time.Second, "load a round and proxy, whole seconds")
	flag.StringVar(&s.out, "out", "bench/RESULTS.md", "where the report goes if all rows were measured; - is standard output only")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, s, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// run measures the selected rows one after the other and writes the report.
func run(ctx context.Context, s settings, out io.Writer) error {
	if err := needTools(); err != nil {
		return err
	}
	if averages := strings.Fields(procLine("/proc/loadavg")); len(averages) > 2 {
		s.busy = strings.Join(averages[:3], " ")
	}
	var results []result
	for _, row := range rows {
		if !strings.HasPrefix(row.Name, s.rows) {
			continue
		}
		r, err := measure(ctx, s, row, out)
		if err != nil {
			return fmt.Errorf("row %s: %w", row.Name, err)
		}
		results = append(results, r)
	}
	if len(results) == 0 {
		return fmt.Errorf("no row has a name that begins with %q", s.rows)
	}
	text := report(results, versions(ctx, s.gateway), s)
	fmt.Fprint(out, "\n"+text)
	if s.out != "-" && s.rows == "" {
		if err := os.WriteFile(s.out, []byte(text), 0o644); err != nil {
			return fmt.Errorf("write the report: %w", err)
		}
	}
	for _, r := range results {
		if r.failed("wicketgate") {
			return errors.New("requests to wicketgate failed: see the column of errors")
		}
	}
	return nil
}
