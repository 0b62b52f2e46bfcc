// HTTP/3 beside the TCP sockets: the same listeners, followed from configuration to configuration.

package cli

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/wicketgate/wicketgate/gateway"
	"github.com/wicketgate/wicketgate/wire/h3"
)

// follower keeps the UDP sockets of HTTP/3 equal to what a graph asks for. Follow is called by one goroutine.
type follower struct {
	server *h3.Server
	log    *slog.Logger
	drain  time.Duration
	told   map[netip.AddrPort]string // what was said of sockets that could not be bound
}

// serveHTTP3 makes what serves HTTP/3, unless that is turned off.
func (g *running) serveHTTP3(o *runOptions, listen func(context.Context, netip.AddrPort) (*net.UDPConn, error)) {
	if !o.http3 {
		return
	}
	g.front.h3 = h3.NewServer(h3.Options{
		Handler: g.proxy, TLS: g.front.tls.QUIC, Listen: listen, EarlyData: o.http3EarlyData, Log: g.log, Join: g.front.join, Part: g.front.part,
		Flood: countFloods(g.metrics, "http3", h3.Floods()),
	})
	g.http3 = &follower{server: g.front.h3, log: g.log, drain: o.drainTimeout, told: map[netip.AddrPort]string{}}
	g.http3.register(g.metrics)
}

// offersHTTP3 says whether HTTP/3 is served on a socket.
func (g *running) offersHTTP3(bind netip.AddrPort) bool {
	return g.http3 != nil && g.http3.server.Serving(bind)
}

// follow opens and retires sockets. One that cannot be bound costs HTTP/3 there, and nothing else: clients are not told of it, and come over TCP.
// It reports whether there is such a socket.
func (f *follower) follow(ctx context.Context, g *gateway.Graph) (again bool) {
	if f == nil {
		return false
	}
	gone, failed := f.server.Follow(g.HTTP3())
	for at, err := range failed {
		if f.told[at] != err.Error() {
			f.log.Warn("HTTP/3 is not served on this address until its UDP port can be bound; HTTP/2 and HTTP/1.1 are", "address", at, "error", err)
		}
		f.told[at] = err.Error()
	}
	for at := range f.told {
		if failed[at] == nil {
			delete(f.told, at)
		}
	}
	for _, at := range gone {
		until, cancel := context.WithTimeout(context.WithoutCancel(ctx), f.drain)
		go func() {
			defer cancel()
			f.server.Drain(until, at)
		}()
	}
	return len(failed) > 0
}

// register makes the server's counts metrics.
func (f *follower) register(r prometheus.Registerer) {
	m := f.server.Metrics()
	count := func(name, help string, get func() uint64) prometheus.Collector {
		return prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "wicketgate_http3_" + name + "_total", Help: help}, func() float64 { return float64(get()) })
	}
	r.MustRegister(
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "wicketgate_http3_connections_active", Help: "Connections over QUIC."},
			func() float64 { return float64(m.Connections.Load()) }),
		count("connections", "Connections over QUIC whose handshake succeeded.", m.Accepted.Load),
		count("retries", "Handshakes that had to prove the client's address, because many were under way.", m.Retried.Load),
		count("connections_refused", "Connections over QUIC refused because there are too many, or one address has too many.", m.Refused.Load),
	)
}
