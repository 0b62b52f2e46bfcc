// What a line can say.

package accesslog

import (
	"net/netip"
	"time"
)

// Entry is one request or connection. Its slices are only read while Write runs. What is empty or zero is unknown, or does not
// apply.
type Entry struct {
	Time     time.Time // when its first byte came
	Duration time.Duration
	Client   netip.AddrPort
	Local    netip.AddrPort // where the client connected to
	// Protocol is "HTTP/1.0", "HTTP/1.1", "HTTP/2", "HTTP/3", "TCP", "TLS" or "UDP".
	Protocol string
	// TLS is the version ("TLS 1.3"), empty on plain connections; ServerName what the client asked for in its handshake.
	TLS, ServerName string

	// Method to UserAgent are a request's. Path is as it was matched, before any rewrite; Query has no '?'.
	Method, Host, Path, Query, Referer, UserAgent []byte
	Status                                        int
	// GRPCStatus is the name of a gRPC call's status ("OK", "UNAVAILABLE"); "none" if it got none.
	GRPCStatus string
	// Sent counts bytes of content to the client, Received those from it (connections only).
	Sent, Received int64

	// Gateway and Route are "namespace/name"; Rule is its name, or its index.
	Gateway, Listener, Route, Rule string
	// Backend is the target ("Service default/cart:8080"), Endpoint the address that answered, or Socket the path of the Unix socket, Attempts how
	// many were tried.
	Backend  string
	Endpoint netip.AddrPort
	Socket   string
	Attempts int
	// Reason says why the gateway answered by itself, or why the connection ended early.
	Reason string
}
