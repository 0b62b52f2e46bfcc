// QPACK against another implementation.

package h3

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/quic-go/qpack"

	"github.com/wicketgate/wicketgate/message"
	"github.com/wicketgate/wicketgate/wire/h2"
)

func acceptFor(h *message.Head) string {
	return h2.WebSocketAccept(h.Fields.Get("sec-websocket-key"))
}

// theirs decodes a section with the other implementation.
func theirs(p []byte) (string, error) {
	var b strings.Builder
	next := qpack.NewDecoder().Decode(p)
	for {
		f, err := next()
		if errors.Is(err, io.EOF) {
			return b.String(), nil
		}
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&b, "%q: %q\n", f.Name, f.Value)
	}
}

// ours decodes a section with ours.
func ours(p []byte) (string, error) {
	d := decoder{maxBytes: 1 << 20, maxFields: 1 << 20}
	if _, err := d.decode(p); err != nil {
		return "", err
	}
	var b strings.Builder
	d.fields(func(name, value []byte) string {
		fmt.Fprintf(&b, "%q: %q\n", name, value)
		return ""
	})
	return b.String(), nil
}

func TestTheStaticTableIsTheirs(t *testing.T) {
	for i, e := range staticTable {
		got, err := theirs(appendInteger([]byte{0, 0}, 0xc0, 6, i))
		if want := fmt.Sprintf("%q: %q\n", e.name, e.value); err != nil || got != want {
			t.Errorf("%d: %s, %v, want %s", i, got, err, want)
		}
		if e.name[0] != ':' && staticTable[staticNames[e.name]].name != e.name {
			t.Errorf("%s has the index of another name", e.name)
		}
	}
	for status := 100; status < 1000; status++ {
		want := fmt.Sprintf("%q: %q\n", ":status", fmt.Sprint(status))
		if got, err := theirs(appendStatus([]byte{0, 0}, status)); err != nil || got != want {
			t.Fatalf("%d: %s, %v", status, got, err)
		}
	}
}

func TestOurSectionsAreReadByOthers(t *testing.T) {
	var f message.Fields
	want := ""
	for _, x := range [][2]string{
		{"Content-Type", "text/html"},
		{"X-Own", "1"},
		{"SET-COOKIE", "a=b"},
		{"Access-Control-Request-Headers", "x"},
		{"X-Long", strings.Repeat("v", 5000)},
		{strings.Repeat("x-long-", 40), ""},
		{"Cache-Control", ""},
	} {
		f.Add([]byte(x[0]), []byte(x[1]))
		want += fmt.Sprintf("%q: %q\n", strings.ToLower(x[0]), x[1])
	}
	p := appendLength(appendFields(appendSectionPrefix(nil), &f), 1234567)
	want += "\"content-length\": \"1234567\"\n"
	for name, decode := range map[string]func([]byte) (string, error){"theirs": theirs, "ours": ours} {
		if got, err := decode(p); err != nil || got != want {
			t.Errorf("%s: %v\n%s\nwant\n%s", name, err, got, want)
		}
	}
}

// Whatever the bytes are, both implementations read the same, or neither reads anything.
func FuzzSections(f *testing.F) {
	var b bytes.Buffer
	e := qpack.NewEncoder(&b)
	for _, x := range []qpack.HeaderField{{Name: ":path", Value: "/"}, {Name: ":path", Value: "/cart"}, {Name: "x-own", Value: "some value"}, {Name: "cookie", Value: "a=b"}} {
		if err := e.WriteField(x); err != nil {
			f.Fatal(err)
		}
	}
	f.Add(b.Bytes())
	f.Add([]byte{0, 0, 0x51, 5, '/', 'c', 'a', 'r', 't'})
	f.Add([]byte{0, 0, 0xc1})
	f.Fuzz(func(t *testing.T, p []byte) {
		if len(p) > 1 && p[1] != 0 {
			t.Skip("theirs takes no base but zero")
		}
		got, err := ours(p)
		want, theirErr := theirs(p)
		if (err == nil) != (theirErr == nil) {
			t.Fatalf("ours: %v, theirs: %v", err, theirErr)
		}
		if err == nil && got != want {
			t.Fatalf("ours\n%s\ntheirs\n%s", got, want)
		}
	})
}

// No bytes on a request stream hang or crash the readers.
func FuzzFrames(f *testing.F) {
	f.Add(get("/"))
	f.Add(append(frame(frameData, []byte("abc")), frame(frameHeaders, section("a", "b"))...))
	f.Fuzz(func(t *testing.T, p []byte) {
		in := reader{src: bytes.NewReader(p), buf: make([]byte, 64)}
		read := 0
		for {
			if _, err := in.next(); err != nil {
				break
			}
			payload, err := in.payload(nil)
			if read += len(payload); read > len(p) {
				t.Fatal("more was read than sent")
			}
			if err != nil {
				break
			}
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	p := section(":method", "GET", ":scheme", "https", ":authority", "example.test", ":path", "/cart?id=7", "user-agent", "curl/8.5.0", "accept", "*/*")
	d := decoder{maxBytes: 64 << 10, maxFields: 100}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := d.decode(p); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEncode(b *testing.B) {
	h := message.Head{Status: 200}
	h.Fields.Add([]byte("Content-Type"), []byte("text/plain"))
	h.Fields.Add([]byte("X-Request-Id"), []byte("0123456789"))
	var dst []byte
	b.ReportAllocs()
	for b.Loop() {
		dst = appendHead(dst[:0], &h, 128, []byte("Mon, 02 Jan 2006 15:04:05 GMT"))
	}
}

// Where an int has 32 bits (386, arm) a long integer must not become a negative length or index, which would end the process.
func TestIntegersAreBounded(t *testing.T) {
	for n := range 6 {
		for _, filler := range []byte{0x80, 0xff} {
			for last := range 0x100 {
				p := append(bytes.Repeat([]byte{filler}, n), byte(last))
				if value, rest, ok := integer(append([]byte{0xff}, p...), 7); ok && (value < 0 || value > maxInteger || len(rest) > 0) {
					t.Fatalf("ff % x is %d", p, value)
				}
				for _, line := range []byte{0xff, 0x5f, 0x27} { // an index, an index and a value, a name and a value
					d := decoder{maxBytes: 1 << 10, maxFields: 10}
					_, _ = d.decode(append([]byte{0, 0, line}, p...)) // it may be as wrong as it likes
				}
			}
		}
	}
}
