// Telling the service manager how it stands: systemd's sd_notify(3) protocol, one datagram of VARIABLE=value lines to the socket that
// NOTIFY_SOCKET names.

package cli

import (
	"context"
	"fmt"
	"log/slog"
	"net"

	"github.com/wicketgate/wicketgate/reconcile"
)

// notifier tells a service manager of the process's state. A nil one tells nobody. Its methods may be called concurrently.
type notifier struct {
	conn net.Conn
	log  *slog.Logger
}

// newNotifier connects to the service manager that the environment names, and returns nil if there is none. That it cannot be reached is no
// reason not to serve.
func newNotifier(ctx context.Context, getenv func(string) string, log *slog.Logger) *notifier {
	path := getenv("NOTIFY_SOCKET")
	if path == "" {
		return nil
	}
	// A leading @ is an abstract socket: package net knows that spelling.
	conn, err := new(net.Dialer).DialContext(ctx, "unixgram", path)
	if err != nil {
		log.Warn("cannot reach the service manager, which will not know when the gateway is ready", "NOTIFY_SOCKET", path, "error", err)
		return nil
	}
	return &notifier{conn: conn, log: log}
}

func (n *notifier) close() {
	if n != nil {
		_ = n.conn.Close() // datagrams have been sent or not
	}
}

// tell sends lines such as READY=1.
func (n *notifier) tell(lines string) {
	if n == nil {
		return
	}
	if _, err := n.conn.Write([]byte(lines)); err != nil {
		n.log.Debug("the service manager was not told", "state", lines, "error", err)
	}
}

// stopping says that nothing is accepted any more.
func (n *notifier) stopping() { n.tell("STOPPING=1\nSTATUS=Draining: requests in flight may finish") }

// follow says that the gateway is ready once it serves, and what it serves each time that changes, until ctx ends.
func (n *notifier) follow(ctx context.Context, loop *reconcile.Loop) {
	if n == nil {
		return
	}
	for {
		view, changed := loop.Changed()
		if view != nil {
			n.tell(fmt.Sprintf("READY=1\nSTATUS=Serving %d routes from %d files, %d errors", len(view.Graph.Routes), view.Files, view.Errors()))
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}
