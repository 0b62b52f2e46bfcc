// Log lines for connections that fail: each names what to look at in the YAML, and of a flood only the first are written.

package stream

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"time"

	"github.com/wicketgate/wicketgate/accesslog"
)

// level is that of a line about an outcome: what clients do, and what was to be expected, is news for nobody else.
func (o Outcome) level() slog.Level {
	switch o {
	case NoEndpoint, ConnectFailed, BackendTLS, Unusable, Failed:
		return slog.LevelWarn
	case OK, Drained, ClientReset, BackendReset, ClientGone, ClientTLS:
	}
	return slog.LevelDebug
}

// report writes the line of a connection that is over, if there is one.
func (c *conn) report(how Outcome, err error) {
	log, level := c.server.log, how.level()
	if !log.Enabled(context.Background(), level) {
		return
	}
	attrs := make([]slog.Attr, 0, 16)
	if level > slog.LevelDebug {
		ok, before := c.series.Counts.logged[how].Allow(time.Now())
		if !ok {
			return
		}
		if before > 0 {
			attrs = append(attrs, slog.Int("not_logged_before", before))
		}
	}
	l := c.series.Labels
	for _, a := range []slog.Attr{
		slog.String("outcome", how.String()), slog.String("gateway", l.Gateway), slog.String("listener", l.Listener), slog.String("route", l.Route),
		slog.String("backend", l.Backend), slog.String("at", c.route.At),
	} {
		if a.Value.String() != "" {
			attrs = append(attrs, a)
		}
	}
	attrs = append(attrs, slog.String("client", c.in.Client.RemoteAddr().String()))
	if c.endpoint.IsValid() {
		attrs = append(attrs, slog.String("endpoint", c.endpoint.String()))
	}
	if err != nil {
		attrs = append(attrs, slog.Any("error", err))
	}
	if level > slog.LevelDebug {
		log.LogAttrs(context.Background(), level, "connection failed", attrs...)
		return
	}
	attrs = append(attrs, slog.Int64("bytes_in", c.up.Load()), slog.Int64("bytes_out", c.down.Load()), slog.Duration("took", time.Since(c.begun)))
	log.LogAttrs(context.Background(), level, "connection ended", attrs...)
}

// record writes the access log's line.
func (c *conn) record(how Outcome, err error) {
	if c.server.access == nil {
		return
	}
	l := c.series.Labels
	e := accesslog.Entry{
		Time: c.begun, Duration: time.Since(c.begun), Client: addrPort(c.in.Client.RemoteAddr()), Local: addrPort(c.in.Client.LocalAddr()),
		Protocol: "TCP", ServerName: c.in.ServerName, Sent: c.down.Load(), Received: c.up.Load(),
		Gateway: l.Gateway, Listener: l.Listener, Route: l.Route, Backend: l.Backend, Endpoint: c.endpoint,
	}
	if c.in.TLS {
		e.Protocol = "TLS"
	}
	if how != OK {
		if e.Reason = how.String(); err != nil {
			e.Reason += ": " + err.Error()
		}
	}
	c.server.access.Write(&e)
}

func addrPort(a net.Addr) netip.AddrPort {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	at := tcp.AddrPort()
	return netip.AddrPortFrom(at.Addr().Unmap(), at.Port())
}
