// Package admin is the administrative HTTP interface: Kubernetes' own read-only REST paths for the objects that are served, with their
// statuses, and beside them health, metrics, profiles and reload.
//
// It is not the data path: it may be slow, it uses net/http, and it listens on a loopback address unless told otherwise. What
// keeps others out is in guard.go.
package admin

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"net/netip"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/net/netutil"

	"github.com/wicketgate/wicketgate/reconcile"
)

// DefaultAddress is where the interface listens if nothing else is said.
const DefaultAddress = "127.0.0.1:9080"

// maxConnections bounds what a scraper gone wild can hold open.
const maxConnections = 256

// Source is what the interface shows. A *reconcile.Loop is one.
type Source interface {
	View() *reconcile.View
	Reload(ctx context.Context) (*reconcile.View, error)
	Await(ctx context.Context, digest string) (*reconcile.View, error)
}

// Options configure the interface.
type Options struct {
	Source Source
	// Metrics is what /metrics shows. Nil: nothing.
	Metrics prometheus.Gatherer
	// Version is what /version answers.
	Version Version
	// Hosts are the names, beside localhost and every IP address, under which the interface may be asked.
	Hosts []string
	// TokenFile names a file with the token that requests must bear. Empty: none is asked for.
	TokenFile string
	// TLS secures the interface. A client certificate that it asks for is asked for beside the token.
	TLS TLS
	// Stopping says that the process is about to end: it is not ready any more. Nil: never.
	Stopping func() bool
	Log      *slog.Logger
	Now      func() time.Time // nil: time.Now
}

// api is the handler behind the guard.
type api struct {
	source   Source
	version  Version
	stopping func() bool
	log      *slog.Logger
	now      func() time.Time
}

// NewHandler returns the interface as a handler, guard included.
func NewHandler(o Options) http.Handler {
	a := &api{source: o.Source, version: o.Version.semantic(), stopping: o.Stopping, log: o.Log, now: o.Now}
	if a.log == nil {
		a.log = slog.New(slog.DiscardHandler)
	}
	if a.now == nil {
		a.now = time.Now
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/{$}", readOnly(a.index))
	mux.HandleFunc("/", readOnly(func(w http.ResponseWriter, r *http.Request) { writeStatus(w, notFoundPath(r.URL.Path)) }))
	mux.HandleFunc("/api", readOnly(a.coreVersions))
	mux.HandleFunc("/apis", readOnly(a.groups))
	mux.HandleFunc("/api/", readOnly(a.objects))
	mux.HandleFunc("/apis/", readOnly(a.objects))
	mux.HandleFunc("/openapi/", readOnly(noSchemas))
	mux.HandleFunc("/healthz", readOnly(a.healthz))
	mux.HandleFunc("/readyz", readOnly(a.readyz))
	mux.HandleFunc("/version", readOnly(func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, http.StatusOK, a.version) }))
	mux.HandleFunc("/reload", a.reload)
	if o.Metrics != nil {
		mux.Handle("/metrics", promhttp.HandlerFor(o.Metrics, promhttp.HandlerOpts{}))
	}
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	return &guard{next: mux, hosts: o.Hosts, tokenFile: o.TokenFile, certificates: o.TLS.ClientCA != "", log: a.log}
}

// Server is the interface on its socket.
type Server struct {
	listener net.Listener
	http     *http.Server
	secrets  *secrets // nil: plain HTTP
}

// Listen opens the socket. An address that others can reach is refused unless a token or client certificates are asked for. An error is meant to be fatal: a gateway that
// nobody can ask what it does is not what its owner wanted.
func Listen(ctx context.Context, address string, o Options) (*Server, error) {
	addr, err := netip.ParseAddrPort(address)
	if err != nil {
		return nil, fmt.Errorf("admin address %q is not IP:PORT, such as %s: %w", address, DefaultAddress, err)
	}
	if !addr.Addr().IsLoopback() && o.TokenFile == "" && o.TLS.ClientCA == "" {
		return nil, fmt.Errorf("admin address %s can be reached from other machines: give --admin-token-file or --admin-tls-client-ca as well, "+
			"or use a loopback address such as %s", address, DefaultAddress)
	}
	secrets, err := o.secrets()
	if err != nil {
		return nil, err
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("cannot listen on the admin address (choose another one with --admin): %w", err)
	}
	s := &Server{listener: l, secrets: secrets, http: &http.Server{
		Handler:           NewHandler(o),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      5 * time.Minute, // a profile or a wait for a digest takes its time
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    32 << 10,
	}}
	if o.Log != nil {
		s.http.ErrorLog = slog.NewLogLogger(o.Log.Handler(), slog.LevelDebug)
	}
	return s, nil
}

// secrets reads what keeps others out, so that a gateway does not start with a file that is missing. Nil: there is no TLS.
func (o *Options) secrets() (*secrets, error) {
	if o.TokenFile != "" {
		if _, err := readToken(o.TokenFile); err != nil {
			return nil, err
		}
	}
	if err := o.TLS.check(); err != nil || !o.TLS.Enabled() {
		return nil, err
	}
	log := o.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return newSecrets(o.TLS, log)
}

// Address is where the server listens.
func (s *Server) Address() netip.AddrPort {
	tcp, ok := s.listener.Addr().(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	return tcp.AddrPort()
}

// Serve answers until Close. It returns an error if it ends for any other reason.
func (s *Server) Serve() error {
	l := netutil.LimitListener(s.listener, maxConnections)
	if s.secrets != nil {
		l = tls.NewListener(l, &tls.Config{GetConfigForClient: s.secrets.config, MinVersion: tls.VersionTLS12, SessionTicketsDisabled: true})
	}
	if err := s.http.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("admin interface: %w", err)
	}
	return nil
}

// Close ends the server and its connections at once.
func (s *Server) Close() { _ = s.http.Close() }

// readOnly refuses what is neither GET nor HEAD.
func readOnly(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			writeStatus(w, methodNotAllowed(r.Method))
			return
		}
		next(w, r)
	}
}

// writeJSON answers with v. A client that has left is its own problem.
func writeJSON(w http.ResponseWriter, code int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(v)
}

func (a *api) index(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, map[string][]string{"paths": {
		"/api", "/apis", "/debug/pprof/", "/healthz", "/metrics", "/readyz", "/reload", "/version",
	}})
}
