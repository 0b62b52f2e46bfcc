//go:build linux

// The load: wrk is run for a window, and what it prints is read.

package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"time"
)

// load is what wrk reported.
type load struct {
	Requests  int
	PerSecond float64
	P50, P99  time.Duration
	Errors    int // answers other than 2xx and 3xx, and failures of the socket
}

// generate loads url with the row's connections.
func generate(ctx context.Context, w row, url string, d time.Duration) (load, error) {
	args := []string{
		"wrk", "-t1", fmt.Sprintf("-c%d", w.Conns), fmt.Sprintf("-d%ds", int(d.Seconds())),
		"--timeout", "10s", "--latency", url,
	}
	args = append(pin(w, 1), args...)
	text, err := exec.CommandContext(ctx, args[0], args[1:]...).CombinedOutput()
	if err != nil {
		return load{}, fmt.Errorf("wrk: %w: %s", err, text)
	}
	return parseWrk(string(text))
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
func parseWrk(text string) (load, error) {
	var l load
	requests, rate := wrkRequests.FindStringSubmatch(text), wrkRate.FindStringSubmatch(text)
	if requests == nil || rate == nil {
		return l, fmt.Errorf("wrk printed no result: %s", text)
	}
	var errs [4]error
	l.Requests, errs[0] = strconv.Atoi(requests[1])
	l.PerSecond, errs[1] = strconv.ParseFloat(rate[1], 64)
	l.P50, errs[2] = wrkDuration(wrkP50.FindStringSubmatch(text))
	l.P99, errs[3] = wrkDuration(wrkP99.FindStringSubmatch(text))
	if err := errors.Join(errs[:]...); err != nil {
		return l, fmt.Errorf("read wrk's result: %w", err)
	}
	if l.Requests == 0 {
		return l, errors.New("not one request was answered")
	}
	for _, counts := range [][]string{wrkStatus.FindStringSubmatch(text), wrkSocket.FindStringSubmatch(text)} {
		for i := 1; i < len(counts); i++ {
			n, err := strconv.Atoi(counts[i])
			if err != nil {
				return l, fmt.Errorf("read wrk's errors: %w", err)
			}
			l.Errors += n
		}
	}
	return l, nil
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
