// Access log lines of what lasts longer than the memory that its request came in.

package proxy

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"weak"

	"github.com/wicketgate/wicketgate/accesslog"
	"github.com/wicketgate/wicketgate/internal/patient"
	"github.com/wicketgate/wicketgate/message"
	"github.com/wicketgate/wicketgate/proxy/backend"
	"github.com/wicketgate/wicketgate/wire"
)

// TestTunnelIsRecorded: the line about a tunnel says what its request said, however many requests have come and gone meanwhile.
func TestTunnelIsRecorded(t *testing.T) {
	access, line := recorded(t)
	l := newLoopback(t, Options{AccessLog: access})
	l.swap(graphOf(t, "plain.yaml", plainYAML))
	l.origin.respond(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") == "" {
			return
		}
		hijack(t, w, func(conn net.Conn, rw *bufio.ReadWriter) {
			fmt.Fprint(rw, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
			rw.Flush()
			io.Copy(conn, rw)
		})
	})
	tunnel := l.connect(t, anyOn80, netip.Addr{}, nil)
	io.WriteString(tunnel, "GET /cart/a?b=c HTTP/1.1\r\nHost: shop.example.com\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Referer: http://here/\r\nUser-Agent: tester\r\n\r\n")
	if head, err := http.ReadResponse(bufio.NewReader(tunnel), nil); err != nil || head.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("answer %v, %v", head, err)
	}
	for range 20 {
		other := l.connect(t, anyOn80, netip.Addr{}, nil)
		io.WriteString(other, "PUT /cart/xxxxxxxxxxxxxxxxxxxx?yyyyyyyyyyyyyy HTTP/1.1\r\nHost: shop.example.com\r\nConnection: close\r\n"+
			"Referer: zzzzzzzzzzzzzzzzzzzz\r\nUser-Agent: wwwwwwwwwwwwwww\r\nContent-Length: 0\r\n\r\n")
		if _, err := io.ReadAll(other); err != nil {
			t.Fatal(err)
		}
	}
	tunnel.Close()
	const want = "GET shop.example.com /cart/a b=c 101 http://here/ tester"
	if got := line(); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestTunnelHoldsNothingOfItsRequest: what an exchange gives up when it becomes a tunnel nobody reads later, and nobody keeps alive. Over HTTP/2 the
// backend's answer says the request's own word for the protocol.
func TestTunnelHoldsNothingOfItsRequest(t *testing.T) {
	access, line := recorded(t)
	p, b := plainProxy(t, Options{AccessLog: access})
	x := borrow("GET", "/cart/./a", "b=c", "shop.example.com", "websocket", "Origin", "http://there", "Referer", "http://here/", "User-Agent", "tester")
	held := weak.Make(&x.memory[0])
	client, proxyOfClient := net.Pipe()
	server, proxyOfServer := net.Pipe()
	x.client = pipe{proxyOfClient}
	b.answer = func(_ wire.Exchange, req *message.Head, _ backend.Timeouts, res *backend.Response) error {
		res.Head.Reset()
		res.Head.Status, res.Head.Upgrade, res.Duplex = 101, req.Upgrade, pipe{proxyOfServer}
		return nil
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.Serve(x)
	}()
	go func() { _, _ = client.Write([]byte("there")) }()
	if _, err := io.ReadFull(server, make([]byte, len("there"))); err != nil {
		t.Fatal(err)
	}
	patient.Until(t, "nobody holds the memory of the request", func() bool {
		runtime.GC()
		return held.Value() == nil
	})
	_, _ = client.Close(), server.Close()
	<-done
	const want = "GET shop.example.com /cart/a b=c 101 http://here/ tester"
	if got := line(); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// borrower is an exchange whose request lies in memory that Tunnel gives up, as HTTP/1 does: it is full of question marks then.
type borrower struct {
	*fakeExchange
	memory []byte
}

// borrow makes the exchange of a request with these fields, names and values in turn.
func borrow(method, path, query, authority, upgrade string, fields ...string) *borrower {
	x := &borrower{plainExchange(), make([]byte, 0, 1<<10)}
	put := func(s string) []byte {
		at := len(x.memory)
		x.memory = append(x.memory, s...)
		return x.memory[at:len(x.memory):len(x.memory)]
	}
	h := x.Request()
	h.Method, h.Target, h.Authority, h.Upgrade = put(method), put(path+"?"+query), put(authority), put(upgrade)
	for i := 0; i < len(fields); i += 2 {
		h.Fields.Add(put(fields[i]), put(fields[i+1]))
	}
	return x
}

func (x *borrower) Tunnel(h *message.Head) (wire.Duplex, error) {
	d, err := x.fakeExchange.Tunnel(h)
	x.req.CopyTo(&x.req)
	for i := range x.memory {
		x.memory[i] = '?'
	}
	x.memory = nil
	return d, err
}

// pipe is one end of a tunnel.
type pipe struct{ net.Conn }

func (p pipe) CloseWrite() error { return p.Close() }

// recorded opens an access log. line returns the first line about a GET, when there is one.
func recorded(t *testing.T) (access *accesslog.Log, line func() string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "access.log")
	format, err := accesslog.ParseFormat("$method $host $path $query $status $referer $user_agent")
	if err != nil {
		t.Fatal(err)
	}
	if access, err = accesslog.Open(accesslog.Options{Path: file, Format: format, Log: slog.New(slog.DiscardHandler)}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(access.Close)
	return access, func() (line string) {
		t.Helper()
		patient.Until(t, "the tunnel's line", func() bool {
			lines, _ := os.ReadFile(file)
			for one := range strings.Lines(string(lines)) {
				if whole, ended := strings.CutSuffix(one, "\n"); ended && strings.HasPrefix(one, "GET ") {
					line = whole
					return true
				}
			}
			return false
		})
		return line
	}
}
