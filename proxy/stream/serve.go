// The way of one connection.

package stream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"runtime/debug"
	"slices"
	"sync/atomic"
	"time"

	"github.com/wicketgate/wicketgate/proxy/backend"
)

// conn is one connection. Its goroutine owns it; others may end it (set.go).
type conn struct {
	server *Server
	in     Connection
	route  *Route
	share  *Share
	series *Series
	begun  time.Time

	endpoint netip.AddrPort
	// up counts bytes from the client, down those to it.
	up, down atomic.Int64
	ends     atomic.Int32           // directions whose source has said all
	counts   atomic.Pointer[Series] // series, for the collector
	counted  bool                   // up and down are in the series; guarded by metrics.mu

	dialling dialling
	control
}

// Serve carries one connection from its choice of a backend to its end. It blocks until then and closes what it was given.
func (s *Server) Serve(in Connection, r *Route) {
	c := &conn{server: s, in: in, route: r, begun: time.Now()}
	defer c.release()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	c.client, c.cancel = in.Client, cancel
	if !s.add(c) {
		_ = in.Client.Close()
		return
	}
	defer s.remove(c)
	c.choose()
	c.series.Counts.active.Add(1)
	outcome, err := c.run(ctx)
	c.close(outcome)
	c.count(outcome)
	c.report(outcome, err)
	c.record(outcome, err)
}

// release lets go of the configuration that the route belongs to, once.
func (c *conn) release() {
	if f := c.in.Release; f != nil {
		c.in.Release = nil
		f()
	}
}

// choose picks the share and holds its series to the end, however long the route lives.
func (c *conn) choose() {
	c.series = c.route.Refused
	if c.route.Unusable == "" {
		at := 0
		if c.route.Pick != nil {
			at = c.route.Pick()
		}
		c.share = &c.route.Shares[at]
		c.series = c.share.Series
	}
	c.series.Hold()
	c.counts.Store(c.series)
}

// run does all the work and says how it ended; err says why where that is worth a line. A panic ends this connection and no other.
func (c *conn) run(ctx context.Context) (outcome Outcome, err error) {
	defer func() {
		if v := recover(); v != nil {
			outcome, err = Failed, fmt.Errorf("panic: %v", v)
			c.server.log.LogAttrs(context.Background(), slog.LevelError, "connection ended by a panic", slog.Any("panic", v),
				slog.String("client", c.in.Client.RemoteAddr().String()), slog.String("stack", string(debug.Stack())))
		}
	}()
	switch {
	case c.route.Unusable != "":
		return Unusable, errors.New(c.route.Unusable)
	case c.share.Unusable != "":
		return Unusable, errors.New(c.share.Unusable)
	}
	client, outcome, err := c.establish(ctx)
	if err != nil {
		return outcome, err
	}
	c.release()
	return c.relay(client, c.backend, nil)
}

// establish connects to a backend and finishes the client's handshake, if there is one, and returns the connection that carries what the client
// says. Usually the handshake comes first, so that a client that does not finish it costs no backend anything. But where the backend chooses
// the application's protocol, it is asked before the client is told.
func (c *conn) establish(ctx context.Context) (net.Conn, Outcome, error) {
	client := c.in.Client
	handshake := func(protocols ...string) error {
		secured, err := c.in.Handshake(protocols)
		if err == nil {
			client = secured
			c.secured(secured)
		}
		return err
	}
	asks := c.in.Handshake != nil && c.share.Secure && len(c.in.Offered) > 0
	if c.in.Handshake != nil && !asks {
		var protocols []string
		if slices.Contains(c.in.Offered, c.share.Protocol) {
			protocols = []string{c.share.Protocol}
		}
		if err := handshake(protocols...); err != nil {
			return nil, ClientTLS, err
		}
	}
	if outcome, err := c.connect(ctx); err != nil {
		return nil, outcome, err
	}
	if asks {
		var protocols []string
		if chosen := negotiated(c.backend); chosen != "" {
			protocols = []string{chosen}
		}
		if err := handshake(protocols...); err != nil {
			return nil, ClientTLS, err
		}
	}
	return client, OK, nil
}

// connect opens the connection to a backend. A client that resets its own meanwhile ends the attempt.
func (c *conn) connect(ctx context.Context) (Outcome, error) {
	c.server.begin(c)
	var offered []string
	if c.in.Handshake != nil {
		offered = c.in.Offered
	}
	to, endpoint, err := c.share.Backend.Connect(ctx, c.in.Client, offered)
	gone := c.dialled()
	c.endpoint = endpoint
	switch {
	case err == nil && c.connected(to):
		return OK, nil
	case err == nil:
		_ = to.Close()
		return Drained, errEnded
	case gone:
		return ClientGone, err
	case c.ended():
		return Drained, err
	}
	return failure(err), err
}

// failure is the outcome of a connection for which no endpoint was found.
func failure(err error) Outcome {
	failed, ok := errors.AsType[*backend.Error](err)
	if !ok {
		return Failed
	}
	switch failed.Result {
	case backend.NoEndpoint:
		return NoEndpoint
	case backend.ConnectFailed:
		return ConnectFailed
	case backend.HandshakeFailed:
		return BackendTLS
	case backend.ClientGone:
		return ClientGone
	}
	return Failed
}

// errEnded says that the connection was ended from outside: its listener was removed, or the process stops.
var errEnded = errors.New("the connection was ended: its listener was removed, or the process stops")
