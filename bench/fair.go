//go:build linux

// Fairness: what one client that moves large bodies does to the latency of others.

package main

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// besides is how long the client with large bodies is at work before the others are measured, and after.
const besides = 200 * time.Millisecond

func fairRow() row {
	return row{
		Name: "fairness", Kind: "http", Backend: "http", Pinned: true, Share: 0.2, Run: measureFairness,
		Load: load{Tool: ownTool, Protocol: "get", Conns: 16, Streams: 1},
	}
}

// fairness is what the rounds showed of one proxy.
type fairness struct {
	alone, beside []sample
	bulk          []float64 // requests a second of the client with large bodies
}

// measureFairness gives every proxy two windows of the same open load in each round: alone, and beside one connection that uploads 1 MiB and
// downloads 10 MiB all the time.
func measureFairness(b *bench, w row) (result, error) {
	f, err := b.start(w)
	if err != nil {
		return result{}, err
	}
	defer f.stop()
	r := result{row: w, Missing: f.missing, Samples: map[string][]sample{}}
	if len(f.proxies) == 0 {
		return r, errors.New("there is no proxy to measure")
	}
	if err := b.setRate(&w, f.proxies[0]); err != nil {
		return result{}, err
	}
	shown := map[string]*fairness{}
	for _, p := range f.proxies {
		shown[p.name] = &fairness{}
		if err := b.warm(f, w, p); err != nil {
			return result{}, err
		}
	}
	for n := range b.rounds {
		for i := range f.proxies {
			p := f.proxies[i]
			if n%2 == 1 {
				p = f.proxies[len(f.proxies)-1-i]
			}
			if err := b.fairRound(w, p, shown[p.name]); err != nil {
				return result{}, fmt.Errorf("%s: %w\n%s", p.name, err, f.log(p.name))
			}
			fair := shown[p.name]
			fmt.Fprintf(b.out, "%s round %d %-12s p99 alone %v, beside %v, errors %d\n", w.Name, n+1, p.name, fair.alone[n].P99, fair.beside[n].P99, fair.beside[n].Errors)
		}
	}
	for name, fair := range shown {
		r.Samples[name] = append(fair.alone, fair.beside...)
	}
	r.Table = fairTable(f.proxies, shown, w.Load.Rate)
	return r, nil
}

// fairRound measures one proxy without and with the client that moves large bodies.
func (b *bench) fairRound(w row, p *proxy, fair *fairness) error {
	alone, err := b.sample(w, p)
	if err != nil {
		return err
	}
	bulk := w
	bulk.Load = load{Tool: ownTool, Protocol: "bulk", Conns: 1, Streams: 1}
	type outcome struct {
		figures
		err error
	}
	done := make(chan outcome, 1)
	go func() {
		var o outcome
		o.err = b.patiently(b.window+2*besides, func(d time.Duration) (err error) { o.figures, err = b.generate(bulk, p, d); return err })
		done <- o
	}()
	time.Sleep(besides)
	beside, err := b.sample(w, p)
	moved := <-done
	if err := errors.Join(err, moved.err); err != nil {
		return err
	}
	beside.Errors += moved.Errors
	fair.alone, fair.beside = append(fair.alone, alone), append(fair.beside, beside)
	fair.bulk = append(fair.bulk, moved.PerSecond)
	return nil
}

func fairTable(proxies []*proxy, shown map[string]*fairness, rate float64) string {
	var t strings.Builder
	fmt.Fprintf(&t, "GET, 128 bytes, open load of %.0f requests/s (20%% of what nginx can do), 16 connections, alone and beside one connection that\n"+
		"uploads 1 MiB and downloads 10 MiB all the time: what that does to the p99 of the others. Proxy on CPU 0, load and backend on CPU 1.\n\n", rate)
	t.WriteString("| proxy | p50 alone | p50 beside | p99 alone | p99 beside | p99 raised to | large bodies/s |\n|---|---|---|---|---|---|---|\n")
	for _, p := range proxies {
		fair := shown[p.name]
		took := func(list []sample, of func(sample) time.Duration) string {
			return time.Duration(quantile(column(list, func(s sample) float64 { return float64(of(s)) }), 0.5)).Round(time.Microsecond).String()
		}
		p50, p99 := func(s sample) time.Duration { return s.P50 }, func(s sample) time.Duration { return s.P99 }
		var raised []float64
		for i := range fair.alone {
			raised = append(raised, float64(fair.beside[i].P99)/float64(max(1, fair.alone[i].P99)))
		}
		fmt.Fprintf(&t, "| %s | %s | %s | %s | %s | %.1f times [%.1f-%.1f] | %.1f |\n", p.name, took(fair.alone, p50), took(fair.beside, p50),
			took(fair.alone, p99), took(fair.beside, p99), quantile(raised, 0.5), quantile(raised, 0.25), quantile(raised, 0.75), quantile(fair.bulk, 0.5))
	}
	return t.String()
}
