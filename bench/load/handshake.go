//go:build linux

// TLS handshakes: each on a connection of its own, followed by one request, since TLS 1.3 gives out the means to resume a session only after the
// handshake.

package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"time"
)

// worker makes one connection after the other.
type worker struct {
	config    *tls.Config
	latencies []time.Duration
	resumed   int
	errors    int
	last      error
}

// handshakes runs as many workers as there are to be connections.
func handshakes(s settings) (Result, error) {
	workers := make([]worker, s.conns)
	begin := time.Now()
	var wait sync.WaitGroup
	for i := range workers {
		w := &workers[i]
		w.config = clientConfig()
		if s.resume {
			w.config.ClientSessionCache = tls.NewLRUClientSessionCache(4)
		}
		wait.Go(func() {
			for time.Since(begin) < s.window && w.errors < 100 {
				w.config.ServerName = serverName(s.names)
				if err := w.connect(context.Background(), s.to.String()); err != nil {
					w.errors++
					w.last = err
				}
			}
		})
	}
	wait.Wait()
	var r Result
	var all []time.Duration
	resumed := 0
	for _, w := range workers {
		all = append(all, w.latencies...)
		resumed += w.resumed
		r.Errors += w.errors
		if w.last != nil {
			r.LastError = w.last.Error()
		}
	}
	if r.Requests = len(all); r.Requests == 0 {
		return r, errors.New("not one handshake: " + r.LastError)
	}
	// A worker's first handshake cannot be resumed.
	if want := len(all) - len(workers); s.resume && resumed < want*9/10 || !s.resume && resumed > 0 {
		return r, fmt.Errorf("%d of %d sessions were resumed", resumed, len(all))
	}
	r.summarise(all, time.Since(begin))
	return r, nil
}

// clientConfig has what all loads over TLS have in common: the key exchange and the cipher are fixed, so that all proxies do the same work.
func clientConfig() *tls.Config {
	return &tls.Config{
		InsecureSkipVerify: true, // the benchmark's own certificate, which is not what is measured
		MinVersion:         tls.VersionTLS13,
		CurvePreferences:   []tls.CurveID{tls.X25519},
	}
}

func serverName(n int) string {
	if n <= 1 {
		return "bench.example.com"
	}
	i := rand.IntN(n)
	return fmt.Sprintf("h%d.g%d.example.com", i, i/64)
}

func (w *worker) connect(ctx context.Context, to string) error {
	begin := time.Now()
	c, err := dial(ctx, to)
	if err != nil {
		return err
	}
	defer c.Close()
	_ = c.SetDeadline(begin.Add(10 * time.Second))
	t := tls.Client(c, w.config)
	if err := t.HandshakeContext(ctx); err != nil {
		return fmt.Errorf("handshake: %w", err)
	}
	took := time.Since(begin)
	if err := request(t, w.config.ServerName); err != nil {
		return err
	}
	w.latencies = append(w.latencies, took)
	if t.ConnectionState().DidResume {
		w.resumed++
	}
	return nil
}

// dial connects within a few seconds.
func dial(ctx context.Context, to string) (net.Conn, error) {
	d := net.Dialer{Timeout: 5 * time.Second}
	c, err := d.DialContext(ctx, "tcp", to)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	return c, nil
}

// request asks for the 128 bytes, and reads the whole answer.
func request(c io.ReadWriter, host string) error {
	if _, err := fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: %s\r\n\r\n", host); err != nil {
		return fmt.Errorf("send: %w", err)
	}
	s := &httpSession{}
	var e events
	buffer := make([]byte, 4096)
	for len(e.done) == 0 {
		n, err := c.Read(buffer)
		if err != nil {
			return fmt.Errorf("receive: %w", err)
		}
		if _, err := s.receive(buffer[:n], nil, &e); err != nil {
			return err
		}
	}
	return nil
}
