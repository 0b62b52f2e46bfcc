// Package spoken invents requests that every version of HTTP can say, and describes what a handler gets of them: tests say the same request
// in two versions and compare.
package spoken

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/wicketgate/wicketgate/message"
	"github.com/wicketgate/wicketgate/wire"
)

// Request is a request in no language yet. Fields and Trailers are lines of a name in lower case, ": " and a value.
type Request struct {
	Method, Path, Authority string
	Fields, Trailers        []string
	Pieces                  []string // of the body
	Body, Length            bool     // there is a body, of announced length
}

// Invent makes up a request.
func Invent(r *rand.Rand) Request {
	pick := func(list ...string) string { return list[r.IntN(len(list))] }
	q := Request{
		Method: pick("GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "M-SEARCH"), Path: pick("/", "/a/b?c=d&e", "/%41/../x", "//x", "/?"),
		Authority: pick("shop.example", "Shop.Example:8443", "[::1]:80", "127.0.0.1"),
	}
	for range r.IntN(6) {
		q.Fields = append(q.Fields, pick(
			"accept: */*", "x-empty: ", "x-many: 1", "x-many: 2", "cookie: a=b", "te: trailers", "user-agent: a (b) c", "x-odd: \"é\", ;=",
			"x-forwarded-for: 1.2.3.4", "authorization: Basic eDp5", "via: 1.1 x", "x_under: y"))
	}
	slices.Sort(q.Fields)
	q.Fields = slices.CompactFunc(q.Fields, func(a, b string) bool { return a == b && !strings.HasPrefix(a, "x-") }) // one cookie: crumbs are joined
	if q.Body = r.IntN(2) == 0; q.Body {
		for range r.IntN(4) {
			q.Pieces = append(q.Pieces, strings.Repeat("x", 1+r.IntN(3000)))
		}
		if q.Length = r.IntN(2) == 0; q.Length && len(q.Content()) > 0 && r.IntN(3) == 0 {
			q.Fields = append(q.Fields, "expect: 100-continue")
		}
		if !q.Length && r.IntN(2) == 0 {
			q.Trailers = []string{"x-sum: 1", "content-type: forbidden", "x-forwarded-for: forbidden"}
		}
	}
	return q
}

// Content is the whole body.
func (q *Request) Content() string { return strings.Join(q.Pieces, "") }

// Lines are the fields of the head in versions 2 and 3, with the pseudo-fields.
func (q *Request) Lines(scheme string) []string {
	lines := append([]string{":method: " + q.Method, ":scheme: " + scheme, ":path: " + q.Path, ":authority: " + q.Authority}, q.Fields...)
	if q.Length {
		lines = append(lines, fmt.Sprintf("content-length: %d", len(q.Content())))
	}
	return lines
}

// One is the request in HTTP/1.1.
func (q *Request) One() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: %s\r\n", q.Method, q.Path, q.Authority)
	for _, f := range q.Fields {
		b.WriteString(f + "\r\n")
	}
	content := q.Content()
	switch {
	case !q.Body:
		b.WriteString("\r\n")
	case q.Length:
		fmt.Fprintf(&b, "Content-Length: %d\r\n\r\n%s", len(content), content)
	default:
		b.WriteString("Transfer-Encoding: chunked\r\n\r\n")
		for _, p := range q.Pieces {
			fmt.Fprintf(&b, "%x\r\n%s\r\n", len(p), p)
		}
		b.WriteString("0\r\n")
		for _, f := range q.Trailers {
			b.WriteString(f + "\r\n")
		}
		b.WriteString("\r\n")
	}
	return b.Bytes()
}

// Seen is what a handler got: a head in one line, in lower case, and the content.
type Seen struct{ Head, Body, Trailers string }

// Witness reads a request, answers it, and tells what it got.
func Witness(got chan<- Seen) func(wire.Exchange) {
	return func(x wire.Exchange) {
		h := x.Request()
		s := Seen{Head: describe(h) + fmt.Sprint(x.Body() == nil)}
		if b := x.Body(); b != nil {
			s.Body, s.Trailers = content(b)
		}
		got <- s
		_ = x.Respond(&message.Head{Status: 200}, nil) // the client may have what it wanted and leave
	}
}

func describe(h *message.Head) string {
	s := fmt.Sprintf("%s %s %s %s path=%d length=%d minor=%d upgrade=%q trailers=%t expect=%t", h.Method, h.Scheme, h.Authority, h.Target,
		len(h.Path), h.Length, h.Minor, h.Upgrade, h.Trailers, h.ExpectContinue)
	return strings.ToLower(s + lines(&h.Fields))
}

func lines(fields *message.Fields) (s string) {
	for i := range fields.Len() {
		s += fmt.Sprintf("[%s: %s]", fields.At(i).Name, fields.At(i).Value)
	}
	return s
}

func content(b message.Body) (text, trailers string) {
	for {
		p, err := b.Next()
		text += string(p)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err.Error(), ""
		}
	}
	if b.Trailers() != nil {
		trailers = strings.ToLower(lines(b.Trailers()))
	}
	return text, trailers
}
