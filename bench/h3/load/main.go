// Command load asks over HTTP/3: some connections, each with some requests in flight, as soon as they are answered, for a window of time. It
// prints what came of it as JSON, as bench/load does.
package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
)

// result has the fields of bench/load's.
type result struct {
	Requests  int           `json:"requests"`
	PerSecond float64       `json:"perSecond"`
	P50       time.Duration `json:"p50"`
	P99       time.Duration `json:"p99"`
	P999      time.Duration `json:"p999"`
	Errors    int           `json:"errors"`
	LastError string        `json:"lastError,omitempty"`
}

// host is whom to ask for, whatever the address.
const host = "bench.example.com"

// asker is one request at a time on a shared connection.
type asker struct {
	client    *http.Client
	latencies []time.Duration
	errors    int
	last      error
}

func main() {
	to := flag.String("to", "", "URL to get")
	conns := flag.Int("conns", 8, "connections")
	streams := flag.Int("streams", 8, "requests in flight on each")
	window := flag.Duration("for", time.Second, "how long")
	flag.Parse()
	r, err := run(*to, *conns, *streams, *window)
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(r)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
}

// run asks for a window of time.
func run(url string, conns, streams int, window time.Duration) (result, error) {
	ctx, cancel := context.WithTimeout(context.Background(), window)
	defer cancel()
	askers := make([]asker, conns*streams)
	begin := time.Now()
	var wait sync.WaitGroup
	for i := range conns {
		transport := &http3.Transport{
			TLSClientConfig: &tls.Config{ServerName: host, InsecureSkipVerify: true, CurvePreferences: []tls.CurveID{tls.X25519}},
			QUICConfig:      &quic.Config{InitialStreamReceiveWindow: 1 << 20, InitialConnectionReceiveWindow: 4 << 20},
		}
		defer transport.Close()
		for j := range streams {
			a := &askers[i*streams+j]
			a.client = &http.Client{Transport: transport}
			wait.Go(func() { a.ask(ctx, url) })
		}
	}
	wait.Wait()
	return summarise(askers, time.Since(begin))
}

// ask goes on until the time is over or nothing works.
func (a *asker) ask(ctx context.Context, url string) {
	for ctx.Err() == nil && a.errors < 100 {
		begin := time.Now()
		if err := get(ctx, a.client, url); err == nil {
			a.latencies = append(a.latencies, time.Since(begin))
		} else if ctx.Err() == nil {
			a.errors++
			a.last = err
		}
	}
}

func get(ctx context.Context, client *http.Client, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return fmt.Errorf("make a request: %w", err)
	}
	req.Host = host
	res, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("get: %w", err)
	}
	defer res.Body.Close()
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		return fmt.Errorf("read: %w", err)
	}
	if res.StatusCode != http.StatusOK {
		return errors.New(res.Status)
	}
	return nil
}

func summarise(askers []asker, took time.Duration) (result, error) {
	var r result
	var all []time.Duration
	for _, a := range askers {
		all = append(all, a.latencies...)
		r.Errors += a.errors
		if a.last != nil {
			r.LastError = a.last.Error()
		}
	}
	if r.Requests = len(all); r.Requests == 0 {
		return r, errors.New("not one request was answered: " + r.LastError)
	}
	slices.Sort(all)
	at := func(q float64) time.Duration { return all[int(q*float64(len(all)-1))] }
	r.PerSecond = float64(len(all)) / took.Seconds()
	r.P50, r.P99, r.P999 = at(0.5), at(0.99), at(0.999)
	return r, nil
}
