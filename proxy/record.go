// The access log's line about a request.

package proxy

import (
	"crypto/tls"
	"time"

	"github.com/wicketgate/wicketgate/accesslog"
	"github.com/wicketgate/wicketgate/wire"
)

// record writes the request's line. It is called when the request is over and before anything of it is given back.
func (c *call) record(l *accesslog.Log) {
	if c.entry == nil {
		c.entry = new(accesslog.Entry)
	}
	e := c.entry
	connected(e, c.peer)
	e.Time = c.x.Arrived()
	e.Duration = time.Since(e.Time)
	if e.Protocol == "" {
		e.Protocol = "HTTP/1.1"
		if c.req.Minor == 0 {
			e.Protocol = "HTTP/1.0"
		}
	}
	e.Method, e.Host, e.Path, e.Query = c.req.Method, c.req.Authority, c.sentPath(), c.req.Query
	if c.conn != nil && len(c.conn.host) > 0 {
		e.Host = c.conn.host // what was matched, before any rewrite
	}
	e.Referer, e.UserAgent = c.req.Fields.Get("referer"), c.req.Fields.Get("user-agent")
	e.Status, e.Sent, e.Reason = c.status, c.x.Written(), c.why
	if c.called {
		e.GRPCStatus = c.code.String()
	}
	if c.counts != nil {
		of := c.counts.labels()
		e.Gateway, e.Listener, e.Route, e.Rule = of.gateway, of.listener, of.route, of.rule
	}
	if c.share != nil && c.share.source.Target != nil {
		e.Backend = c.share.source.Target.Key
	}
	e.Endpoint, e.Socket, e.Attempts = c.res.Endpoint, c.res.Socket, c.res.Attempts
	l.Write(e)
	*e = accesslog.Entry{}
}

// recordRefused writes the line about a request that the wire refused before it could be understood.
func recordRefused(l *accesslog.Log, peer *wire.Peer, status int, why error) {
	e := &accesslog.Entry{Time: time.Now(), Status: status}
	connected(e, peer)
	if why != nil {
		e.Reason = why.Error()
	}
	l.Write(e)
}

// connected fills in what is known of the connection.
func connected(e *accesslog.Entry, peer *wire.Peer) {
	e.Client, e.Local, e.Protocol = peer.Remote, peer.Local, peer.Protocol
	if t := peer.TLS; t != nil {
		e.TLS, e.ServerName = tls.VersionName(t.Version), t.ServerName
	}
}
