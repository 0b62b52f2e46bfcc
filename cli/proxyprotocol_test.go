// The PROXY protocol that the real program sends: backends are told of the client whose request it is, whatever is spoken, and never of another.

package cli

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/wicketgate/wicketgate/wire/proxyproto"
)

// introducedListener accepts connections that begin with a header of the PROXY protocol, under their clients' addresses. optional: those that do not
// begin with one, too.
type introducedListener struct {
	net.Listener
	optional bool
}

func (l introducedListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		in := bufio.NewReader(c)
		first, _ := in.Peek(6)
		client := &introducedConn{Conn: c, in: in, from: c.RemoteAddr()}
		if l.optional && string(first) != "PROXY " && string(first) != "\r\n\r\n\x00\r" {
			return client, nil
		}
		h, err := proxyproto.Read(in)
		if err != nil || h.Local {
			c.Close()
			continue
		}
		client.from = net.TCPAddrFromAddrPort(h.Source)
		return client, nil
	}
}

type introducedConn struct {
	net.Conn
	in   *bufio.Reader
	from net.Addr
}

func (c *introducedConn) Read(p []byte) (int, error) { return c.in.Read(p) }
func (c *introducedConn) RemoteAddr() net.Addr       { return c.from }

// introducedBackend answers requests with what it takes for the client's address, and counts its connections.
type introducedBackend struct {
	port int
	mu   sync.Mutex
	open map[net.Conn]bool
	made int
	from map[string]int // requests by clients
}

// heard says how many requests have come from a client.
func (b *introducedBackend) heard(from string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.from[from]
}

func newIntroducedBackend(t *testing.T, config *tls.Config, optional bool) *introducedBackend {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &introducedBackend{port: l.Addr().(*net.TCPAddr).Port, open: map[net.Conn]bool{}, from: map[string]int{}}
	l = introducedListener{l, optional}
	if config != nil {
		l = tls.NewListener(l, config)
	}
	s := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			b.mu.Lock()
			b.from[r.RemoteAddr]++
			b.mu.Unlock()
			_, _ = io.WriteString(w, r.RemoteAddr+" "+r.Proto)
		}),
		ConnState: func(c net.Conn, state http.ConnState) {
			b.mu.Lock()
			defer b.mu.Unlock()
			switch state {
			case http.StateNew:
				b.open[c] = true
				b.made++
			case http.StateClosed, http.StateHijacked:
				delete(b.open, c)
			default:
			}
		},
		ReadHeaderTimeout: time.Minute, Protocols: new(http.Protocols),
	}
	s.Protocols.SetHTTP1(true)
	s.Protocols.SetHTTP2(true)
	s.Protocols.SetUnencryptedHTTP2(true)
	go func() { _ = s.Serve(l) }() // ends with Close
	t.Cleanup(func() { _ = s.Close() })
	return b
}

// connections says how many there are and how many there have been.
func (b *introducedBackend) connections() (open, made int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.open), b.made
}

// visitor is a client with one connection.
type visitor struct {
	*http.Client
	conn net.Conn
}

func newVisitor(t *testing.T, h2c bool) *visitor {
	t.Helper()
	v := &visitor{}
	transport := &http.Transport{MaxConnsPerHost: 1, Protocols: new(http.Protocols), DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := new(net.Dialer).DialContext(ctx, network, address)
		v.conn = c
		return c, err
	}}
	transport.Protocols.SetHTTP1(!h2c)
	transport.Protocols.SetUnencryptedHTTP2(h2c)
	v.Client = &http.Client{Transport: transport, Timeout: time.Minute}
	t.Cleanup(transport.CloseIdleConnections)
	return v
}

// introducedYAML is a Service that is told of clients.
func introducedYAML(name, version, appProtocol string, port int) string {
	text := strings.Replace(serviceYAML(name, port), "metadata: {name: "+name+"}", "metadata: {name: "+name+", annotations: {wicketgate.dev/proxy-protocol: "+version+"}}", 1)
	if appProtocol != "" {
		text = strings.Replace(text, "port: 80", "port: 80, appProtocol: "+appProtocol, 1)
	}
	return text
}

func TestBackendsAreToldOfClients(t *testing.T) {
	cert, key := certificate(t, time.Now().Add(time.Hour), "a.example.com")
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	policy := fmt.Sprintf(`---
apiVersion: gateway.networking.k8s.io/v1
kind: BackendTLSPolicy
metadata: {name: told}
spec:
  targetRefs: [{group: "", kind: Service, name: told}]
  validation: {hostname: a.example.com, caCertificateRefs: [{group: "", kind: ConfigMap, name: ca}]}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: ca}
data:
  ca.crt: |
    %s
`, strings.ReplaceAll(string(cert), "\n", "\n    "))
	for _, c := range []struct {
		name, version, appProtocol, proto string
		secure, h2c                       bool
		args                              []string
	}{
		{name: "HTTP/1", version: "v1", proto: "HTTP/1.1"},
		{name: "HTTP/1 by net.Conn", version: "v2", proto: "HTTP/1.1", args: []string{"--transport", "portable"}},
		{name: "HTTP/1 for clients of HTTP/2", version: "v2", proto: "HTTP/1.1", h2c: true},
		{name: "h2c", version: "v1", appProtocol: "kubernetes.io/h2c", proto: "HTTP/2.0"},
		{name: "h2c for clients of HTTP/2", version: "v2", appProtocol: "kubernetes.io/h2c", proto: "HTTP/2.0", h2c: true},
		{name: "TLS", version: "v2", proto: "HTTP/1.1", secure: true},
		{name: "HTTP/2 by ALPN", version: "v1", appProtocol: "https", proto: "HTTP/2.0", secure: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			var config *tls.Config
			route := routeYAML("told", "/", 80)
			front, _, _ := strings.Cut(route, "---\n")
			more := ""
			if c.secure {
				config, more = &tls.Config{Certificates: []tls.Certificate{pair}, NextProtos: []string{"h2", "http/1.1"}}, policy
			}
			backend := newIntroducedBackend(t, config, false)
			port := freePort(t)
			startGate(t, map[string]string{
				"gateway.yaml": gatewayYAML(port), "route.yaml": front + "---\n" + introducedYAML("told", c.version, c.appProtocol, backend.port) + more,
			}, c.args...)
			one, other := newVisitor(t, c.h2c), newVisitor(t, c.h2c)
			for range 3 {
				for _, v := range []*visitor{one, other} {
					code, body := fetch(t, v.Client, at(port, "/"))
					if want := v.conn.LocalAddr().String() + " " + c.proto; code != http.StatusOK || body != want {
						t.Errorf("%d %q, want %q", code, body, want)
					}
				}
			}
			if _, made := backend.connections(); made > 6 {
				t.Errorf("%d connections for two clients", made)
			}
			eventually(t, "there is no more than one connection for each client", func() bool {
				open, _ := backend.connections()
				return open <= 2 || c.h2c
			})
			_ = one.conn.Close()
			_ = other.conn.Close()
			eventually(t, "the clients' connections are closed with them", func() bool {
				open, _ := backend.connections()
				return open == 0
			})
		})
	}
}

// Streams: from where the client connected, behind a proxy from where that says it did; before a handshake that is passed through.
func TestStreamsAreToldOfClients(t *testing.T) {
	cert, key := certificate(t, time.Now().Add(time.Hour), "db.example.com")
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	told := func(config *tls.Config) int {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		port := l.Addr().(*net.TCPAddr).Port
		in := net.Listener(introducedListener{l, false})
		go func() {
			for {
				c, err := in.Accept()
				if err != nil {
					return
				}
				from := c.RemoteAddr().String()
				if config != nil {
					c = tls.Server(c, config)
				}
				_, _ = io.WriteString(c, from+"\n")
				c.Close()
			}
		}()
		return port
	}
	tcp, secure := freePort(t), freePort(t)
	startGate(t, map[string]string{
		"gateway.yaml": gatewayYAML() + fmt.Sprintf("  - {name: tcp, port: %d, protocol: TCP}\n"+
			"  - {name: tls, port: %d, protocol: TLS, hostname: db.example.com, tls: {mode: Passthrough}}\n", tcp, secure),
		"tcp.yaml": streamRouteYAML("TCPRoute", "tcp", "tcp", "", "tcp") + "---\n" + introducedYAML("tcp", "v1", "", told(nil)),
		"tls.yaml": streamRouteYAML("TLSRoute", "tls", "tls", "db.example.com", "tls") + "---\n" +
			introducedYAML("tls", "v2", "", told(&tls.Config{Certificates: []tls.Certificate{pair}})),
	})
	c := dialPort(t, tcp)
	if got := line(t, bufio.NewReader(c)); got != c.LocalAddr().String() {
		t.Errorf("TCP: the client is %s, and not %s", got, c.LocalAddr())
	}
	c = dialPort(t, secure)
	//nolint:gosec // whose certificate it is does not matter here
	if got := line(t, bufio.NewReader(tls.Client(c, &tls.Config{ServerName: "db.example.com", InsecureSkipVerify: true}))); got != c.LocalAddr().String() {
		t.Errorf("TLS: the client is %s, and not %s", got, c.LocalAddr())
	}
}

// The header is turned on and off under load, and no request is lost.
func TestHeadersAreTurnedOnAndOff(t *testing.T) {
	backend := newIntroducedBackend(t, nil, true)
	port := freePort(t)
	front, _, _ := strings.Cut(routeYAML("told", "/", 80), "---\n")
	on, off := introducedYAML("told", "v2", "", backend.port), serviceYAML("told", backend.port)
	g := startGate(t, map[string]string{"gateway.yaml": gatewayYAML(port), "route.yaml": front, "service.yaml": on})
	var load sync.WaitGroup
	stop := make(chan struct{})
	for range 4 {
		v := newVisitor(t, false)
		load.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if code, body := fetch(t, v.Client, at(port, "/")); code != http.StatusOK {
					t.Errorf("%d %s", code, body)
					return
				}
			}
		})
	}
	v := newVisitor(t, false)
	for range 5 {
		for _, told := range []bool{false, true} {
			text := off
			if told {
				text = on
			}
			g.edit(map[string]string{"service.yaml": text})
			_, body := fetch(t, v.Client, at(port, "/"))
			if strings.HasPrefix(body, v.conn.LocalAddr().String()+" ") != told {
				t.Errorf("told: %v, and the client is %s: %s", told, v.conn.LocalAddr(), body)
			}
		}
	}
	close(stop)
	load.Wait()
}

// Mirrors and authorization services are told of the client whose request it is, also where that leaves at once.
func TestFiltersTellOfClients(t *testing.T) {
	told, other := newIntroducedBackend(t, nil, false), newBackend(t, saying("served"))
	port := freePort(t)
	route := strings.Replace(routeYAML("web", "/", other), "    backendRefs:", `    filters:
    - {type: RequestMirror, requestMirror: {backendRef: {name: told, port: 80}}}
    - {type: ExternalAuth, externalAuth: {protocol: HTTP, http: {path: /}, backendRef: {name: told, port: 80}}}
    backendRefs:`, 1)
	startGate(t, map[string]string{"gateway.yaml": gatewayYAML(port), "route.yaml": route, "told.yaml": introducedYAML("told", "v2", "", told.port)})
	for range 3 {
		v := newVisitor(t, false)
		if code, body := fetch(t, v.Client, at(port, "/")); code != http.StatusOK || body != "served" {
			t.Errorf("%d %q", code, body)
		}
		_ = v.conn.Close()
		want := v.conn.LocalAddr().String()
		eventually(t, "both have heard of "+want, func() bool { return told.heard(want) == 2 })
	}
}
