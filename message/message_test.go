// Tests of fields, authorities and token tables.

package message

import (
	"bytes"
	"strings"
	"testing"
)

func fieldsOf(pairs ...string) *Fields {
	f := new(Fields)
	for i := 0; i < len(pairs); i += 2 {
		f.Add([]byte(pairs[i]), []byte(pairs[i+1]))
	}
	return f
}

func (f *Fields) String() string {
	var b strings.Builder
	for _, x := range f.list {
		b.WriteString(string(x.Name) + "=" + string(x.Value) + " ")
	}
	return strings.TrimSpace(b.String())
}

func TestFields(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(*Fields)
		want string
	}{
		{"set replaces the first and removes the others", func(f *Fields) { f.Set([]byte("A"), []byte("9")) }, "A=9 B=2 c=4"},
		{"set adds what is not there", func(f *Fields) { f.Set([]byte("D"), []byte("9")) }, "a=1 B=2 A=3 c=4 D=9"},
		{"remove removes all, in any case", func(f *Fields) { f.Remove("a") }, "B=2 c=4"},
		{"remove of what is not there", func(f *Fields) { f.Remove("x") }, "a=1 B=2 A=3 c=4"},
		{"remove at keeps the order", func(f *Fields) { f.RemoveAt(1) }, "a=1 A=3 c=4"},
		{"filter", func(f *Fields) { f.Filter(func(x Field) bool { return x.Value[0] > '2' }) }, "A=3 c=4"},
		{"reset", func(f *Fields) { f.Reset() }, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := fieldsOf("a", "1", "B", "2", "A", "3", "c", "4")
			c.do(f)
			if got := f.String(); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
	f := fieldsOf("Accept", "x", "ACCEPT", "y", "Cookie", "a=1", "cookie", "b=2", "Empty", "")
	for name, want := range map[string]string{"accept": "x, y", "Cookie": "a=1; b=2", "empty": ""} {
		if got, ok := f.Combined(name, nil); !ok || string(got) != want || got == nil {
			t.Errorf("Combined(%s) = %q, %v, want %q", name, got, ok, want)
		}
	}
	if _, ok := f.Combined("x", nil); ok || f.Get("x") != nil || f.Has("x") {
		t.Error("a field that is not there is found")
	}
	if string(f.Get("aCCept")) != "x" || f.Get("empty") == nil {
		t.Error("Get does not give the first field")
	}
	scratch := make([]byte, 0, 64)
	if n := testing.AllocsPerRun(100, func() { f.Combined("accept", scratch); f.Get("empty") }); n != 0 {
		t.Errorf("looking up fields allocates %v times", n)
	}
}

func TestSplitAuthority(t *testing.T) {
	for _, c := range []struct{ in, host, port, folded string }{
		{"Example.COM", "Example.COM", "", "example.com"},
		{"example.com.:8080", "example.com.", "8080", "example.com"},
		{"example.com:", "example.com", "", "example.com"},
		{"a_b.example", "a_b.example", "", "a_b.example"},
		{"127.0.0.1:65535", "127.0.0.1", "65535", "127.0.0.1"},
		{"[2001:DB8::1]", "[2001:DB8::1]", "", "[2001:db8::1]"},
		{"[::1]:80", "[::1]", "80", "[::1]"},
	} {
		host, port, ok := SplitAuthority([]byte(c.in))
		if !ok || string(host) != c.host || string(port) != c.port {
			t.Errorf("%q: %q, %q, %v", c.in, host, port, ok)
		}
		if got := AppendHost(nil, []byte(c.in)); string(got) != c.folded {
			t.Errorf("AppendHost(%q) = %q, want %q", c.in, got, c.folded)
		}
	}
	for _, in := range []string{
		"", ":80", "user@example.com", "a:b@c", "a b", "a,b", "a/b", "a\\b", "ex%61mple", "a:65536", "a:123456", "a:+1", "a:8x", "a:1:2", "[::1", "[::1]x",
		"[::1]:x", "[127.0.0.1]", "[fe80::1%25eth0]", "::1", "[]", "a?b", "a#b", "a\x00", "é.example", strings.Repeat("a", 256),
	} {
		if _, _, ok := SplitAuthority([]byte(in)); ok {
			t.Errorf("%q is taken for an authority", in)
		}
	}
}

// FuzzValidFieldValue compares eight bytes at a time with one at a time.
func FuzzValidFieldValue(f *testing.F) {
	for _, s := range []string{"", "plain value", "tab\tinside here", "\x00", "12345678\x7f", "ééééééééé", "1234567\r", "1234567\n890"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		want := bytes.IndexFunc(b, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) < 0
		if got := ValidFieldValue(b); got != want {
			t.Fatalf("ValidFieldValue(%q) = %v", b, got)
		}
	})
}

func TestTokens(t *testing.T) {
	if !ValidFieldName([]byte("X-a!#$%&'*+.^_`|~9")) {
		t.Error("a token is refused")
	}
	for _, s := range []string{"", " a", "a ", "a:b", "a\x00", "é", "a(b)", "a/b", "a\"", "a\t"} {
		if ValidFieldName([]byte(s)) {
			t.Errorf("%q is taken for a token", s)
		}
	}
	if !HasToken([]byte("a , Upgrade,b"), "upgrade") || HasToken([]byte("upgraded, x-upgrade"), "upgrade") {
		t.Error("HasToken does not compare whole tokens")
	}
}

// TestCopyTo: a copy says the same when the memory of the original has become something else's, and knows what is not there from what is empty.
func TestCopyTo(t *testing.T) {
	for name, itself := range map[string]bool{"another head": false, "itself": true} {
		t.Run(name, func(t *testing.T) {
			memory := []byte("GET|https|a.example:8|/x/../y?q|/y|q|websocket|Accept|*")
			piece := bytes.Split(memory, []byte{'|'})
			h := &Head{
				Method: piece[0], Scheme: piece[1], Authority: piece[2], Target: piece[3], Path: piece[4], Query: piece[5], HasQuery: true,
				Upgrade: piece[6], Length: LengthNone, Minor: 1, Trailers: true, ExpectContinue: true, Status: 7,
			}
			h.Fields.Add(piece[7], piece[8])
			h.Fields.Add([]byte("Empty"), []byte{})
			to := h
			if !itself {
				to = &Head{Reason: []byte("was there before")}
				to.Fields.Add([]byte("Old"), []byte("1"))
			}
			h.CopyTo(to)
			for i := range memory {
				memory[i] = '?'
			}
			text := bytes.Join([][]byte{to.Method, to.Scheme, to.Authority, to.Target, to.Path, to.Query, to.Upgrade}, []byte{'|'})
			if got, want := string(text), "GET|https|a.example:8|/x/../y?q|/y|q|websocket"; got != want {
				t.Errorf("got %q, want %q", got, want)
			}
			if got, want := to.Fields.String(), "Accept=* Empty="; got != want {
				t.Errorf("fields %q, want %q", got, want)
			}
			if to.Reason != nil || to.Fields.At(1).Value == nil {
				t.Error("what is not there and what is empty are confused")
			}
			if !to.HasQuery || to.Length != LengthNone || to.Minor != 1 || !to.Trailers || !to.ExpectContinue || to.Status != 7 {
				t.Errorf("not the same: %+v", to)
			}
		})
	}
}
