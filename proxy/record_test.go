// Access log lines of what lasts longer than the memory that its request came in.

package proxy

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/wicketgate/wicketgate/accesslog"
	"github.com/wicketgate/wicketgate/internal/patient"
)

// TestTunnelIsRecorded: the line about a tunnel says what its request said, however many requests have come and gone meanwhile.
func TestTunnelIsRecorded(t *testing.T) {
	file := filepath.Join(t.TempDir(), "access.log")
	format, err := accesslog.ParseFormat("$method $host $path $query $status $referer $user_agent")
	if err != nil {
		t.Fatal(err)
	}
	access, err := accesslog.Open(accesslog.Options{Path: file, Format: format, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(access.Close)
	l := newLoopback(t, Options{AccessLog: access})
	l.swap(graphOf(t, "plain.yaml", plainYAML))
	l.origin.respond(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") == "" {
			return
		}
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		fmt.Fprint(rw, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
		rw.Flush()
		io.Copy(conn, rw)
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
	patient.Until(t, "the tunnel's line", func() bool {
		lines, _ := os.ReadFile(file)
		for line := range strings.Lines(string(lines)) {
			if strings.HasPrefix(line, "GET ") {
				if line != want+"\n" {
					t.Fatalf("got %q, want %q", line, want)
				}
				return true
			}
		}
		return false
	})
}
