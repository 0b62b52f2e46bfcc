// A proxy with clients of the three versions in front of it and a backend behind it that notes every byte.

package versions

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http/httputil"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/quic-go/quic-go"

	"github.com/wicketgate/wicketgate/config"
	"github.com/wicketgate/wicketgate/gateway"
	"github.com/wicketgate/wicketgate/listeners"
	"github.com/wicketgate/wicketgate/object"
	"github.com/wicketgate/wicketgate/proxy"
	"github.com/wicketgate/wicketgate/proxy/backend"
	"github.com/wicketgate/wicketgate/wire"
	"github.com/wicketgate/wicketgate/wire/h2"
	"github.com/wicketgate/wicketgate/wire/h3"
)

// everything goes to one backend.
const everything = `
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: gw, namespace: default}
spec:
  gatewayClassName: any
  listeners: [{name: http, port: 80, protocol: HTTP}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: all, namespace: default}
spec:
  parentRefs: [{name: gw}]
  rules: [{backendRefs: [{name: app, port: 80}]}]
---
apiVersion: v1
kind: Service
metadata: {name: app, namespace: default}
spec: {ports: [{port: 80}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: app-1, namespace: default, labels: {kubernetes.io/service-name: app}}
addressType: IPv4
ports: [{name: "", port: 80}]
endpoints: [{addresses: [192.0.2.9]}]
`

// stand is what a test says requests to, one after another.
type stand struct {
	t     testing.TB
	one   *wire.Server
	two   *h2.Server
	three *h3.Server
	at    netip.AddrPort // of three
	wg    sync.WaitGroup

	client2 *client2
	client3 *quic.Conn
	id      int

	mu   sync.Mutex
	seen map[string]string // what the backend got, by the request's x-id
}

func newStand(t testing.TB) *stand {
	t.Helper()
	s := &stand{t: t, seen: map[string]string{}}
	objects, problems := config.Parse("config.yaml", []byte(everything))
	for _, p := range problems {
		if p.Severity == object.Error {
			t.Fatal(p)
		}
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.wg.Go(func() { s.accept(ln) })
	p := proxy.New(proxy.Options{Registry: backend.NewRegistry(backend.Options{
		Dial: func(ctx context.Context, _ netip.AddrPort, _ bool) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", ln.Addr().String())
		},
		IdleTimeout: time.Minute,
	})})
	p.Swap(p.Compile(gateway.Build(object.NewSet(objects...), gateway.Options{}), p.Current()))
	handler := disguise{p}
	s.one, s.two = wire.NewServer(wire.Options{Handler: handler}), h2.NewServer(h2.Options{Handler: handler})
	config := &tls.Config{Certificates: []tls.Certificate{selfSigned(t)}, NextProtos: []string{"h3"}, MinVersion: tls.VersionTLS13}
	s.three = h3.NewServer(h3.Options{Handler: handler, Listen: listeners.ListenUDP, TLS: func(netip.AddrPort) *tls.Config { return config }})
	t.Cleanup(func() {
		s.part2()
		s.part3()
		s.one.Close()
		s.two.Close()
		s.three.Close()
		p.Close()
		ln.Close()
		s.wg.Wait()
	})
	s.bind()
	return s
}

// bind finds a UDP port for HTTP/3. Whoever takes it in between makes it another one.
func (s *stand) bind() {
	for range 10 {
		pc, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			s.t.Fatal(err)
		}
		s.at = pc.LocalAddr().(*net.UDPAddr).AddrPort()
		pc.Close()
		if _, failed := s.three.Follow([]netip.AddrPort{s.at}); failed == nil {
			return
		}
	}
	s.t.Fatal("no UDP port")
}

func selfSigned(t testing.TB) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// disguise makes all requests ones of the same client to the same plain listener, so that only what was said is compared.
type disguise struct{ *proxy.Proxy }

func (d disguise) Serve(x wire.Exchange) {
	alter(x.Peer())
	x.Request().Scheme = []byte("http")
	d.Proxy.Serve(x)
}

func (d disguise) Refused(p *wire.Peer, status int, why error) {
	alter(p)
	d.Proxy.Refused(p, status, why)
}

func alter(p *wire.Peer) {
	p.Socket, p.Remote, p.TLS = netip.MustParseAddrPort("[::]:80"), netip.MustParseAddrPort("192.0.2.1:50000"), nil
}

// accept is the backend.
func (s *stand) accept(ln net.Listener) {
	for {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		s.wg.Go(func() {
			defer c.Close()
			for r := bufio.NewReader(c); s.receive(r, c) == nil; {
				if _, err := io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"); err != nil {
					return
				}
			}
		})
	}
}

// idLine is the field that tells requests apart.
var idLine = regexp.MustCompile(`\nx-id: (\S*)`)

// Fields that depend on how soon something came.
const (
	framing   = "\ntransfer-encoding: chunked"
	expecting = "\nexpect: 100-continue"
)

// receive reads a request and notes it once it is complete: its head in lower case, field for field in order, its content and its trailers.
func (s *stand) receive(r *bufio.Reader, w io.Writer) error {
	head, err := section(r)
	if err != nil {
		return err
	}
	lower := strings.ToLower(head)
	if strings.Contains(lower, expecting) { // only of content that had not come yet
		lower = strings.Replace(lower, expecting, "", 1)
		if _, err := io.WriteString(w, "HTTP/1.1 100 Continue\r\n\r\n"); err != nil {
			return err
		}
	}
	var content []byte
	trailers := ""
	if chunked := strings.Contains(lower, framing); chunked {
		if content, err = io.ReadAll(httputil.NewChunkedReader(r)); err != nil {
			return err
		}
		if trailers, err = section(r); err != nil {
			return err
		}
		if len(content) == 0 && trailers == "" {
			lower = strings.Replace(lower, framing, "", 1) // nothing of unknown length is nothing
		}
	} else if _, after, found := strings.Cut(lower, "\ncontent-length: "); found {
		digits, _, _ := strings.Cut(after, "\n")
		n, err := strconv.Atoi(digits)
		if err != nil {
			return err
		}
		content = make([]byte, n)
		if _, err := io.ReadFull(r, content); err != nil {
			return err
		}
	}
	id := ""
	if m := idLine.FindStringSubmatch(lower); m != nil {
		id = m[1]
	}
	line, fields, _ := strings.Cut(idLine.ReplaceAllString(lower, ""), "\n")
	method, _, _ := strings.Cut(head, " ")
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.seen[id] != "" {
		id += " again"
	}
	s.seen[id] = fmt.Sprintf("%s %s\n%s\n%q\n%s", method, line, fields, content, strings.ToLower(trailers))
	return nil
}

// section reads lines up to an empty one.
func section(r *bufio.Reader) (string, error) {
	var lines []string
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return "", err
		}
		if line = strings.TrimSuffix(line, "\r\n"); line == "" {
			return strings.Join(lines, "\n"), nil
		}
		lines = append(lines, line)
	}
}

// outcome is what became of a request: the status, and what the backend got of it.
type outcome struct {
	status int
	seen   string
}

// malformed is the outcome of requests that break a rule of the version: HTTP/1 has a status for that, the others an error of the stream.
const malformed = 400

// say says a request in all versions, or in those without lines, and returns what became of it in each.
func (s *stand) say(q *request) map[string]outcome {
	s.id++
	all := map[string]func(*request) (int, error){"HTTP/1": s.say1, "HTTP/2": s.say2, "HTTP/3": s.say3}
	if q.framed {
		delete(all, "HTTP/1")
	}
	out := map[string]outcome{}
	for version, say := range all {
		q.id = fmt.Sprintf("%d-%s", s.id, version[5:])
		status, err := say(q)
		if err != nil {
			s.t.Fatalf("%s: %+v: %v", version, q, err)
		}
		s.mu.Lock()
		out[version] = outcome{status, s.seen[q.id]}
		if s.seen[q.id+" again"] != "" {
			s.t.Errorf("%s: %+v reached the backend twice", version, q)
		}
		if s.seen[""] != "" {
			s.t.Errorf("%s: %+v: something else reached the backend: %s", version, q, s.seen[""])
		}
		clear(s.seen)
		s.mu.Unlock()
	}
	return out
}

// compare says a request in all versions, and demands that nothing depends on the version.
func (s *stand) compare(q *request) outcome {
	s.t.Helper()
	all := s.say(q)
	first := all["HTTP/2"]
	for version, o := range all {
		if o != first {
			s.t.Fatalf("%+v\nHTTP/2: %d\n%s\n\n%s: %d\n%s", *q, first.status, first.seen, version, o.status, o.seen)
		}
		if (o.status == 200) != (o.seen != "") {
			s.t.Fatalf("%+v\n%s: %d\n%s", *q, version, o.status, o.seen)
		}
	}
	return first
}

var errNothing = errors.New("neither an answer nor an end")

// deadline is far beyond what any answer takes.
func deadline() time.Time { return time.Now().Add(30 * time.Second) }

// lower says fields with names in lower case, as versions 2 and 3 do.
func lower(fields []field) []field {
	fields = slices.Clone(fields)
	for i := range fields {
		fields[i].name = strings.ToLower(fields[i].name)
	}
	return fields
}
