//go:build linux

// Command bench measures what a request costs Wicketgate in processor time, beside nginx, haproxy and (for HTTP/3) Caddy, in one run on one
// machine.
//
// All proxies of a row are up at once, each on a port of its own, in front of the same backend (bench/backend). Rounds are interleaved: in
// each round every proxy gets one window of load, in an order that turns about. The figure is the CPU time (user and
// system, of all the proxy's processes) per request, divided by the reference's in the same round; the report gives median and
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
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// settings are the command's flags.
type settings struct {
	gateway string
	rows    string
	rounds  int
	window  time.Duration
	warmUp  time.Duration
	out     string
	idle    int           // connections
	settle  time.Duration // that proxies have for giving memory back
	upload  int64         // bytes of the row upload-memory
	readme  string        // the file with a table of results; empty: none
	most    int           // routes, certificates and the like in rows about scale
	sizes   []int         // HTTPRoutes of the row reload
	busy    string        // the machine's load averages before anything was started
	began   time.Time
}

func main() {
	s := settings{most: 100_000, sizes: []int{2, 10, 1000, 10_000}, warmUp: time.Second, settle: 25 * time.Second, upload: 1 << 30, readme: "README.md"}
	flag.StringVar(&s.gateway, "gateway", "bin/wicketgate", "the gateway's binary")
	flag.StringVar(&s.rows, "row", "", "only these rows, set apart by commas; a name that ends in * stands for all that begin so")
	flag.IntVar(&s.rounds, "rounds", 5, "rounds a row")
	flag.DurationVar(&s.window, "window", 2*time.Second, "load a round and proxy, whole seconds")
	flag.IntVar(&s.idle, "idle", 10_000, "idle connections")
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
	selected, err := choose(rows(), s.rows)
	if err != nil {
		return err
	}
	s.busy, s.began = loadAverages(), time.Now()
	b, err := newBench(ctx, s, out)
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(b.dir) }()
	var results []result
	var failed []error
	for _, w := range selected {
		began := time.Now()
		r, err := b.measure(w)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil { // the others are measured all the same
			first, _, _ := strings.Cut(err.Error(), "\n")
			r = result{row: w, Table: "Could not be measured: " + first + "\n"}
			failed = append(failed, fmt.Errorf("row %s: %w", w.Name, err))
		}
		fmt.Fprintf(out, "%s took %v\n", w.Name, time.Since(began).Round(time.Millisecond))
		results = append(results, r)
	}
	text := report(results, b.versions(), s)
	fmt.Fprint(out, "\n"+text)
	if s.out != "-" && s.rows == "" {
		if err := save(s, text, results); err != nil {
			return err
		}
	}
	for _, r := range results {
		if r.failed("wicketgate") {
			failed = append(failed, fmt.Errorf("row %s: requests to wicketgate failed: see the column of errors", r.Name))
		}
	}
	return errors.Join(failed...)
}

// save writes the report and its pictures beside each other, and shows some of it in the README.
func save(s settings, text string, results []result) error {
	for name, content := range map[string]string{
		s.out: text,
		filepath.Join(filepath.Dir(s.out), "ratios.svg"):  ratioChart(results),
		filepath.Join(filepath.Dir(s.out), "latency.svg"): latencyChart(results),
	} {
		if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
			return fmt.Errorf("write the report: %w", err)
		}
	}
	if s.readme == "" {
		return nil
	}
	return updateReadme(s.readme, text)
}

// choose finds the rows that a list names. An empty list names them all.
func choose(all []row, list string) ([]row, error) {
	if list == "" {
		return all, nil
	}
	var chosen []row
	for name := range strings.SplitSeq(list, ",") {
		prefix, wild := strings.CutSuffix(name, "*")
		found := false
		for _, w := range all {
			if w.Name == name || wild && strings.HasPrefix(w.Name, prefix) {
				found = true
				chosen = append(chosen, w)
			}
		}
		if !found {
			var names []string
			for _, w := range all {
				names = append(names, w.Name)
			}
			return nil, fmt.Errorf("there is no row %q; the rows are %s", name, strings.Join(slices.Compact(names), " "))
		}
	}
	return chosen, nil
}
