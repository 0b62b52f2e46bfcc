// Connections that another proxy has opened for a client, and says so in a header of the PROXY protocol.

package cli

import (
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/wicketgate/wicketgate/wire/proxyproto"
)

// introductionTimeout is how long a proxy may take for its header.
const introductionTimeout = 10 * time.Second

// introductionLogPause is the least time between two lines about connections without a valid header.
const introductionLogPause = 10 * time.Second

// introductions reads headers. It may be used concurrently once its fields are set.
type introductions struct {
	trusted []netip.Prefix // who is believed
	log     *slog.Logger

	failed *prometheus.CounterVec
	logged atomic.Int64 // when the last line was written, in Unix nanoseconds
}

// introduce reads the header of a connection and returns it under its client's address. Where a header is due there is no connection without
// one: it closes what comes from somebody who is not trusted, or does not begin with a header, and returns nil.
func (i *introductions) introduce(c net.Conn, socket netip.AddrPort) net.Conn {
	tcp, ok := c.(*net.TCPConn)
	peer, known := c.RemoteAddr().(*net.TCPAddr)
	if !ok || !known {
		_ = c.Close()
		return nil
	}
	from := peer.AddrPort().Addr().Unmap().WithZone("")
	if !slices.ContainsFunc(i.trusted, func(p netip.Prefix) bool { return p.Contains(from) }) {
		i.fail(c, socket, "untrusted", errors.New("--trusted-proxies does not have this address"))
		return nil
	}
	_ = c.SetReadDeadline(time.Now().Add(introductionTimeout)) // a dead connection fails in the read
	header, err := proxyproto.Read(c)
	if err == nil {
		err = c.SetReadDeadline(time.Time{})
	}
	switch {
	case err == nil:
		return proxyproto.NewConn(tcp, header)
	case errors.Is(err, proxyproto.ErrMalformed):
		i.fail(c, socket, "malformed", err)
	case errors.Is(err, os.ErrDeadlineExceeded):
		i.fail(c, socket, "timeout", err)
	default:
		i.fail(c, socket, "closed", err) // a health check that only connects, perhaps
	}
	return nil
}

func (i *introductions) fail(c net.Conn, socket netip.AddrPort, reason string, err error) {
	defer c.Close()
	i.failed.WithLabelValues(reason).Inc()
	last, now := i.logged.Load(), time.Now().UnixNano()
	tooSoon := now >= last && now-last < int64(introductionLogPause) // unless the clock was set back
	if reason == "closed" || tooSoon || !i.logged.CompareAndSwap(last, now) {
		return
	}
	i.log.Warn("connection without a PROXY protocol header closed", "peer", c.RemoteAddr().String(), "socket", socket, "reason", reason, "error", err)
}

// register makes the counts a metric.
func (i *introductions) register(r prometheus.Registerer) {
	i.failed = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "wicketgate_proxy_protocol_failures_total",
		Help: "Connections that were closed because a header of the PROXY protocol was due and did not come, or came from an address that is not trusted.",
	}, []string{"reason"})
	r.MustRegister(i.failed)
}
