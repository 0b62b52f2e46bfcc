// Tests of field blocks: limits, the rules of RFC 9113 section 8, and encoding against another implementation.

package h2

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/http2/hpack"

	"github.com/wicketgate/wicketgate/message"
	"github.com/wicketgate/wicketgate/wire"
)

// encode makes a field block of "name: value" lines; a name may begin with a colon.
func encode(lines ...string) []byte {
	var b bytes.Buffer
	e := hpack.NewEncoder(&b)
	for _, l := range lines {
		n := strings.IndexByte(l[1:], ':') + 1
		e.WriteField(hpack.HeaderField{Name: l[:n], Value: strings.TrimPrefix(l[n+1:], " ")})
	}
	return b.Bytes()
}

func newReader() *BlockReader {
	lim := wire.DefaultLimits()
	return NewBlockReader(&lim, DefaultHeaderSize)
}

// readBlock gives a reader one block in frames of at most size bytes.
func readBlock(b *BlockReader, block []byte, end bool, size int) error {
	f := Frame{Type: FrameHeaders, Stream: 1}
	if end {
		f.Flags = FlagEndStream
	}
	for {
		f.Payload = block[:min(size, len(block))]
		if block = block[len(f.Payload):]; len(block) == 0 {
			f.Flags |= FlagEndHeaders
		}
		if complete, err := b.Read(&f); err != nil || complete {
			return err
		}
		f = Frame{Type: FrameContinuation, Stream: 1}
	}
}

func readRequest(end bool, lines ...string) (h message.Head, err error) {
	b := newReader()
	if err := readBlock(b, encode(lines...), end, 10); err != nil {
		return h, err
	}
	_, err = b.Request(1, &h, nil)
	return h, err
}

// describe writes a head as one line.
func describe(h *message.Head) string {
	s := fmt.Sprintf("%s %s %s %s length=%d", h.Method, h.Scheme, h.Authority, h.Target, h.Length)
	if len(h.Upgrade) > 0 {
		s += " upgrade=" + string(h.Upgrade)
	}
	if h.Trailers {
		s += " trailers"
	}
	if h.ExpectContinue {
		s += " expect"
	}
	for i := range h.Fields.Len() {
		s += fmt.Sprintf(" [%s: %s]", h.Fields.At(i).Name, h.Fields.At(i).Value)
	}
	return s
}

// usual are the pseudo-fields of a usual request, followed by lines.
func usual(lines ...string) []string {
	return append([]string{":method: GET", ":scheme: https", ":authority: shop.example", ":path: /a?b"}, lines...)
}

func TestRequests(t *testing.T) {
	for _, c := range []struct {
		name, want string
		open       bool
		lines      []string
	}{
		{"plain", "GET https shop.example /a?b length=-1 [accept: x]", false, usual("accept: x")},
		{"with content", "GET https shop.example /a?b length=-2", true, usual()},
		{"with a length", "GET https shop.example /a?b length=7", true, usual("content-length: 7")},
		{"length 0", "GET https shop.example /a?b length=0", false, usual("content-length: 0")},
		{"cookies are joined", "GET https shop.example /a?b length=-1 [cookie: a=b; c=d; e=f] [x: y]", false, usual("cookie: a=b", "x: y", "cookie: c=d", "cookie: e=f")},
		{"te", "GET https shop.example /a?b length=-1 trailers", false, usual("te: trailers")},
		{"expect", "GET https shop.example /a?b length=7 expect", true, usual("content-length: 7", "expect: 100-continue")},
		{"expectation without content", "GET https shop.example /a?b length=-1", false, usual("expect: 100-continue")},
		{"host beside authority", "GET https shop.example /a?b length=-1", false, usual("host: Shop.example")},
		{"host instead of authority", "GET http shop.example:80 / length=-1", false, []string{":method: GET", ":scheme: http", ":path: /", "host: shop.example:80"}},
		{"asterisk", "OPTIONS https shop.example * length=-1", false, []string{":method: OPTIONS", ":scheme: https", ":authority: shop.example", ":path: *"}},
		{"connect", "CONNECT  shop.example:443  length=-2", true, []string{":method: CONNECT", ":authority: shop.example:443"}},
		{
			"websocket", "GET https shop.example /chat length=-1 upgrade=websocket [sec-websocket-version: 13]", true,
			[]string{":method: CONNECT", ":protocol: websocket", ":scheme: https", ":authority: shop.example", ":path: /chat", "sec-websocket-version: 13"},
		},
		{"http2-settings is dropped", "GET https shop.example /a?b length=-1", false, usual("http2-settings: x")},
	} {
		t.Run(c.name, func(t *testing.T) {
			h, err := readRequest(!c.open, c.lines...)
			if got := describe(&h); err != nil || got != c.want {
				t.Errorf("got  %s, %v\nwant %s", got, err, c.want)
			}
		})
	}
}

// Each rule of RFC 9113 whose breach makes a request malformed, by the section that has it. Section 8.1.1's rule of DATA against content-length has tests of
// its own, as have trailers.
func TestMalformedRequests(t *testing.T) {
	for _, section := range []struct {
		number string
		heads  [][]string
	}{
		{"8.1.1: content-length", [][]string{
			usual("content-length: 1"), usual("content-length: +0"), usual("content-length: 0", "content-length: 0"), usual("content-length: "),
			usual("content-length: 0, 0"),
		}},
		{"8.2.1: names and values", [][]string{
			usual("Upper: x"), usual("a b: x"), usual("x: \x00"), usual("x: a\r\nb: c"), usual("x:  y"), usual("x: y "), usual("x: \x7f"),
		}},
		{"8.2.2: fields of the connection", [][]string{
			usual("connection: close"), usual("proxy-connection: x"), usual("keep-alive: 1"), usual("transfer-encoding: chunked"), usual("upgrade: h2c"),
			usual("te: gzip"), usual("te: trailers, gzip"),
		}},
		{"8.3: pseudo-fields, once, known, and first", [][]string{
			usual(":method: GET"), usual(":path: /b"), usual(":status: 200"), usual(":foo: b"),
			usual("x: y", ":authority: a")[1:], usual("x: y", ":scheme: https"),
		}},
		{"8.3.1: those of a request", [][]string{
			{":scheme: https", ":authority: a", ":path: /"},
			{":method: GET", ":authority: a", ":path: /"},
			{":method: GET", ":scheme: https", ":authority: a"},
			{":method: GET", ":scheme: https", ":authority: a", ":path: "},
			{":method: GET", ":scheme: https", ":authority: a", ":path: a"},
			{":method: GET", ":scheme: https", ":authority: a", ":path: *"},
			{":method: GET", ":scheme: https", ":authority: a", ":path: https://b/"},
			usual("host: other.example"), usual("host: shop.example", "host: shop.example"),
		}},
		{"8.5: CONNECT", [][]string{
			{":method: CONNECT", ":scheme: https", ":authority: a:1", ":path: /"},
			{":method: CONNECT"},
		}},
		{"RFC 8441, section 4: extended CONNECT", [][]string{
			{":method: CONNECT", ":protocol: websocket", ":authority: a"}, usual(":protocol: websocket"),
		}},
	} {
		for _, lines := range section.heads {
			if h, err := readRequest(true, lines...); !sameCode(err, &StreamError{Code: ProtocolError}) {
				t.Errorf("section %s: %q: %s, %v", section.number, lines, describe(&h), err)
			}
		}
	}
}

func TestRequestsAnsweredByTheWire(t *testing.T) {
	long := strings.Repeat("x", 9<<10)
	many := usual()
	for i := range 101 {
		many = append(many, fmt.Sprintf("x-%d: y", i))
	}
	huge := usual()
	for range 8 {
		huge = append(huge, "x: "+long)
	}
	for _, c := range []struct {
		name   string
		status int
		lines  []string
	}{
		{"target too long", 414, []string{":method: GET", ":scheme: https", ":authority: a", ":path: /" + long}},
		{"target with a fragment", 400, []string{":method: GET", ":scheme: https", ":authority: a", ":path: /#a"}},
		{"target with a space", 400, []string{":method: GET", ":scheme: https", ":authority: a", ":path: /a b"}},
		{"no authority", 400, []string{":method: GET", ":scheme: https", ":path: /"}},
		{"user information", 400, []string{":method: GET", ":scheme: https", ":authority: u@a", ":path: /"}},
		{"other scheme", 400, []string{":method: GET", ":scheme: ftp", ":authority: a", ":path: /"}},
		{"method with a space", 400, []string{":method: GET /", ":scheme: https", ":authority: a", ":path: /"}},
		{"expectation", 417, usual("expect: 200-ok")},
		{"other protocol", 501, []string{":method: CONNECT", ":protocol: foo", ":scheme: https", ":authority: a", ":path: /"}},
		{"connect without a port", 400, []string{":method: CONNECT", ":authority: a"}},
		{"many fields", 431, many},
		{"large header", 431, huge},
	} {
		b := newReader()
		if err := readBlock(b, encode(c.lines...), true, 16<<10); err != nil {
			t.Fatal(c.name, err)
		}
		var h message.Head
		_, err := b.Request(1, &h, nil)
		if p, ok := errors.AsType[*wire.ParseError](err); !ok || p.Status != c.status {
			t.Errorf("%s: %v, want %d", c.name, err, c.status)
		}
		// The table is as good as before.
		if err := readBlock(b, encode(usual()...), true, 16<<10); err != nil {
			t.Errorf("%s: the next block: %v", c.name, err)
		}
	}
}

func TestHundredCookiesAreOneField(t *testing.T) {
	lines := usual()
	for i := range 150 {
		lines = append(lines, fmt.Sprintf("cookie: a%d=b", i))
	}
	b := newReader()
	if err := readBlock(b, encode(lines...), true, 16<<10); err != nil {
		t.Fatal(err)
	}
	var h message.Head
	if _, err := b.Request(1, &h, nil); err != nil || h.Fields.Len() != 1 || !bytes.HasSuffix(h.Fields.At(0).Value, []byte("; a149=b")) {
		t.Errorf("%s, %v", describe(&h), err)
	}
}

func TestBlocksWithoutMeasure(t *testing.T) {
	bomb := encode(usual("x: " + strings.Repeat("y", 3900))...)
	bomb = append(bomb, bytes.Repeat([]byte{0x80 | 62}, 16<<10)...) // the newest entry of the table
	for name, feed := range map[string]func(*BlockReader) error{
		"an HPACK bomb": func(b *BlockReader) error { return readBlock(b, bomb, true, 16<<10) },
		"CONTINUATION without end": func(b *BlockReader) error {
			return readBlock(b, encode(usual("x: "+strings.Repeat("y", 300))...), true, 2)
		},
		"CONTINUATION without content": func(b *BlockReader) error {
			_, err := b.Read(&Frame{Type: FrameHeaders, Stream: 1})
			for range 1000 {
				if err == nil {
					_, err = b.Read(&Frame{Type: FrameContinuation, Stream: 1})
				}
			}
			return err
		},
		"a huge field": func(b *BlockReader) error {
			return readBlock(b, encode("x: "+strings.Repeat("\x01", 200<<10)), true, 16<<10)
		},
		"a huge block": func(b *BlockReader) error {
			return readBlock(b, encode(slices.Repeat([]string{"x: " + strings.Repeat("\x01", 4<<10)}, 80)...), true, 16<<10)
		},
	} {
		if err := feed(newReader()); !sameCode(err, &ConnError{Code: EnhanceYourCalm}) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := readBlock(newReader(), []byte{0xff, 0xff, 0xff}, true, 100); !sameCode(err, &ConnError{Code: CompressionError}) {
		t.Errorf("an index that is not in the table: %v", err)
	}
}

func TestMemoryChangesHands(t *testing.T) {
	b := newReader()
	var first, second message.Head
	readBlock(b, encode(usual("x: first")...), true, 100)
	one, _ := b.Request(1, &first, nil)
	readBlock(b, encode(usual("x: second")...), true, 100)
	two, _ := b.Request(3, &second, nil)
	if string(first.Fields.Get("x")) != "first" || string(second.Fields.Get("x")) != "second" {
		t.Error("a later block overwrites an earlier head")
	}
	encoded := encode(usual("x: third")...)
	if n := testing.AllocsPerRun(100, func() {
		readBlock(b, encoded, true, 100)
		one, _ = b.Request(5, &first, one)
		readBlock(b, encoded, true, 100)
		two, _ = b.Request(7, &second, two)
	}); n > 2*(2+4) { // x/net's hpack makes a string of each literal and an entry of its table
		t.Errorf("reading two heads allocates %v times", n)
	}
}

func TestResponses(t *testing.T) {
	for _, c := range []struct {
		lines []string
		end   bool
		head  bool
		want  int64
		bad   bool
	}{
		{lines: []string{":status: 200", "x: y"}, want: message.LengthUnknown},
		{lines: []string{":status: 200", "content-length: 5"}, want: 5},
		{lines: []string{":status: 200"}, end: true, want: 0},
		{lines: []string{":status: 204"}, end: true, want: message.LengthNone},
		{lines: []string{":status: 304", "content-length: 5"}, end: true, want: 5},
		{lines: []string{":status: 200", "content-length: 5"}, end: true, head: true, want: 5},
		{lines: []string{":status: 103"}, want: message.LengthNone},
		{lines: []string{":status: 103"}, end: true, bad: true},
		{lines: []string{":status: 101"}, bad: true},
		{lines: []string{":status: 200", "content-length: 5"}, end: true, bad: true},
		{lines: []string{":status: 200", "content-length: 5", "content-length: 6"}, bad: true},
		{lines: []string{":status: 20"}, bad: true},
		{lines: []string{":status: 2000"}, bad: true},
		{lines: []string{":status: 099"}, bad: true},
		{lines: []string{":status: 200", ":status: 200"}, bad: true},
		{lines: []string{"x: y", ":status: 200"}, bad: true},
		{lines: []string{"x: y"}, bad: true},
		{lines: []string{":status: 200", "connection: close"}, bad: true},
		{lines: []string{":status: 200", "X: y"}, bad: true},
	} {
		b := newReader()
		if err := readBlock(b, encode(c.lines...), c.end, 100); err != nil {
			t.Fatal(err)
		}
		var h message.Head
		_, err := b.Response(1, &h, c.head, nil)
		if c.bad != sameCode(err, &StreamError{Code: ProtocolError}) || !c.bad && h.Length != c.want {
			t.Errorf("%q: length %d, %v", c.lines, h.Length, err)
		}
	}
}

func TestTrailers(t *testing.T) {
	b := newReader()
	readBlock(b, encode("grpc-status: 0", "authorization: x", "content-length: 1", "x: y"), true, 100)
	var f message.Fields
	if _, err := b.Trailers(1, &f, nil); err != nil || f.Len() != 2 || !f.Has("grpc-status") || !f.Has("x") {
		t.Errorf("%d trailers, %v", f.Len(), err)
	}
	for _, line := range []string{":path: /", "X: y", "connection: x", "x: \n"} {
		readBlock(b, encode(line), true, 100)
		if _, err := b.Trailers(1, &f, nil); !sameCode(err, &StreamError{Code: ProtocolError}) {
			t.Errorf("%q: %v", line, err)
		}
	}
}

// decode reads a block with another implementation, as "name: value" lines.
func decode(t *testing.T, block []byte) []string {
	t.Helper()
	var lines []string
	d := hpack.NewDecoder(4096, func(f hpack.HeaderField) { lines = append(lines, f.Name+": "+f.Value) })
	if _, err := d.Write(block); err != nil || d.Close() != nil {
		t.Fatal("block cannot be decoded", err)
	}
	return lines
}

func TestEncodedHeadsAreUnderstood(t *testing.T) {
	long := strings.Repeat("v", 20000)
	h := message.Head{
		Method: []byte("GET"), Scheme: []byte("https"), Authority: []byte("a:1"), Path: []byte("/p"), Query: []byte("q"), HasQuery: true,
		Length: 12, Trailers: true, ExpectContinue: true,
	}
	h.Fields.Add([]byte("Accept"), []byte("x"))
	h.Fields.Add([]byte("Set-Cookie"), []byte("s"))
	h.Fields.Add([]byte("X-Long"), []byte(long))
	want := []string{
		":method: GET", ":scheme: https", ":path: /p?q", ":authority: a:1", "accept: x", "set-cookie: s", "x-long: " + long, "content-length: 12",
		"te: trailers", "expect: 100-continue",
	}
	if got := decode(t, AppendRequest(AppendTableSizeZero(nil), &h)); !slices.Equal(got, want) {
		t.Errorf("request: %q", got)
	}
	h.Upgrade, h.Length, h.Trailers, h.ExpectContinue = websocket, message.LengthNone, false, false
	want[0], want = ":method: CONNECT", slices.Insert(want[:7], 1, ":protocol: websocket")
	if got := decode(t, AppendRequest(nil, &h)); !slices.Equal(got, want) {
		t.Errorf("extended CONNECT: %q", got)
	}
	for _, status := range []int{103, 200, 206, 304, 404, 418, 500, 999} {
		h.Status = status
		want := []string{fmt.Sprintf(":status: %d", status), "date: today", "accept: x", "set-cookie: s", "x-long: " + long, "content-length: 3"}
		if got := decode(t, AppendResponse(nil, &h, 3, []byte("today"))); !slices.Equal(got, want) {
			t.Errorf("response: %q", got)
		}
	}
}

func TestLargeBlocksAreContinued(t *testing.T) {
	for _, n := range []int{0, 1, 99, 100, 101, 250, 300} {
		block := bytes.Repeat([]byte{0x82}, n)
		out := append(AppendBlockRoom([]byte("before")), block...)
		out = FinishBlock(out, len("before"), 7, true, 100)[len("before"):]
		var got []byte
		for first := true; len(out) > 0; first = false {
			f, size, err := ParseFrame(out, 100)
			if err != nil || size == 0 || f.Stream != 7 || (f.Type == FrameHeaders) != first || f.Has(FlagEndStream) != first {
				t.Fatalf("%d: frame %+v, %v", n, f, err)
			}
			got, out = append(got, f.Payload...), out[size:]
			if f.Has(FlagEndHeaders) != (len(out) == 0) {
				t.Fatalf("%d: END_HEADERS is not on the last frame", n)
			}
		}
		if !bytes.Equal(got, block) {
			t.Errorf("%d bytes became %d", n, len(got))
		}
	}
}

// FuzzRequest feeds blocks, and sends on whatever is accepted: it must come out the same.
func FuzzRequest(f *testing.F) {
	f.Add(encode(usual("cookie: a", "cookie: b", "x: y", "content-length: 0")...), true)
	f.Add(encode(":method: CONNECT", ":authority: a:1"), false)
	f.Fuzz(func(t *testing.T, block []byte, end bool) {
		b := newReader()
		if readBlock(b, block, end, 1<<14) != nil {
			return
		}
		var h, again message.Head
		if _, err := b.Request(1, &h, nil); err != nil || len(h.Upgrade) > 0 {
			return
		}
		if len(h.Target) > 0 && message.NormalizeTarget(&h, false) != nil {
			return
		}
		b = newReader()
		if err := readBlock(b, AppendRequest(nil, &h), end, 1<<14); err != nil {
			t.Fatal(err)
		}
		if _, err := b.Request(1, &again, nil); err != nil {
			t.Fatalf("%s: %v", describe(&h), err)
		}
		if h.Target = h.Path; h.HasQuery {
			h.Target = slices.Concat(h.Path, []byte{'?'}, h.Query)
		}
		h.Scheme = again.Scheme
		if describe(&h) != describe(&again) {
			t.Fatalf("\n%s became\n%s", describe(&h), describe(&again))
		}
	})
}

func FuzzResponse(f *testing.F) {
	f.Add(encode(":status: 200", "x: y", "content-length: 0"), true)
	f.Add(encode("grpc-status: 0"), false)
	f.Fuzz(func(_ *testing.T, block []byte, end bool) {
		b := newReader()
		if readBlock(b, block, end, 1<<14) != nil {
			return
		}
		var h message.Head
		var fields message.Fields
		memory, _ := b.Response(1, &h, end, nil)
		if readBlock(b, block, end, 1<<14) == nil {
			_, _ = b.Trailers(1, &fields, memory)
		}
	})
}

func BenchmarkRequest(b *testing.B) {
	r := newReader()
	block := encode(usual("user-agent: h2load", "accept: */*")...)
	readBlock(r, block, true, 1<<14)
	block = append([]byte{0x82, 0x87}, 0x80|65, 0x80|64, 0x80|63, 0x80|62) // indexed
	f := Frame{Type: FrameHeaders, Stream: 1, Flags: FlagEndHeaders | FlagEndStream, Payload: block}
	var h message.Head
	var memory []byte
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.Read(&f); err != nil {
			b.Fatal(err)
		}
		var err error
		if memory, err = r.Request(1, &h, memory); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAppendResponse(b *testing.B) {
	h := message.Head{Status: 200}
	for _, f := range []string{"Content-Type: text/plain", "Server: nginx", "Last-Modified: Sat, 01 Jan 2000 00:00:00 GMT", "X-Request-Id: 0123456789"} {
		name, value, _ := strings.Cut(f, ": ")
		h.Fields.Add([]byte(name), []byte(value))
	}
	var out []byte
	b.ReportAllocs()
	for b.Loop() {
		out = AppendResponse(out[:0], &h, 128, []byte("Sat, 01 Jan 2000 00:00:00 GMT"))
	}
}
