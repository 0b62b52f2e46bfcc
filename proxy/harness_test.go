// The tables of testdata/*.txtar: YAML in, requests and their answers out. A file has config.yaml, and requests in this form, one block after
// another with empty lines between:
//
//	> GET http://shop.example.com/cart?x=1 from=10.1.2.3
//	> X-Env: prod
//	< 200 from default/v1:8080
//	< sent GET /cart?x=1 shop.example.com
//	< sent X-Env: prod
//	< unsent X-Other
//	< Content-Type: text/plain; charset=utf-8
//	< without X-Powered-By
//	< body ok
//
// The first line gives method and URL, whose scheme and port choose the socket; from=ADDRESS is the client's address, sni=NAME the server name
// (by default the URL's host, none for sni=-), target=TARGET another request target, and HTTP/1.0 the version. Host: replaces the URL's host. "sent" is what the backend
// received. A backend answers 200, with a header line for each Echo field of the request. The ports of its endpoints may ask for trouble: see
// portRefused and so on.
//
// Each table runs several times: on fakes of wire and backend, and over loopback through the wires and backend.Registry, with HTTP/1, HTTP/2 and (clients) HTTP/3 on
// either side.

package proxy

import (
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"

	"github.com/wicketgate/wicketgate/config"
	"github.com/wicketgate/wicketgate/gateway"
	"github.com/wicketgate/wicketgate/object"
)

// Endpoints with these ports misbehave.
const (
	portRefused = 1 // refuses connections
	portBroken  = 2 // closes in the middle of the response's head
	portSilent  = 3 // never answers
)

// tableCase is one block of a table.
type tableCase struct {
	line           int
	method, target string
	scheme         string
	port           uint16
	authority      string
	minor          int
	client         netip.Addr
	serverName     string
	header         [][2]string

	status int
	from   string
	want   []string // the lines after the status
}

// seenRequest is what a backend received.
type seenRequest struct {
	method, target, host string
	header               [][2]string
	backend              string // Target.Key, without "Service "
}

// seenResponse is what the client received.
type seenResponse struct {
	status int
	header [][2]string
	body   string
}

// stand carries the requests of a table to a proxy, somehow.
type stand interface {
	do(t *testing.T, c *tableCase) (seenResponse, *seenRequest)
}

func parseTable(t *testing.T, text string) (cases []*tableCase) {
	t.Helper()
	var c *tableCase
	for n, line := range strings.Split(text, "\n") {
		switch {
		case strings.TrimSpace(line) == "":
			c = nil
		case strings.HasPrefix(line, "#"):
		case c == nil:
			c = parseRequest(t, line)
			c.line = n + 1
			cases = append(cases, c)
		case strings.HasPrefix(line, "> "):
			name, value, _ := strings.Cut(line[2:], ":")
			if value = strings.TrimSpace(value); strings.EqualFold(name, "Host") {
				c.authority = value
			} else {
				c.header = append(c.header, [2]string{name, value})
			}
		case c.status == 0:
			status, from, _ := strings.Cut(strings.TrimPrefix(line, "< "), " from ")
			number, err := strconv.Atoi(status)
			if err != nil {
				t.Fatalf("requests:%d: no status in %q", n+1, line)
			}
			c.status, c.from = number, from
		default:
			c.want = append(c.want, strings.TrimPrefix(line, "< "))
		}
	}
	return cases
}

func parseRequest(t *testing.T, line string) *tableCase {
	t.Helper()
	words := strings.Fields(strings.TrimPrefix(line, "> "))
	c := &tableCase{method: words[0], minor: 1, client: netip.MustParseAddr("127.0.0.1")}
	scheme, rest, ok := strings.Cut(words[1], "://")
	if !ok {
		t.Fatalf("no URL in %q", line)
	}
	c.scheme, c.port = scheme, map[string]uint16{"http": 80, "https": 443}[scheme]
	c.authority, c.target = rest, "/"
	if i := strings.IndexByte(rest, '/'); i >= 0 {
		c.authority, c.target = rest[:i], rest[i:]
	}
	host, port, found := strings.Cut(c.authority, ":")
	if found && !strings.HasPrefix(host, "[") {
		number, err := strconv.ParseUint(port, 10, 16)
		if err != nil {
			t.Fatalf("no port in %q", line)
		}
		c.port = uint16(number)
	}
	if scheme == "https" {
		c.serverName = host
	}
	for _, w := range words[2:] {
		key, value, _ := strings.Cut(w, "=")
		switch key {
		case "from":
			c.client = netip.MustParseAddr(value)
		case "target":
			c.target = value
		case "sni":
			c.serverName = strings.TrimSuffix(value, "-")
		case "HTTP/1.0":
			c.minor = 0
		}
	}
	return c
}

func (c *tableCase) check(t *testing.T, res seenResponse, seen *seenRequest) {
	t.Helper()
	fail := func(format string, args ...any) {
		t.Helper()
		t.Errorf("requests:%d: "+format, append([]any{c.line}, args...)...)
	}
	if res.status != c.status {
		fail("status %d, want %d (%s)", res.status, c.status, res.body)
		return
	}
	switch {
	case seen == nil && c.from != "":
		fail("no backend got the request, want %s", c.from)
		return
	case seen == nil:
		seen = &seenRequest{}
	case c.from != "" && seen.backend != c.from:
		fail("backend %s got the request, want %s", seen.backend, c.from)
	}
	for _, w := range c.want {
		kind, rest, _ := strings.Cut(w, " ")
		name, value, isField := strings.Cut(rest, ": ")
		switch {
		case kind == "sent" && isField:
			if got := joined(seen.header, name); got != value {
				fail("the backend got %s: %q, want %q", name, got, value)
			}
		case kind == "sent":
			if got := seen.method + " " + seen.target + " " + seen.host; got != rest {
				fail("the backend got %q, want %q", got, rest)
			}
		case kind == "unsent":
			if has(seen.header, rest) {
				fail("the backend got %s: %s", rest, joined(seen.header, rest))
			}
		case kind == "without":
			if has(res.header, rest) {
				fail("the response has %s: %s", rest, joined(res.header, rest))
			}
		case kind == "body":
			if strings.TrimSpace(res.body) != rest {
				fail("body %q, want %q", res.body, rest)
			}
		case strings.HasSuffix(kind, ":"):
			if got := joined(res.header, strings.TrimSuffix(kind, ":")); got != rest {
				fail("response has %s %q, want %q", kind, got, rest)
			}
		default:
			fail("what is %q?", w)
		}
	}
}

func has(header [][2]string, name string) bool {
	return slices.ContainsFunc(header, func(h [2]string) bool { return strings.EqualFold(h[0], name) })
}

// joined is the combined value of a field (RFC 9110 section 5.3), without spaces.
func joined(header [][2]string, name string) string {
	var values []string
	for _, h := range header {
		if strings.EqualFold(h[0], name) {
			values = append(values, h[1])
		}
	}
	return strings.Join(values, ",")
}

// graphOf builds the graph of a YAML text, which must be without problems other than warnings.
func graphOf(t testing.TB, name string, yaml string) *gateway.Graph {
	t.Helper()
	objects, problems := config.Parse(name, []byte(yaml))
	for _, p := range problems {
		if p.Severity == object.Error {
			t.Fatal(p)
		}
	}
	return gateway.Build(object.NewSet(objects...), gateway.Options{})
}

func TestTables(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no tables: %v", err)
	}
	for _, file := range files {
		archive, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		content := map[string]string{}
		for _, f := range archive.Files {
			content[f.Name] = string(f.Data)
		}
		name := strings.TrimSuffix(filepath.Base(file), ".txtar")
		t.Run(name, func(t *testing.T) {
			graph := graphOf(t, name+".yaml", withSecret(t, content["config.yaml"]))
			cases := parseTable(t, content["requests"])
			if len(cases) == 0 {
				t.Fatal("no requests")
			}
			for _, on := range []struct {
				name string
				make func(*testing.T, *gateway.Graph) stand
			}{{"fakes", newFakeStand}, {"loopback", newLoopbackStand}, {"HTTP2 backends", newHTTP2BackendStand}, {"HTTP2 clients", newHTTP2ClientStand}, {"HTTP3 clients", newHTTP3ClientStand}} {
				t.Run(on.name, func(t *testing.T) {
					s := on.make(t, graph)
					for _, c := range cases {
						res, seen := s.do(t, c)
						c.check(t, res, seen)
					}
				})
			}
		})
	}
}
