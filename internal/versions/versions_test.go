// Random requests, and what may not be said: by every version of HTTP the same comes of it.

package versions

import (
	"math/rand/v2"
	"strings"
	"testing"
)

// field is a header or trailer field.
type field struct{ name, value string }

// request is a request in no version yet.
type request struct {
	id                      string
	method, path, authority string
	cookies                 []string
	fields, trailers        []field
	pieces                  []string // of the content
	body, length            bool     // there is content, of announced length

	absolute  bool // HTTP/1: the target has scheme and authority
	crumbs    bool // HTTP/2, 3: each cookie has a field of its own
	hostField bool // HTTP/2, 3: the authority is in host
	hostless  bool // nothing says which host is meant
	framed    bool // HTTP/1 has no way to say it
}

// invent makes up a request that may be said.
func invent(r *rand.Rand) *request {
	pick := func(list ...string) string { return list[r.IntN(len(list))] }
	maybe := func() bool { return r.IntN(2) == 0 }
	q := &request{
		method: pick("GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "M-SEARCH"), crumbs: maybe(), hostField: r.IntN(4) == 0, absolute: r.IntN(4) == 0,
		path:      pick("/", "/a/b?c=d&e", "/%41/../x", "//x//y", "/?", "/?a=?b", "/a%2fb", "/%e2%82%ac", "/a;b=c/.", "/..", "/a/./b/../c/", "/x?%zz", "/*"),
		authority: pick("shop.example", "Shop.Example:8443", "[::1]:80", "127.0.0.1", "shop.example:80"),
	}
	for range r.IntN(8) {
		q.fields = append(q.fields, field{
			pick("Accept", "X-Many", "X-Empty", "User-Agent", "X-Odd", "X-Forwarded-For", "X-Forwarded-Proto", "X-Real-Ip", "Forwarded", "Via", "X_Under",
				"Authorization", "Priority", "Early-Data", "Cache-Control", "Range", "Referer", "Set-Cookie", "Content-Type", "Trailer"),
			pick("", "1", "2", "a, b", "a (b) c", "\"é\", ;=", "1.2.3.4", "x\ty", "Basic eDp5", strings.Repeat("long ", 20)+"."),
		})
	}
	for range r.IntN(4) {
		q.cookies = append(q.cookies, pick("a=b", "c=d", "e", "f=\"g h\""))
	}
	if maybe() {
		q.fields = append(q.fields, field{"TE", "trailers"})
	}
	if q.body = maybe(); !q.body {
		return q
	}
	for range r.IntN(5) {
		q.pieces = append(q.pieces, strings.Repeat("x", 1+r.IntN(3000)))
	}
	if q.length = maybe(); q.length && len(q.pieces) > 0 && r.IntN(4) == 0 {
		q.fields = append(q.fields, field{"Expect", "100-continue"})
	}
	if !q.length && maybe() {
		q.trailers = []field{{"X-Sum", "1"}, {"Content-Type", "forbidden"}, {"X-Sum", "2"}, {"X-Forwarded-For", "forbidden"}}
	}
	return q
}

// breaches are what may not be said, or not so, and how it is answered. HTTP/1 is left out where it has another word for the same thing.
var breaches = []struct {
	name   string
	status int
	commit func(q *request)
}{
	{"no host", 400, func(q *request) { q.hostless, q.hostField, q.absolute = true, false, false }},
	{"empty host", 400, func(q *request) { q.authority = "" }},
	{"user in host", 400, func(q *request) { q.authority = "user@shop.example" }},
	{"space in host", 400, func(q *request) { q.authority = "shop example" }},
	{"path in host", 400, func(q *request) { q.authority = "shop.example/a" }},
	{"port that is no number", 400, func(q *request) { q.authority = "shop.example:x" }},
	{"port beyond 65535", 400, func(q *request) { q.authority = "shop.example:65536" }},
	{"half an address", 400, func(q *request) { q.authority = "[::1" }},
	{"empty path", 400, func(q *request) { q.path, q.absolute = "", false }},
	{"path without slash", 400, func(q *request) { q.path, q.absolute = "a/b", false }},
	{"space in path", 400, func(q *request) { q.path = "/a b" }},
	{"fragment", 400, func(q *request) { q.path = "/a#b" }},
	{"control byte in path", 400, func(q *request) { q.path = "/a\x01b" }},
	{"backslash", 400, func(q *request) { q.path = "/a\\b" }},
	{"null in path", 400, func(q *request) { q.path = "/a%00b" }},
	{"half an escape", 400, func(q *request) { q.path = "/a%4" }},
	{"escape that is none", 400, func(q *request) { q.path = "/%zz" }},
	{"star", 400, func(q *request) { q.method, q.path, q.absolute = "GET", "*", false }},
	{"malformed method", 400, func(q *request) { q.method = "GE(T" }},
	{"long method", 400, func(q *request) { q.method = strings.Repeat("A", 100) }},
	{"long target", 414, func(q *request) { q.path = "/" + strings.Repeat("a", 9000) }},
	{"many fields", 431, func(q *request) { q.fields = append(q.fields, make101()...) }},
	{"large fields", 431, func(q *request) { q.fields = append(q.fields, field{"X-Large", strings.Repeat("x", 70_000)}) }},
	{"unknown expectation", 417, func(q *request) { q.fields = append(q.fields, field{"Expect", "wonders"}) }},
	{"empty name", 400, func(q *request) { q.fields = append(q.fields, field{"", "x"}) }},
	{"space in a name", 400, func(q *request) { q.fields = append(q.fields, field{"X Space", "x"}) }},
	{"name that is no token", 400, func(q *request) { q.fields = append(q.fields, field{"X(y)", "x"}) }},
	{"byte beyond ASCII in a name", 400, func(q *request) { q.fields = append(q.fields, field{"x-\xe9", "x"}) }},
	{"null in a value", 400, func(q *request) { q.fields = append(q.fields, field{"X", "a\x00b"}) }},
	{"control byte in a value", 400, func(q *request) { q.fields = append(q.fields, field{"X", "a\x7fb"}) }},
	{"carriage return in a value", 400, func(q *request) { q.fields = append(q.fields, field{"X", "a\rb"}) }},
	{"null in a trailer", 400, func(q *request) {
		q.body, q.length, q.pieces, q.trailers, q.framed = true, false, nil, []field{{"X", "\x00"}}, true
	}},
	{"line end in a value", 400, func(q *request) { q.fields, q.framed = append(q.fields, field{"X", "a\nb: c"}), true }},
	{"value that begins with a space", 400, func(q *request) { q.fields, q.framed = append(q.fields, field{"X", " a"}), true }},
	{"a field of a connection", 400, func(q *request) { q.fields, q.framed = append(q.fields, field{"Keep-Alive", "5"}), true }},
	{"te", 400, func(q *request) { q.fields, q.framed = append(q.fields, field{"Te", "gzip"}), true }},
	{"pseudo-field behind others", 400, func(q *request) { q.fields, q.framed = append(q.fields, field{":path", "/"}), true }},
	{"unknown pseudo-field", 400, func(q *request) { q.fields, q.framed = append(q.fields, field{":x", "/"}), true }},
	{"pseudo-field in trailers", 400, func(q *request) {
		q.body, q.length, q.pieces, q.trailers, q.framed = true, false, nil, []field{{":path", "/"}}, true
	}},
	{"two hosts", 400, func(q *request) { q.hostField, q.fields = true, append(q.fields, field{"Host", "other.example"}) }},
	{"host is not the authority", 400, func(q *request) {
		q.hostField, q.absolute, q.fields, q.framed = false, false, append(q.fields, field{"Host", "other.example"}), true
	}},
	{"content-length twice", 400, func(q *request) {
		q.body, q.length, q.pieces, q.trailers, q.fields = true, true, []string{"abc"}, nil, append(q.fields, field{"Content-Length", "4"})
	}},
	{"content-length that is no number", 400, func(q *request) {
		q.body, q.length, q.pieces, q.fields = false, false, nil, append(q.fields, field{"Content-Length", "+1"})
	}},
	{"shorter than announced", 400, func(q *request) { q.announce("9", "abc") }},
	{"longer than announced", 400, func(q *request) { q.announce("2", "abc") }},
	{"content though none is announced", 400, func(q *request) { q.announce("0", "abc") }},
	{"no content though some is announced", 400, func(q *request) { q.announce("9") }},
}

func make101() (fields []field) {
	for range 101 {
		fields = append(fields, field{"X-Many", "x"})
	}
	return fields
}

// announce makes the content another than its length says. HTTP/1 has nothing to compare the length with.
func (q *request) announce(length string, pieces ...string) {
	q.body, q.length, q.pieces, q.trailers, q.framed = len(pieces) > 0, false, pieces, nil, true
	q.fields = append(q.fields, field{"Content-Length", length})
}

func TestTheSameRequestReachesTheBackend(t *testing.T) {
	s := newStand(t)
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 0))
	for range 2000 {
		q := invent(r)
		if got := s.compare(q); got.status != 200 {
			t.Fatalf("seed %d: %+v is answered with %d", seed, *q, got.status)
		}
	}
}

func TestTheSameRequestIsRefused(t *testing.T) {
	s := newStand(t)
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 0))
	for range 20 {
		for _, b := range breaches {
			q := invent(r)
			q.fields = q.fields[:min(len(q.fields), 3)]
			b.commit(q)
			if got := s.compare(q); got.status != b.status {
				t.Fatalf("seed %d, %s: %+v is answered with %d, want %d", seed, b.name, *q, got.status, b.status)
			}
		}
	}
}
