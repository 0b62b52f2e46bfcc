//go:build linux

// The load: wrk, h2load or a generator of our own is run for a window, and what it prints is read.

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The generators.
const (
	wrkTool    = "wrk"
	h2loadTool = "h2load"
	ownTool    = "load"    // bench/load
	h3Tool     = "h3/load" // bench/h3/load
)

// load says what a generator does.
type load struct {
	Tool           string
	Protocol       string // bench/load's
	Conns, Streams int
	Rate           float64 // requests a second, 0 for as many as are answered
	Path, Header   string  // of requests
	Resume         bool    // TLS sessions
	Script         string  // wrk's, in Lua; %d is the proxy's scale
}

// figures is what a generator reported.
type figures struct {
	Requests       int
	PerSecond      float64
	P50, P99, P999 time.Duration // 0 if it does not say
	Errors         int
	Lost           int // datagrams
	LastError      string
}

// generate loads a proxy for a window of time, and says what came of it.
func (b *bench) generate(w row, p *proxy, d time.Duration) (figures, error) {
	scheme := "http"
	if w.TLS {
		scheme = "https"
	}
	url := scheme + "://" + p.listen.String() + w.Load.Path
	var args []string
	var read func(string) (figures, error)
	switch w.Load.Tool {
	case wrkTool:
		seconds := max(1, int(d.Seconds()))
		args = []string{"wrk", "-t1", fmt.Sprintf("-c%d", w.Load.Conns), fmt.Sprintf("-d%ds", seconds), "--timeout", "10s", "--latency"}
		if w.Load.Header != "" {
			args = append(args, "-H", w.Load.Header)
		}
		if w.Load.Script != "" {
			path := filepath.Join(b.dir, "script.lua")
			if err := os.WriteFile(path, fmt.Appendf(nil, w.Load.Script, p.scale), 0o600); err != nil {
				return figures{}, fmt.Errorf("script for wrk: %w", err)
			}
			args = append(args, "-s", path)
		}
		args, read = append(args, url), parseWrk
	case h2loadTool:
		log := filepath.Join(b.dir, "h2load.log")
		_ = os.Remove(log) // it appends
		args = []string{
			"h2load", "-t1", fmt.Sprintf("-c%d", w.Load.Conns), fmt.Sprintf("-m%d", w.Load.Streams),
			"-D", fmt.Sprint(max(1, int(d.Seconds()))), "--log-file", log, url,
		}
		read = func(text string) (figures, error) { return parseH2load(text, log) }
	case h3Tool:
		args = []string{
			b.tools.h3load, "-to", url, "-for", d.String(),
			"-conns", fmt.Sprint(w.Load.Conns), "-streams", fmt.Sprint(w.Load.Streams),
		}
		read = parseOwn
	default:
		args, read = b.own(w.Load, p.listen, p.scale, d), parseOwn
	}
	args = append(pin(w, 1), args...)
	ctx, cancel := context.WithTimeout(b.ctx, d+30*time.Second)
	defer cancel()
	c := exec.CommandContext(ctx, args[0], args[1:]...)
	var stderr strings.Builder
	c.Stderr = &stderr
	text, err := c.Output()
	if err != nil {
		return figures{}, fmt.Errorf("%s: %w: %s%s", w.Load.Tool, err, text, stderr.String())
	}
	return read(string(text))
}

// own is the command line of bench/load.
func (b *bench) own(l load, to netip.AddrPort, scale int, d time.Duration) []string {
	args := []string{
		b.tools.load, "-protocol", l.Protocol, "-to", to.String(), "-for", d.String(), "-conns", fmt.Sprint(l.Conns),
		"-streams", fmt.Sprint(max(1, l.Streams)), "-rate", fmt.Sprint(l.Rate), "-names", fmt.Sprint(max(1, scale)),
	}
	if l.Resume {
		args = append(args, "-resume")
	}
	return args
}

// parseOwn reads what our generators print.
func parseOwn(text string) (figures, error) {
	var f figures
	if err := json.Unmarshal([]byte(text), &f); err != nil {
		return f, fmt.Errorf("read the result %q: %w", text, err)
	}
	if f.Requests == 0 {
		return f, errors.New("not one request was answered")
	}
	return f, nil
}

var (
	wrkRequests = regexp.MustCompile(`(\d+) requests in `)
	wrkRate     = regexp.MustCompile(`Requests/sec:\s+([\d.]+)`)
	wrkP50      = regexp.MustCompile(`50%\s+([\d.]+)(us|ms|s|m)\b`)
	wrkP99      = regexp.MustCompile(`99%\s+([\d.]+)(us|ms|s|m)\b`)
	wrkStatus   = regexp.MustCompile(`Non-2xx or 3xx responses: (\d+)`)
	wrkSocket   = regexp.MustCompile(`Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)`)
)

// parseWrk reads what `wrk --latency` prints.
func parseWrk(text string) (figures, error) {
	var f figures
	requests, rate := wrkRequests.FindStringSubmatch(text), wrkRate.FindStringSubmatch(text)
	if requests == nil || rate == nil {
		return f, fmt.Errorf("wrk printed no result: %s", text)
	}
	var errs [4]error
	f.Requests, errs[0] = strconv.Atoi(requests[1])
	f.PerSecond, errs[1] = strconv.ParseFloat(rate[1], 64)
	f.P50, errs[2] = wrkDuration(wrkP50.FindStringSubmatch(text))
	f.P99, errs[3] = wrkDuration(wrkP99.FindStringSubmatch(text))
	if err := errors.Join(errs[:]...); err != nil {
		return f, fmt.Errorf("read wrk's result: %w", err)
	}
	if f.Requests == 0 {
		return f, errors.New("not one request was answered")
	}
	for _, counts := range [][]string{wrkStatus.FindStringSubmatch(text), wrkSocket.FindStringSubmatch(text)} {
		n, err := addUp(counts)
		if err != nil {
			return f, fmt.Errorf("read wrk's errors: %w", err)
		}
		f.Errors += n
	}
	return f, nil
}

// addUp sums a match's groups.
func addUp(match []string) (int, error) {
	sum := 0
	for i := 1; i < len(match); i++ {
		n, err := strconv.Atoi(match[i])
		if err != nil {
			return 0, fmt.Errorf("a count: %w", err)
		}
		sum += n
	}
	return sum, nil
}

// wrkDuration reads a number and wrk's unit; m is minutes.
func wrkDuration(match []string) (time.Duration, error) {
	if match == nil {
		return 0, errors.New("a percentile is missing")
	}
	d, err := time.ParseDuration(match[1] + match[2])
	if err != nil {
		return 0, fmt.Errorf("percentile: %w", err)
	}
	return d, nil
}

var (
	h2loadRate     = regexp.MustCompile(`finished in [^,]+, ([\d.]+) req/s`)
	h2loadRequests = regexp.MustCompile(`(\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout`)
	h2loadStatus   = regexp.MustCompile(`status codes: \d+ 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx`)
)

// parseH2load reads what h2load prints, and percentiles from its log, in which each line is a request: when it began, its status, and how many
// microseconds it took, set apart by tabs.
func parseH2load(text, log string) (figures, error) {
	var f figures
	rate, counts := h2loadRate.FindStringSubmatch(text), h2loadRequests.FindStringSubmatch(text)
	if rate == nil || counts == nil {
		return f, fmt.Errorf("h2load printed no result: %s", text)
	}
	var errs [4]error
	f.PerSecond, errs[0] = strconv.ParseFloat(rate[1], 64)
	f.Requests, errs[1] = strconv.Atoi(counts[1])
	f.Errors, errs[2] = addUp(counts[1:])
	bad, err := addUp(h2loadStatus.FindStringSubmatch(text))
	f.Errors, errs[3] = f.Errors+bad, err
	if err := errors.Join(errs[:]...); err != nil {
		return f, fmt.Errorf("read h2load's result: %w", err)
	}
	if f.Requests == 0 {
		return f, errors.New("not one request was answered")
	}
	lines, err := os.ReadFile(log)
	if err != nil {
		return f, fmt.Errorf("h2load's log: %w", err)
	}
	var took []float64
	for line := range strings.Lines(string(lines)) {
		fields := strings.Fields(line)
		if us, err := strconv.ParseFloat(fields[len(fields)-1], 64); err == nil {
			took = append(took, us)
		}
	}
	slices.Sort(took)
	at := func(q float64) time.Duration { return time.Duration(quantile(took, q) * float64(time.Microsecond)) }
	if len(took) > 0 {
		f.P50, f.P99, f.P999 = at(0.5), at(0.99), at(0.999)
	}
	return f, nil
}
