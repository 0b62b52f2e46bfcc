// The codec, head by head: what is accepted, what is refused, and that the pieces in which bytes arrive make no difference.

package wire

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/wicketgate/wicketgate/message"
)

func limits() *Limits { l := Limits{}.WithDefaults(); return &l }

// smuggling are requests that two recipients could read differently. None may reach a backend.
var smuggling = []struct{ name, in string }{
	{"CL.TE", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nG"},
	{"TE.CL", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n5c\r\n"},
	{"CL.CL different", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 8\r\nContent-Length: 7\r\n\r\n"},
	{"CL.CL equal", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 7\r\nContent-Length: 7\r\n\r\n"},
	{"CL list", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 7, 7\r\n\r\n"},
	{"CL with plus", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +7\r\n\r\n"},
	{"CL negative", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -7\r\n\r\n"},
	{"CL hexadecimal", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x7\r\n\r\n"},
	{"CL with underscore", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1_0\r\n\r\n"},
	{"CL empty", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n"},
	{"CL absurd", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551617\r\n\r\n"},
	{"CL with inner space", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1 0\r\n\r\n"},
	{"TE twice", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"},
	{"TE twice, second unknown", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-encoding: x\r\n\r\n"},
	{"TE list", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n"},
	{"TE list ends chunked", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"},
	{"TE list begins empty", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: , chunked\r\n\r\n"},
	{"TE identity", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n"},
	{"TE empty", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n\r\n"},
	{"TE xchunked", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n"},
	{"TE quoted", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \"chunked\"\r\n\r\n"},
	{"TE with parameter", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked;q=1\r\n\r\n"},
	{"TE with vertical tab", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \x0bchunked\r\n\r\n"},
	{"TE with null", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\x00\r\n\r\n"},
	{"TE with non-breaking space", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \xa0chunked\r\n\r\n"},
	{"TE folded", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n chunked\r\n\r\n"},
	{"TE behind a bare line feed", "POST / HTTP/1.1\r\nHost: a\r\nX: y\nTransfer-Encoding: chunked\r\n\r\n"},
	{"TE behind a bare carriage return", "POST / HTTP/1.1\r\nHost: a\r\nX: y\rTransfer-Encoding: chunked\r\n\r\n"},
	{"TE with space before colon", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n"},
	{"TE with tab before colon", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding\t: chunked\r\n\r\n"},
	{"TE with null in name", "POST / HTTP/1.1\r\nHost: a\r\nTransfer\x00-Encoding: chunked\r\n\r\n"},
	{"TE with byte order mark", "POST / HTTP/1.1\r\nHost: a\r\n\xef\xbb\xbfTransfer-Encoding: chunked\r\n\r\n"},
	{"TE in HTTP/1.0", "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
	{"first field line begins with space", "POST / HTTP/1.1\r\n Host: a\r\nHost: b\r\n\r\n"},
	{"field line without colon", "GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n"},
	{"field without name", "GET / HTTP/1.1\r\nHost: a\r\n: x\r\n\r\n"},
	{"line of space ends nothing", "GET / HTTP/1.1\r\nHost: a\r\n \r\n\r\n"},
	{"head ends in bare line feeds", "GET / HTTP/1.1\nHost: a\n\n"},
	{"second empty line in front", "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"},
	{"bare line feed in front", "\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"},
	{"CR CR LF", "GET / HTTP/1.1\r\r\nHost: a\r\n\r\n"},
	{"Host twice", "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"},
	{"no Host", "GET / HTTP/1.1\r\n\r\n"},
	{"no Host beside an absolute form", "GET http://a/ HTTP/1.1\r\n\r\n"},
	{"empty Host", "GET / HTTP/1.1\r\nHost:\r\n\r\n"},
	{"Host with user", "GET / HTTP/1.1\r\nHost: a@b\r\n\r\n"},
	{"Host list", "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n"},
	{"Host with path", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"},
	{"HTTP/0.9", "GET /\r\n\r\n"},
	{"two spaces in the request line", "GET  / HTTP/1.1\r\nHost: a\r\n\r\n"},
	{"tab in the request line", "GET\t/\tHTTP/1.1\r\nHost: a\r\n\r\n"},
	{"space behind the version", "GET / HTTP/1.1 \r\nHost: a\r\n\r\n"},
	{"space in the target", "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n"},
	{"control byte in the target", "GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\n"},
	{"fragment in the target", "GET /#x HTTP/1.1\r\nHost: a\r\n\r\n"},
	{"relative target", "GET x HTTP/1.1\r\nHost: a\r\n\r\n"},
	{"absolute form of another scheme", "GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n"},
	{"absolute form with user", "GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n"},
	{"absolute form without host", "GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n"},
	{"asterisk with GET", "GET * HTTP/1.1\r\nHost: a\r\n\r\n"},
	{"CONNECT without port", "CONNECT a HTTP/1.1\r\nHost: a\r\n\r\n"},
	{"CONNECT with path", "CONNECT / HTTP/1.1\r\nHost: a\r\n\r\n"},
	{"method with colon", "G:T / HTTP/1.1\r\nHost: a\r\n\r\n"},
	{"lower-case protocol", "GET / http/1.1\r\nHost: a\r\n\r\n"},
	{"version with three digits", "GET / HTTP/1.10\r\nHost: a\r\n\r\n"},
	{"control byte in a value", "GET / HTTP/1.1\r\nHost: a\r\nX: a\x01b\r\n\r\n"},
	{"Connection is no list of tokens", "GET / HTTP/1.1\r\nHost: a\r\nConnection: close;x\r\n\r\n"},
	{"TLS on a plain port", "\x16\x03\x01\x02\x00\x01"},
	{"chunk size with prefix", chunkedHead + "0x1\r\na\r\n0\r\n\r\n"},
	{"chunk size with sign", chunkedHead + "+1\r\na\r\n0\r\n\r\n"},
	{"chunk size negative", chunkedHead + "-1\r\na\r\n0\r\n\r\n"},
	{"chunk size empty", chunkedHead + "\r\na\r\n0\r\n\r\n"},
	{"chunk size with space behind", chunkedHead + "1 \r\na\r\n0\r\n\r\n"},
	{"chunk size with space before extension", chunkedHead + "1 ;x\r\na\r\n0\r\n\r\n"},
	{"chunk size with space in front", chunkedHead + " 1\r\na\r\n0\r\n\r\n"},
	{"chunk size with underscore", chunkedHead + "1_0\r\na\r\n0\r\n\r\n"},
	{"chunk size overflows", chunkedHead + "10000000000000001\r\na\r\n0\r\n\r\n"},
	{"chunk size of many zeros", chunkedHead + "0000000000000001\r\na\r\n0\r\n\r\n"},
	{"chunk size ends in a bare line feed", chunkedHead + "1\na\r\n0\r\n\r\n"},
	{"chunk size ends in a bare carriage return", chunkedHead + "1\ra\r\n0\r\n\r\n"},
	{"chunk extension hides a line feed", chunkedHead + "1;x\na\r\n0\r\n\r\n"},
	{"chunk extension hides a carriage return", chunkedHead + "1;\rx\r\na\r\n0\r\n\r\n"},
	{"chunk extension has a null", chunkedHead + "1;\x00\r\na\r\n0\r\n\r\n"},
	{"chunk extension is absurd", chunkedHead + "1;" + strings.Repeat("x", 300) + "\r\na\r\n0\r\n\r\n"},
	{"chunk is longer than its size", chunkedHead + "1\r\nab\r\n0\r\n\r\n"},
	{"chunk ends in a bare line feed", chunkedHead + "1\r\na\n0\r\n\r\n"},
	{"chunk ends in something else", chunkedHead + "1\r\naXX0\r\n\r\n"},
	{"trailer ends in a bare line feed", chunkedHead + "0\r\nX: y\n\r\n"},
	{"trailer line is folded", chunkedHead + "0\r\n x\r\n\r\n"},
	{"trailer frames the message", chunkedHead + "0\r\nTransfer-Encoding: x\r\n\r\n"},
}

const chunkedHead = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"

// decodeAll reads a request's head and body and describes both, or returns the error.
func decodeAll(in []byte, pieces int) (string, error) {
	var h message.Head
	n, f, err := 0, Framing{}, error(nil)
	for end := min(pieces, len(in)); ; end = min(end+pieces, len(in)) {
		n, f, err = ParseRequestHead(in[:end:end], &h, limits())
		if n > 0 || err != nil || end == len(in) {
			break
		}
	}
	if n == 0 || err != nil {
		return "", err
	}
	s := describe(&h) + fmt.Sprint(" ", f)
	if f.Body != BodyChunked {
		return s, nil
	}
	var d Chunked
	content := ""
	rest := append([]byte(nil), in[n:]...)
	for len(rest) > 0 && !d.Done() {
		p := rest[:min(pieces, len(rest))]
		c, used, err := d.Decode(p, limits())
		if err != nil {
			return "", err
		}
		content += string(c)
		rest = rest[used:]
	}
	return s + fmt.Sprintf(" %q %v %d", content, d.Done(), len(rest)), nil
}

func describe(h *message.Head) string {
	s := fmt.Sprintf("%s %s %s %s %d %d %q %v %v %d %q", h.Method, h.Scheme, h.Authority, h.Target, h.Minor, h.Length, h.Upgrade, h.Trailers,
		h.ExpectContinue, h.Status, h.Reason)
	for i := range h.Fields.Len() {
		s += fmt.Sprintf(" %s=%q", h.Fields.At(i).Name, h.Fields.At(i).Value)
	}
	return s
}

func TestSmugglingIsRefused(t *testing.T) {
	for _, c := range smuggling {
		t.Run(c.name, func(t *testing.T) {
			for _, pieces := range []int{1 << 20, 1, 2, 7} {
				got, err := decodeAll([]byte(c.in), pieces)
				var p *ParseError
				if !errors.As(err, &p) || p.Status != 400 {
					t.Errorf("in pieces of %d: %v, %s", pieces, err, got)
				}
			}
		})
	}
}

func TestRequestLimits(t *testing.T) {
	many := strings.Repeat("X: y\r\n", 100)
	for _, c := range []struct {
		name, in string
		status   int
	}{
		{"target", "GET /" + strings.Repeat("a", 8<<10) + " HTTP/1.1\r\n", 414},
		{"target without end", "GET /" + strings.Repeat("a", 9<<10), 414},
		{"fields", "GET / HTTP/1.1\r\nHost: a\r\n" + many + "\r\n", 431},
		{"head", "GET / HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("a", 64<<10) + "\r\n\r\n", 431},
		{"head without end", "GET / HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("a", 64<<10), 431},
		{"HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505},
		{"HTTP/1.2", "GET / HTTP/1.2\r\nHost: a\r\n\r\n", 505},
		{"unknown expectation", "GET / HTTP/1.1\r\nHost: a\r\nExpect: tea\r\n\r\n", 417},
	} {
		_, _, err := ParseRequestHead([]byte(c.in), new(message.Head), limits())
		var p *ParseError
		if !errors.As(err, &p) || p.Status != c.status {
			t.Errorf("%s: %v, want %d", c.name, err, c.status)
		}
	}
	if _, _, err := ParseRequestHead([]byte("GET / HTTP/1.1\r\nHost: a\r\n"+many[6:]+"\r\n"), new(message.Head), limits()); err != nil {
		t.Errorf("as many fields as allowed: %v", err)
	}
}

func TestParseResponseHead(t *testing.T) {
	for _, c := range []struct {
		name, in string
		toHEAD   bool
		want     Framing
		length   int64
	}{
		{"length", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", false, Framing{BodyLength, 5, true}, 5},
		{"no reason", "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", false, Framing{BodyLength, 0, true}, 0},
		{"empty reason", "HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n", false, Framing{BodyLength, 0, true}, 0},
		{"chunked", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", false, Framing{BodyChunked, 0, true}, message.LengthUnknown},
		{"until close", "HTTP/1.1 200 OK\r\n\r\n", false, Framing{BodyUntilClose, 0, false}, message.LengthUnknown},
		{"HTTP/1.0", "HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\n", false, Framing{BodyLength, 1, false}, 1},
		{"HTTP/1.0 kept alive", "HTTP/1.0 200 OK\r\nContent-Length: 1\r\nConnection: keep-alive\r\n\r\n", false, Framing{BodyLength, 1, true}, 1},
		{"to HEAD with length", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", true, Framing{BodyNone, 0, true}, 5},
		{"to HEAD without length", "HTTP/1.1 200 OK\r\n\r\n", true, Framing{BodyNone, 0, true}, message.LengthNone},
		{"304 with length", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", false, Framing{BodyNone, 0, true}, 5},
		{"204", "HTTP/1.1 204 No Content\r\n\r\n", false, Framing{BodyNone, 0, true}, message.LengthNone},
		{"204 that announces a body ends the connection", "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", false, Framing{BodyNone, 0, false}, message.LengthNone},
		{"interim", "HTTP/1.1 103 Early Hints\r\n\r\n", false, Framing{BodyNone, 0, true}, message.LengthNone},
		{"switching", "HTTP/1.1 101 S\r\nConnection: upgrade\r\nUpgrade: WebSocket\r\n\r\n", false, Framing{BodyNone, 0, false}, message.LengthNone},
	} {
		t.Run(c.name, func(t *testing.T) {
			var h message.Head
			n, f, err := ParseResponseHead([]byte(c.in+"rest"), &h, c.toHEAD, limits())
			if err != nil || n != len(c.in) || f != c.want || h.Length != c.length {
				t.Errorf("%d %+v length %d, %v; want %+v length %d", n, f, h.Length, err, c.want, c.length)
			}
		})
	}
}

func TestResponsesThatAreRefused(t *testing.T) {
	for _, in := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
		"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
		"HTTP/1.1 200 OK\nContent-Length: 5\n\n",
		"HTTP/1.1 200 OK\r\nX : y\r\n\r\n",
		"HTTP/1.1 200 OK\r\nX: y\r\n z\r\n\r\n",
		"HTTP/1.1 200 O\x01K\r\n\r\n",
		"HTTP/1.1 20 OK\r\n\r\n", "HTTP/1.1 2000 OK\r\n\r\n", "HTTP/1.1 099 OK\r\n\r\n", "HTTP/1.1 2x0 OK\r\n\r\n", "HTTP/1.1  200 OK\r\n\r\n",
		"HTTP/2.0 200 OK\r\n\r\n", "HTTP/1.2 200 OK\r\n\r\n", "ICY 200 OK\r\n\r\n", "<html>", "\r\nHTTP/1.1 200 OK\r\n\r\n",
	} {
		if n, f, err := ParseResponseHead([]byte(in), new(message.Head), false, limits()); err == nil {
			t.Errorf("%q: %d %+v", in, n, f)
		}
	}
}

// TestAnswersInOtherProtocols: the error leads to what is missing in the configuration, in whatever pieces the answer arrives.
func TestAnswersInOtherProtocols(t *testing.T) {
	for in, want := range map[string]string{
		"\x00\x00\x06\x04\x00\x00\x00\x00\x00\x00\x05\x00\x00\x40\x00": "but as HTTP/2 does", // SETTINGS
		"\x15\x03\x01\x00\x02\x02\x16":                                 "but as TLS does",    // alert: unexpected record
		"SSH-2.0-OpenSSH_9.2\r\n":                                      "response does not begin with HTTP/1",
	} {
		for n := 1; n <= len(in); n++ {
			if _, _, err := ParseResponseHead([]byte(in[:n]), new(message.Head), false, limits()); err == nil || !strings.HasSuffix(err.Error(), want) {
				t.Fatalf("%q: %v", in[:n], err)
			}
		}
	}
}

// TestAppendRequestHead: what is written is read back as it was.
func TestAppendRequestHead(t *testing.T) {
	for in, want := range map[string]string{
		"GET /a/../b?c HTTP/1.1\r\nHost: x\r\nA: b\r\n\r\n":                                        "GET /b?c HTTP/1.1\r\nHost: x\r\nA: b\r\n\r\n",
		"GET /? HTTP/1.0\r\nHost: x\r\n\r\n":                                                       "GET /? HTTP/1.1\r\nHost: x\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nExpect: 100-Continue\r\n\r\n":          "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n":                         "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
		"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n":                                                    "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
		"OPTIONS http://x HTTP/1.1\r\nHost: y\r\n\r\n":                                             "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET http://x?y HTTP/1.1\r\nHost: y\r\n\r\n":                                               "GET /?y HTTP/1.1\r\nHost: x\r\n\r\n",
		"CONNECT x:80 HTTP/1.1\r\nHost: x\r\n\r\n":                                                 "CONNECT x:80 HTTP/1.1\r\nHost: x:80\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: x:\r\nTE: trailers\r\n\r\n":                                       "GET / HTTP/1.1\r\nHost: x\r\nTE: trailers\r\nConnection: TE\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c, websocket\r\n\r\n":      "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n\r\n":                                  "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET / HTTP/1.0\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n":           "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
		"POST / HTTP/1.0\r\nHost: x\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n":          "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: x\r\nA:\t b c \t\r\nB:\r\nConnection: A\r\nConnection: ,\r\n\r\n": "GET / HTTP/1.1\r\nHost: x\r\nB: \r\n\r\n",
	} {
		var h message.Head
		if n, _, err := ParseRequestHead([]byte(in), &h, limits()); n != len(in) || err != nil {
			t.Errorf("%q: %d, %v", in, n, err)
			continue
		}
		if err := message.NormalizeTarget(&h, true); err != nil {
			t.Error(err)
		}
		if got := string(AppendRequestHead(nil, &h, true)); got != want {
			t.Errorf("%q became\n%q, want\n%q", in, got, want)
		}
	}
}

// FuzzRequestHead: the pieces in which a request arrives make no difference, and what is forwarded is read back as it was.
func FuzzRequestHead(f *testing.F) {
	for _, c := range smuggling {
		f.Add([]byte(c.in))
	}
	f.Add([]byte("POST /a?b HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: te\r\n\r\n3;x\r\nabc\r\n0\r\nT: u\r\n\r\nGET"))
	f.Add([]byte("GET http://[::1]:80/%2e%2e/ HTTP/1.0\r\nConnection: keep-alive, x\r\nX: y\r\n\r\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		whole, err := decodeAll(in, len(in)+1)
		for _, n := range []int{1, 3} {
			if got, err2 := decodeAll(in, n); got != whole && err == nil || (err == nil) != (err2 == nil) {
				t.Fatalf("%q in pieces of %d: %s, %v; whole: %s, %v", in, n, got, err2, whole, err)
			}
		}
		var h, again message.Head
		if n, _, err := ParseRequestHead(in, &h, limits()); n == 0 || err != nil || message.NormalizeTarget(&h, true) != nil {
			return
		}
		if len(h.Authority) == 0 {
			return // only HTTP/1.0 has none
		}
		out := AppendRequestHead(nil, &h, true)
		n, _, err := ParseRequestHead(out, &again, &Limits{HeadBytes: 1 << 30, Fields: 1 << 20, TargetBytes: 1 << 30})
		if n != len(out) || err != nil {
			t.Fatalf("%q became %q: %d, %v", in, out, n, err)
		}
		h.Target, h.Minor, h.Scheme = again.Target, 1, nil
		if a, b := describe(&h), describe(&again); a != b {
			t.Fatalf("%q became %q:\n%s\n%s", in, out, a, b)
		}
	})
}

// FuzzResponseHead: no input makes the parser panic or read on after an error, and a response without a known end ends its connection.
func FuzzResponseHead(f *testing.F) {
	f.Add([]byte("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"), false)
	f.Add([]byte("HTTP/1.0 304\r\nConnection: keep-alive\r\nUpgrade: x\r\n\r\n"), true)
	f.Fuzz(func(t *testing.T, in []byte, toHEAD bool) {
		var h, again message.Head
		n, fr, err := ParseResponseHead(in, &h, toHEAD, limits())
		if err == nil && fr.Body == BodyUntilClose && fr.KeepAlive {
			t.Fatalf("%q: %+v", in, fr)
		}
		if n == 0 || err != nil {
			return
		}
		for end := range n {
			if m, _, err := ParseResponseHead(in[:end], &again, toHEAD, limits()); m != 0 || err != nil {
				t.Fatalf("%q: first %d bytes give %d, %v", in, end, m, err)
			}
		}
	})
}

// FuzzChunked: a body decodes to the same content whatever pieces it comes in, and what is encoded is decoded.
func FuzzChunked(f *testing.F) {
	f.Add([]byte("4\r\nWick\r\n5;x=y\r\netgat\r\n0\r\nA: b\r\n\r\nrest"), uint8(3))
	f.Add([]byte("ffffffffffffff\r\n"), uint8(1))
	f.Fuzz(func(t *testing.T, in []byte, size uint8) {
		decode := func(step int) (content string, used int, done bool, err error) {
			var d Chunked
			p := append([]byte(nil), in...)
			for used < len(p) && !d.Done() {
				c, n, err := d.Decode(p[used:min(used+step, len(p))], limits())
				if err != nil {
					return "", 0, false, err
				}
				content += string(c)
				used += n
			}
			return content, used, d.Done(), nil
		}
		c1, n1, d1, err1 := decode(len(in) + 1)
		c2, n2, d2, err2 := decode(int(size) + 1)
		if c1 != c2 || n1 != n2 || d1 != d2 || (err1 == nil) != (err2 == nil) {
			t.Fatalf("%q: whole %q %d %v %v, in pieces %q %d %v %v", in, c1, n1, d1, err1, c2, n2, d2, err2)
		}
		if len(in) == 0 {
			return
		}
		encoded := AppendLastChunk(append(append(AppendChunkHead(nil, len(in)), in...), '\r', '\n'), nil)
		var d Chunked
		if c, n, err := d.Decode(append([]byte(nil), encoded...), limits()); string(c) != string(in) || n != len(encoded) || !d.Done() || err != nil {
			t.Fatalf("%q encoded as %q decodes to %q, %d, %v", in, encoded, c, n, err)
		}
	})
}

func BenchmarkParseRequestHead(b *testing.B) {
	b.ReportAllocs()
	in := []byte("GET /shop/items/1234?sort=price HTTP/1.1\r\nHost: shop.example.com\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n" +
		"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\nAccept-Language: en-US,en;q=0.5\r\nAccept-Encoding: gzip, deflate, br, zstd\r\n" +
		"Connection: keep-alive\r\nCookie: session=0123456789abcdef0123456789abcdef\r\n\r\n")
	b.SetBytes(int64(len(in)))
	var h message.Head
	lim := limits()
	for b.Loop() {
		if n, _, err := ParseRequestHead(in, &h, lim); n != len(in) || err != nil {
			b.Fatal(n, err)
		}
	}
}
