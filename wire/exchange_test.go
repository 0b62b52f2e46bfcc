// Whole exchanges as bytes in and bytes out, on both transports.

package wire

import (
	"strings"
	"testing"
)

// TestExchanges: what a client sends on one connection, and what it gets until the connection ends. The handler echoes.
func TestExchanges(t *testing.T) {
	const ok = "HTTP/1.1 200 OK\r\nContent-Length: "
	for _, c := range []struct{ name, in, out string }{
		{
			"close ends the connection", "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
			ok + "9\r\nConnection: close\r\n\r\nGET a /|\n",
		},
		{
			"pipelined requests are answered in order", "GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
			ok + "10\r\n\r\nGET a /1|\n" + ok + "10\r\nConnection: close\r\n\r\nGET a /2|\n",
		},
		{"one empty line may come first", "\r\nGET / HTTP/1.0\r\nHost: a\r\n\r\n", ok + "9\r\nConnection: close\r\n\r\nGET a /|\n"},
		{"HTTP/1.0 closes unless asked", "GET / HTTP/1.0\r\n\r\n", ok + "8\r\nConnection: close\r\n\r\nGET  /|\n"},
		{
			"HTTP/1.0 keeps the connection when asked", "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET / HTTP/1.0\r\n\r\n",
			ok + "8\r\nConnection: keep-alive\r\n\r\nGET  /|\n" + ok + "8\r\nConnection: close\r\n\r\nGET  /|\n",
		},
		{
			"body of known length, then another request", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcGET / HTTP/1.0\r\n\r\n",
			ok + "13\r\n\r\nPOST a /|abc\n" + ok + "8\r\nConnection: close\r\n\r\nGET  /|\n",
		},
		{
			"chunked body with extension and trailers, then another request",
			"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n3;x=\"y\"\r\nabc\r\n0A\r\n0123456789\r\n0\r\nX-Sum: 5\r\nX-Forwarded-For: 1\r\n\r\n" +
				"GET / HTTP/1.0\r\n\r\n",
			ok + "31\r\n\r\nPOST a /|abc0123456789|X-Sum=5\n" + ok + "8\r\nConnection: close\r\n\r\nGET  /|\n",
		},
		{"HEAD gets the length and no body", "HEAD / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", ok + "10\r\nConnection: close\r\n\r\n"},
		{
			"absolute form replaces Host", "GET http://b.example:80/x?y HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
			ok + "23\r\nConnection: close\r\n\r\nGET b.example:80 /x?y|\n",
		},
		{
			"fields of one hop stay behind", "GET / HTTP/1.1\r\nHost: a\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: 5\r\nTE: trailers\r\n" +
				"Proxy-Connection: x\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\nAccept: *\r\n\r\n",
			ok + "18\r\nConnection: close\r\n\r\nGET a /|Accept=*|\n",
		},
		{
			"Connection cannot remove what proxies rely on", "GET / HTTP/1.1\r\nHost: a\r\nX-Real-IP: 1\r\nConnection: close, Host, Content-Length, X-Real-IP\r\n\r\n",
			ok + "21\r\nConnection: close\r\n\r\nGET a /|X-Real-IP=1|\n",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			run(t, func(t *testing.T, mode Transport) {
				s := serve(t, mode, Limits{}, echo)
				whole := s.dial()
				whole.send(c.in)
				if got := whole.all(); got != c.out {
					t.Errorf("\ngot  %q\nwant %q", got, c.out)
				}
				slow := s.dial()
				for b := range strings.SplitSeq(c.in, "") {
					slow.send(b)
				}
				if got := slow.all(); got != c.out {
					t.Errorf("sent byte by byte:\ngot  %q\nwant %q", got, c.out)
				}
			})
		})
	}
}
