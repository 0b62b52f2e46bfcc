// The parts of the gateway and how they are connected: nothing here does anything but pass one part to another.

package cli

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/wicketgate/wicketgate/accesslog"
	"github.com/wicketgate/wicketgate/admin"
	"github.com/wicketgate/wicketgate/config"
	"github.com/wicketgate/wicketgate/dial"
	"github.com/wicketgate/wicketgate/gateway"
	"github.com/wicketgate/wicketgate/listeners"
	"github.com/wicketgate/wicketgate/object"
	"github.com/wicketgate/wicketgate/proxy"
	"github.com/wicketgate/wicketgate/proxy/backend"
	"github.com/wicketgate/wicketgate/proxy/datagram"
	"github.com/wicketgate/wicketgate/proxy/stream"
	"github.com/wicketgate/wicketgate/reconcile"
	"github.com/wicketgate/wicketgate/tls"
	"github.com/wicketgate/wicketgate/wire"
	"github.com/wicketgate/wicketgate/wire/h2"
)

// running is the gateway's parts.
type running struct {
	log          *slog.Logger
	metrics      *prometheus.Registry
	certificates *certificates
	guard        *dial.Guard // of connections
	packetGuard  *dial.Guard // of datagrams
	proxy        *proxy.Proxy
	wire         *wire.Server
	front        *front
	http3        *follower      // nil: it is not served
	sockets      *listeners.Set // of TCP
	packets      *listeners.Set // of UDP
	loader       *config.Loader
	loop         *reconcile.Loop
	admin        *admin.Server
	notify       *notifier
	drainTimeout time.Duration
	stopping     atomic.Bool
	access       *accesslog.Log // nil: there is none
	signals      Signals
}

// assemble makes the parts. Nothing listens, reads or runs yet.
func assemble(o *runOptions, s settings, log *slog.Logger, version admin.Version, inherited *listeners.Inherited, access *accesslog.Log) (*running, error) {
	g := &running{log: log, access: access, guard: &dial.Guard{}, packetGuard: &dial.Guard{}, drainTimeout: o.drainTimeout, metrics: newMetrics(version)}
	dialer := &dial.Dialer{Guard: g.guard}
	registry := backend.NewRegistry(backend.Options{
		Dial:     dialer.Dial,
		DialUnix: (&dial.UnixDialer{Dir: s.gateway.UnixDir}).Dial, SessionKey: s.sessionKey,
		Resolver:  dial.NewResolver(dial.ResolverOptions{Servers: s.dnsServers, Allow: s.dnsNetworks}),
		Datagrams: g.mayReceive,
		Log:       log,
		Portable:  s.transport == wire.Portable,
	})
	g.metrics.MustRegister(newBackendMetrics(registry))
	if access != nil {
		countAccessLog(g.metrics, access)
	}
	var err error
	if g.certificates, err = newCertificates(s, &o.acme, dialer, version.GitVersion, g.certificatesChanged, log, g.metrics); err != nil {
		return nil, err
	}
	streams, datagrams := g.carriers(o, s, inherited)
	g.proxy = proxy.New(proxy.Options{
		Registry: registry, Log: log, AccessLog: access, Metrics: g.metrics, Streams: streams, Datagrams: datagrams,
		Challenge:  g.certificates.engine.HTTP,
		SessionKey: s.sessionKey, TrustedProxies: s.trustedProxies, KeepSlashes: !o.mergeSlashes, Underscore: s.underscore, HTTP3: g.offersHTTP3,
	})
	two := h2.NewServer(h2.Options{Handler: g.proxy, Log: log, Flood: countFloods(g.metrics, "http2", h2.Floods())})
	g.wire = wire.NewServer(wire.Options{Handler: g.proxy, Log: log, Transport: s.transport, HTTP2: two.Adopt, Over: func() { g.front.part() }})
	g.front = &front{wire: g.wire, h2: two, proxy: g.proxy, streams: streams, limit: s.maxConnections, introductions: introductions{trusted: s.trustedProxies, log: log}, tls: tls.NewServer(tls.Options{
		Current: g.proxy.Certificates, Log: log, Done: countHandshakes(g.metrics),
		Challenge: g.certificates.engine.Handshake,
		OnDemand:  g.certificates.engine.OnDemand,
	})}
	g.front.register(g.metrics)
	g.serveHTTP3(o, inherited.ListenUDP)
	g.sockets = listeners.New(listeners.Options{Handle: g.front.accept, Listen: inherited.Listen, Log: log})
	g.loader = config.New(config.Options{Roots: s.roots, Store: openStore(s.stateDir, log), Log: log})
	g.metrics.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "wicketgate_state_write_failures_total", Help: "Attempts to write the state directory that failed.",
	}, func() float64 { return float64(g.loader.KeepFailures()) }))
	g.loop = reconcile.New(reconcile.Options{
		Load:   g.certificates.load(g.load),
		Beside: func() any { return g.certificates.managed },
		Build: func(inForce *gateway.Graph, set *object.Set) *gateway.Graph {
			return g.certificates.build(inForce, set, s.gateway)
		},
		Reports:    g.certificates.engine.Reports,
		Check:      gateway.CertificateProblems,
		Compile:    g.compile,
		Open:       g.open,
		Accept:     g.accept,
		Retire:     g.retire,
		Interfaces: interfaces,
		Own:        g.own,
		Drain:      g.front.drainSocket,
		Served:     g.served(inherited),
		Strict:     o.strict, DrainTimeout: o.drainTimeout, Log: log, Metrics: g.metrics,
	})
	g.metrics.MustRegister(newGatewayMetrics(g.loop.View), newObjectMetrics(g.loop.View, g.certificates.engine.Expiries))
	return g, nil
}

// carriers makes what carries connections and datagrams that are no requests.
func (g *running) carriers(o *runOptions, s settings, inherited *listeners.Inherited) (*stream.Server, *datagram.Server) {
	streams := stream.NewServer(stream.Options{
		Log: g.log, AccessLog: g.access, Metrics: g.metrics, DrainTimeout: o.drainTimeout, Portable: s.transport == wire.Portable,
	})
	datagrams := datagram.NewServer(datagram.Options{
		Listen: inherited.ListenUDP, Log: g.log, AccessLog: g.access, Metrics: g.metrics, Own: g.packetGuard.Own,
		Idle: o.udpSessionTimeout, MaxSessions: s.maxUDPSessions, Portable: s.transport == wire.Portable,
	})
	g.packets = listeners.New(listeners.Options{UDP: true, Log: g.log, Open: func(ctx context.Context, addr netip.AddrPort) (listeners.Socket, error) {
		return datagrams.Open(ctx, addr)
	}})
	return streams, datagrams
}

// mayReceive is the guard's answer for datagrams to an address.
func (g *running) mayReceive(to netip.AddrPort, loopback bool) error {
	return g.packetGuard.Check(to.Addr(), to.Port(), loopback)
}

// load reads the files.
func (g *running) load(ctx context.Context, whole bool) (*config.Result, error) {
	if whole {
		return g.loader.Load(ctx)
	}
	return g.loader.Update(ctx)
}

// certificatesChanged makes the loop see what became of certificates.
func (g *running) certificatesChanged(secrets bool) {
	if secrets {
		g.loop.Trigger()
		return
	}
	g.loop.Refresh()
}

func (g *running) compile(graph *gateway.Graph) (swap func(), problems []object.Problem) {
	next := g.proxy.Compile(graph, g.proxy.Current())
	return g.certificates.compile(graph, func() { g.proxy.Swap(next) }, next.Problems())
}

// open opens sockets.
func (g *running) open(ctx context.Context, want []gateway.Binding) map[gateway.Binding]error {
	tcp, udp := apart(want)
	if g.front.h3 != nil {
		g.front.h3.Yield(udp)
	}
	failed := map[gateway.Binding]error{}
	for at, err := range g.sockets.Open(ctx, tcp) {
		failed[gateway.Binding{AddrPort: at}] = err
	}
	for at, err := range g.packets.Open(ctx, udp) {
		failed[gateway.Binding{AddrPort: at, UDP: true}] = err
	}
	return failed
}

// served has HTTP/3 follow the graph, and then says once of each inherited socket that no listener wants it: who comes to it waits in vain.
func (g *running) served(inherited *listeners.Inherited) func(context.Context, *gateway.Graph) bool {
	told := map[gateway.Binding]bool{}
	return func(ctx context.Context, graph *gateway.Graph) (again bool) {
		again = g.http3.follow(ctx, graph)
		tcp, udp := inherited.Unused()
		for i, at := range slices.Concat(tcp, udp) {
			b := gateway.Binding{AddrPort: at, UDP: i >= len(tcp)}
			if !told[b] {
				told[b] = true
				g.log.Warn("no listener wants a socket that the service manager opened: correct ListenStream=, ListenDatagram= or --port-map",
					"address", at, "udp", b.UDP)
			}
		}
		return again
	}
}

// apart sorts bindings by protocol.
func apart(all []gateway.Binding) (tcp, udp []netip.AddrPort) {
	for _, b := range all {
		if b.UDP {
			udp = append(udp, b.AddrPort)
		} else {
			tcp = append(tcp, b.AddrPort)
		}
	}
	return tcp, udp
}

func (g *running) accept() {
	g.sockets.Accept()
	g.packets.Accept()
}

// retire closes sockets. Those of UDP have nothing to drain: a session has no end that could be waited for.
func (g *running) retire(want []gateway.Binding) []netip.AddrPort {
	tcp, udp := apart(want)
	g.packets.Retire(udp)
	return g.sockets.Retire(tcp)
}

// own tells the dial guards where this process listens, so that no route leads back into it.
func (g *running) own(bound []gateway.Binding) {
	tcp, udp := apart(bound)
	g.guard.SetOwn(append(tcp, g.admin.Address()))
	g.packetGuard.SetOwn(udp)
}

// newMetrics makes the registry with what is known of any Go process.
func newMetrics(version admin.Version) *prometheus.Registry {
	r := prometheus.NewRegistry()
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "wicketgate_build_info", Help: "Always 1; the labels say what is running.",
		ConstLabels: prometheus.Labels{"version": version.GitVersion, "go_version": version.GoVersion},
	})
	build.Set(1)
	r.MustRegister(build, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}

// countHandshakes counts handshakes by outcome.
func countHandshakes(r prometheus.Registerer) func(tls.Outcome) {
	count := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "wicketgate_tls_handshakes_total", Help: "TLS handshakes with clients, by outcome.",
	}, []string{"outcome"})
	r.MustRegister(count)
	ok := count.WithLabelValues(string(tls.Succeeded))
	return func(outcome tls.Outcome) {
		if outcome == tls.Succeeded {
			ok.Inc()
			return
		}
		count.WithLabelValues(string(outcome)).Inc()
	}
}

// countFloods counts connections of a version of HTTP that were ended because of what their client did without end, by kind.
func countFloods(r prometheus.Registerer, version string, kinds []string) func(kind string) {
	count := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "wicketgate_" + version + "_floods_total", Help: "Connections ended because the client does one thing far too often, by kind.",
	}, []string{"kind"})
	r.MustRegister(count)
	for _, kind := range kinds {
		count.WithLabelValues(kind)
	}
	return func(kind string) { count.WithLabelValues(kind).Inc() }
}

// interfaces lists the addresses under which others reach this machine, IPv4 first; if there are none, those of loopback.
func interfaces() []netip.Addr {
	all, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	var found, loopback []netip.Addr
	for _, a := range all {
		network, err := netip.ParsePrefix(a.String())
		if err != nil {
			continue
		}
		switch addr := network.Addr().Unmap(); {
		case addr.IsLoopback():
			loopback = append(loopback, addr)
		case addr.IsGlobalUnicast():
			found = append(found, addr)
		}
	}
	if len(found) == 0 {
		found = loopback
	}
	slices.SortStableFunc(found, func(a, b netip.Addr) int { return a.BitLen() - b.BitLen() })
	return found
}

var _ admin.Source = (*reconcile.Loop)(nil)
