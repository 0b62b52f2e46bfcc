// The proxy between a real client and real backends, over loopback.

package proxy

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/wicketgate/wicketgate/gateway"
	"github.com/wicketgate/wicketgate/proxy/backend"
	"github.com/wicketgate/wicketgate/wire"
)

// origin stands for all backends at once: connections to any endpoint end here, and it remembers which endpoint was meant.
type origin struct {
	server *http.Server
	ln     net.Listener

	mu      sync.Mutex
	meant   map[string]netip.AddrPort // by the address of the proxy's end
	dials   int
	seen    *seenRequest
	handler http.HandlerFunc // answers instead of the echo, if set
	holes   []net.Conn       // ends of connections to endpoints that never answer
}

func newOrigin(t testing.TB) *origin {
	t.Helper()
	o := &origin{ln: listen(t), meant: map[string]netip.AddrPort{}}
	o.server = &http.Server{Handler: o, ReadHeaderTimeout: time.Minute, Protocols: new(http.Protocols)}
	o.server.Protocols.SetHTTP1(true)
	o.server.Protocols.SetUnencryptedHTTP2(true)
	go o.server.Serve(o.ln)
	t.Cleanup(func() {
		o.server.Close()
		o.mu.Lock()
		defer o.mu.Unlock()
		for _, c := range o.holes {
			c.Close()
		}
	})
	return o
}

func listen(t testing.TB) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	return ln
}

// dial is the registry's.
func (o *origin) dial(ctx context.Context, to netip.AddrPort, _ bool) (net.Conn, error) {
	switch to.Port() {
	case portRefused:
		return nil, syscall.ECONNREFUSED
	case portBroken, portSilent:
		return o.hole(ctx, to.Port())
	}
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", o.ln.Addr().String())
	if err != nil {
		return nil, err
	}
	o.mu.Lock()
	o.meant[c.LocalAddr().String()] = to
	o.dials++
	o.mu.Unlock()
	return c, nil
}

// hole opens a connection to an endpoint that gives half a head, or nothing.
func (o *origin) hole(ctx context.Context, port uint16) (net.Conn, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	defer ln.Close()
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", ln.Addr().String())
	if err != nil {
		return nil, err
	}
	end, err := ln.Accept()
	if err != nil {
		return nil, err
	}
	if port == portBroken {
		go func() {
			bufio.NewReader(end).ReadString('\n')
			io.WriteString(end, "HTTP/1.1 200 OK\r\nContent-Le")
			end.Close()
		}()
		return c, nil
	}
	o.mu.Lock()
	o.holes = append(o.holes, end)
	o.mu.Unlock()
	return c, nil
}

func (o *origin) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	o.mu.Lock()
	handler := o.handler
	seen := &seenRequest{method: r.Method, target: r.RequestURI, host: r.Host, backend: o.meant[r.RemoteAddr].String()}
	for name, values := range r.Header {
		for _, v := range values {
			seen.header = append(seen.header, [2]string{name, v})
		}
	}
	o.seen = seen
	o.mu.Unlock()
	if handler != nil {
		handler(w, r)
		return
	}
	for _, v := range r.Header.Values("Echo") {
		name, value, _ := strings.Cut(v, ": ")
		w.Header().Add(name, value)
	}
}

// respond makes the origin answer all requests by f.
func (o *origin) respond(f http.HandlerFunc) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.handler = f
}

// take returns the last request and forgets it.
func (o *origin) take() *seenRequest {
	o.mu.Lock()
	defer o.mu.Unlock()
	s := o.seen
	o.seen = nil
	return s
}

// loopback is a proxy with everything real but the listening sockets' addresses.
type loopback struct {
	proxy  *Proxy
	server *wire.Server
	origin *origin
	ln     net.Listener
	keys   map[string]string // address of an endpoint -> key of its backend
	wg     sync.WaitGroup
}

func newLoopback(t testing.TB, o Options) *loopback {
	t.Helper()
	l := &loopback{origin: newOrigin(t), ln: listen(t), keys: map[string]string{}}
	if o.Registry == nil {
		o.Registry = backend.NewRegistry(backend.Options{Dial: l.origin.dial, IdleTimeout: 10 * time.Second})
	}
	l.proxy = New(o)
	l.server = wire.NewServer(wire.Options{Handler: l.proxy})
	t.Cleanup(func() {
		l.server.Close()
		l.wg.Wait()
		l.proxy.Close()
	})
	return l
}

// swap puts a graph in force.
func (l *loopback) swap(g *gateway.Graph) {
	for _, r := range g.Routes {
		for _, rule := range r.Rules {
			for _, b := range rule.Backends {
				if b.Target == nil {
					continue
				}
				for _, e := range b.Target.Endpoints {
					l.keys[e.String()] = strings.TrimPrefix(b.Target.Key, "Service ")
				}
			}
		}
	}
	l.proxy.Swap(l.proxy.Compile(g, l.proxy.Current()))
}

// connect opens a connection that the proxy takes for one to the socket.
func (l *loopback) connect(t testing.TB, socket netip.AddrPort, client netip.Addr, tls *wire.TLS) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", l.ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	served, err := l.ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	if client.IsValid() && !client.IsLoopback() {
		served = remoteConn{served, net.TCPAddrFromAddrPort(netip.AddrPortFrom(client, 50000))}
	}
	l.wg.Go(func() { l.server.ServeConn(served, socket, tls) })
	return c
}

// remoteConn comes from somewhere else.
type remoteConn struct {
	net.Conn
	remote net.Addr
}

func (c remoteConn) RemoteAddr() net.Addr { return c.remote }

func newLoopbackStand(t *testing.T, g *gateway.Graph) stand {
	l := newLoopback(t, tableOptions())
	l.swap(g)
	return l
}

// newHTTP2BackendStand is a loopback to whose backends HTTP/2 is spoken.
func newHTTP2BackendStand(t *testing.T, g *gateway.Graph) stand {
	speakHTTP2(g)
	return newLoopbackStand(t, g)
}

// speakHTTP2 makes every target of a graph one of HTTP/2.
func speakHTTP2(g *gateway.Graph) {
	for _, r := range g.Routes {
		for _, rule := range r.Rules {
			for _, b := range rule.Backends {
				if b.Target != nil {
					b.Target.AppProtocol = "kubernetes.io/h2c"
				}
			}
		}
	}
}

func (l *loopback) do(t *testing.T, c *tableCase) (seenResponse, *seenRequest) {
	t.Helper()
	var tls *wire.TLS
	if c.scheme == "https" {
		tls = &wire.TLS{ServerName: c.serverName}
	}
	conn := l.connect(t, netip.AddrPortFrom(netip.IPv6Unspecified(), c.port), c.client, tls)
	defer conn.Close()
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s HTTP/1.%d\r\n", c.method, c.target, c.minor)
	if c.authority != "" || c.minor == 1 {
		fmt.Fprintf(&b, "Host: %s\r\n", c.authority)
	}
	for _, h := range c.header {
		fmt.Fprintf(&b, "%s: %s\r\n", h[0], h[1])
	}
	b.WriteString("\r\n")
	l.origin.take()
	if _, err := conn.Write(b.Bytes()); err != nil {
		t.Fatal(err)
	}
	answer, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: c.method})
	if err != nil {
		t.Fatalf("requests:%d: %v", c.line, err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatalf("requests:%d: %v", c.line, err)
	}
	out := seenResponse{status: answer.StatusCode, body: string(body)}
	for name, values := range answer.Header {
		for _, v := range values {
			out.header = append(out.header, [2]string{name, v})
		}
	}
	seen := l.origin.take()
	if seen != nil {
		seen.backend = l.keys[seen.backend]
	}
	return out, seen
}
