// Fakes of wire.Exchange and backend.Backend: the proxy without any network.

package proxy

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/wicketgate/wicketgate/gateway"
	"github.com/wicketgate/wicketgate/message"
	"github.com/wicketgate/wicketgate/proxy/backend"
	"github.com/wicketgate/wicketgate/wire"
)

// fakeExchange is an exchange in memory.
type fakeExchange struct {
	req     message.Head
	body    message.Body
	peer    *wire.Peer
	arrived time.Time

	status  int
	header  [][2]string
	content []byte
	answers int
	aborted bool
	client  wire.Duplex // what Tunnel returns
	fail    error       // what Respond returns
	quiet   bool        // record only the status
}

func (x *fakeExchange) Request() *message.Head     { return &x.req }
func (x *fakeExchange) Body() message.Body         { return x.body }
func (x *fakeExchange) Peer() *wire.Peer           { return x.peer }
func (x *fakeExchange) Arrived() time.Time         { return x.arrived }
func (x *fakeExchange) Inform(*message.Head) error { return nil }
func (x *fakeExchange) Abort(message.Reason)       { x.answers++; x.aborted = true }
func (x *fakeExchange) Watch(wire.Canceller)       {}
func (x *fakeExchange) Context() context.Context   { return context.Background() }
func (x *fakeExchange) Written() int64             { return int64(len(x.content)) }

func (x *fakeExchange) Respond(h *message.Head, body message.Body) error {
	x.answers++
	x.status = h.Status
	if x.quiet || x.fail != nil {
		return x.fail
	}
	x.header = pairs(&h.Fields)
	if h.Length >= 0 {
		x.header = append(x.header, [2]string{"Content-Length", strconv.FormatInt(h.Length, 10)})
	}
	for body != nil {
		p, err := body.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		x.content = append(x.content, p...)
	}
	return nil
}

func (x *fakeExchange) Tunnel(h *message.Head) (wire.Duplex, error) {
	x.answers++
	x.status, x.header = h.Status, pairs(&h.Fields)
	if x.client == nil {
		return nil, errors.New("the client has left")
	}
	return x.client, nil
}

func pairs(f *message.Fields) (out [][2]string) {
	for i := range f.Len() {
		out = append(out, [2]string{string(f.At(i).Name), string(f.At(i).Value)})
	}
	return out
}

// fakeBackend answers at once and remembers the last request.
type fakeBackend struct {
	config   backend.Config
	seen     *seenRequest
	acquired int
	released int
	// answer, if set, answers instead.
	answer func(x wire.Exchange, req *message.Head, t backend.Timeouts, res *backend.Response) error
	quiet  bool // answer 204 and record nothing
}

func (b *fakeBackend) Release() { b.released++ }

func (b *fakeBackend) Destination(backend.Destination) (backend.Destination, error) {
	return backend.Destination{}, errors.New("a fake")
}

func (b *fakeBackend) Connect(context.Context, net.Conn, []string) (net.Conn, netip.AddrPort, error) {
	return nil, netip.AddrPort{}, &backend.Error{Result: backend.ConnectFailed, Err: errors.New("refused")}
}

func (b *fakeBackend) RoundTrip(x wire.Exchange, req *message.Head, _ message.Body, t backend.Timeouts, res *backend.Response) error {
	if b.answer != nil {
		return b.answer(x, req, t, res)
	}
	res.Head.Reset()
	res.Body = nil
	res.Head.Status = 204
	if b.quiet {
		return nil
	}
	if err := b.trouble(t); err != nil {
		return err
	}
	target := string(req.Path)
	if req.HasQuery {
		target += "?" + string(req.Query)
	}
	b.seen = &seenRequest{
		method: string(req.Method), target: target, host: string(req.Authority), header: pairs(&req.Fields),
		backend: strings.TrimSuffix(strings.TrimPrefix(b.config.Key, "Service "), " HTTP/2"), // which loopback does not know
	}
	res.Head.Status = 200
	for i := range req.Fields.Len() {
		if f := req.Fields.At(i); message.Equal(f.Name, "echo") {
			name, value, _ := bytes.Cut(f.Value, []byte(": "))
			res.Head.Fields.Add(name, value)
		}
	}
	return nil
}

// trouble is what the backend's endpoints make of a request.
func (b *fakeBackend) trouble(t backend.Timeouts) error {
	if len(b.config.Endpoints) == 0 {
		return &backend.Error{Result: backend.NoEndpoint, Err: errors.New("none")}
	}
	to := b.config.Endpoints[0]
	switch to.Port() {
	case portRefused:
		return &backend.Error{Result: backend.ConnectFailed, Endpoint: to, Err: errors.New("refused")}
	case portBroken:
		return &backend.Error{Result: backend.Broken, Endpoint: to, Err: errors.New("broken")}
	case portSilent:
		if t.Request.IsZero() && t.Backend == 0 {
			return errors.New("the test would hang")
		}
		return &backend.Error{Result: backend.TimedOut, Endpoint: to, Err: errors.New("timeout")}
	}
	return nil
}

// fakes makes a proxy whose backends are fakes, by key.
func fakes(o Options) (*Proxy, map[string]*fakeBackend) {
	p := New(o)
	made := map[string]*fakeBackend{}
	p.acquire = func(c backend.Config) upstream {
		b := made[c.Key]
		if b == nil {
			b = &fakeBackend{}
			made[c.Key] = b
		}
		b.config = c
		b.acquired++
		return b
	}
	return p, made
}

// fakeStand runs tables without any network.
type fakeStand struct {
	proxy    *Proxy
	backends map[string]*fakeBackend
}

func newFakeStand(t *testing.T, g *gateway.Graph) stand {
	p, backends := fakes(tableOptions())
	t.Cleanup(p.Close)
	p.Swap(p.Compile(g, nil))
	return &fakeStand{p, backends}
}

// tableOptions are the proxy's in tables.
func tableOptions() Options {
	return Options{TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}
}

// exchange makes the exchange of a case.
func (c *tableCase) exchange() *fakeExchange {
	x := &fakeExchange{arrived: time.Now(), peer: &wire.Peer{
		Remote: netip.AddrPortFrom(c.client, 50000),
		Local:  netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), c.port),
		Socket: netip.AddrPortFrom(netip.IPv6Unspecified(), c.port),
	}}
	if c.scheme == "https" {
		x.peer.TLS = &wire.TLS{ServerName: c.serverName}
	}
	x.req.Reset()
	x.req.Method, x.req.Target, x.req.Authority, x.req.Minor = []byte(c.method), []byte(c.target), []byte(c.authority), c.minor
	for _, h := range c.header {
		if strings.EqualFold(h[0], "Upgrade") {
			x.req.Upgrade = []byte(h[1])
			continue
		}
		x.req.Fields.Add([]byte(h[0]), []byte(h[1]))
	}
	return x
}

func (s *fakeStand) do(t *testing.T, c *tableCase) (seenResponse, *seenRequest) {
	t.Helper()
	for _, b := range s.backends {
		b.seen = nil
	}
	x := c.exchange()
	s.proxy.Serve(x)
	if x.answers != 1 {
		t.Errorf("requests:%d: %d answers", c.line, x.answers)
	}
	for _, b := range s.backends {
		if b.seen != nil {
			return seenResponse{x.status, x.header, string(x.content)}, b.seen
		}
	}
	return seenResponse{x.status, x.header, string(x.content)}, nil
}
