// ClientHellos of crypto/tls and hand-made ones, cut up in every way, and what is refused.

package sni

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

// capture returns the ClientHello that crypto/tls sends with a configuration.
func capture(t testing.TB, config *tls.Config) []byte {
	t.Helper()
	client, server := net.Pipe()
	config.InsecureSkipVerify = true
	go func() {
		_ = tls.Client(client, config).Handshake() // fails when the other side goes away
		_ = client.Close()
	}()
	_, first, err := Read(server)
	_ = server.Close()
	if err != nil {
		t.Fatal(err)
	}
	return first
}

// extension and hello build a ClientHello by hand.
func extension(kind int, data string) string {
	return string([]byte{byte(kind >> 8), byte(kind), byte(len(data) >> 8), byte(len(data))}) + data
}

func vector16(data string) string {
	return string([]byte{byte(len(data) >> 8), byte(len(data))}) + data
}
func vector8(data string) string { return string([]byte{byte(len(data))}) + data }

func serverName(name string) string { return extension(0, vector16("\x00"+vector16(name))) }

func body(extensions string) string {
	return "\x03\x03" + strings.Repeat("r", 32) + vector8("") + vector16("\x13\x01") + vector8("\x00") + extensions
}

func hello(body string) []byte {
	n := len(body)
	message := string([]byte{1, byte(n >> 16), byte(n >> 8), byte(n)}) + body
	var out []byte
	for len(message) > 0 {
		k := min(len(message), maxFragment)
		out = append(append(out, 22, 3, 1, byte(k>>8), byte(k)), message[:k]...)
		message = message[k:]
	}
	return out
}

// fragment cuts the message of a single record into records of at most n bytes.
func fragment(one []byte, n int) (out []byte) {
	for m := one[5:]; len(m) > 0; {
		k := min(n, len(m))
		out = append(append(out, 22, 3, 1, byte(k>>8), byte(k)), m[:k]...)
		m = m[k:]
	}
	return out
}

func TestReadsWhatCryptoTLSSends(t *testing.T) {
	for name, c := range map[string]struct {
		config *tls.Config
		want   Hello
	}{
		"name and protocols": {
			&tls.Config{ServerName: "Shop.Example.com", NextProtos: []string{"h2", "http/1.1"}},
			Hello{"shop.example.com", []string{"h2", "http/1.1"}},
		},
		"neither":                {&tls.Config{}, Hello{}},
		"an address is no name":  {&tls.Config{ServerName: "192.0.2.1"}, Hello{}},
		"TLS 1.2":                {&tls.Config{ServerName: "a.example", MaxVersion: tls.VersionTLS12}, Hello{"a.example", nil}},
		"post-quantum key share": {&tls.Config{ServerName: "pq.example", CurvePreferences: []tls.CurveID{tls.X25519MLKEM768}}, Hello{"pq.example", nil}},
	} {
		t.Run(name, func(t *testing.T) {
			in := capture(t, c.config)
			if strings.HasPrefix(name, "post") && len(in) < 1300 {
				t.Fatalf("a hello of %d bytes fits into one segment", len(in))
			}
			check(t, in, c.want)
		})
	}
}

// check reads in whole, byte by byte, and cut into records, with bytes behind it.
func check(t *testing.T, in []byte, want Hello) {
	t.Helper()
	for name, r := range map[string]io.Reader{
		"whole":             bytes.NewReader(in),
		"byte by byte":      iotest.OneByteReader(bytes.NewReader(in)),
		"with its end":      iotest.DataErrReader(bytes.NewReader(in)),
		"records of 1":      bytes.NewReader(fragment(in, 1)),
		"records of 7":      iotest.HalfReader(bytes.NewReader(fragment(in, 7))),
		"something follows": io.MultiReader(bytes.NewReader(in), strings.NewReader("\x17\x03\x03early data")),
	} {
		got, first, err := Read(r)
		if err != nil || got.ServerName != want.ServerName || !slices.Equal(got.Protocols, want.Protocols) {
			t.Errorf("%s: got %+v, %v; want %+v", name, got, err, want)
		}
		rest, _ := io.ReadAll(r)
		if all := append(slices.Clone(first), rest...); !strings.HasPrefix(name, "records") && !bytes.HasPrefix(all, in) {
			t.Errorf("%s: %d bytes handed on, %d were sent", name, len(all), len(in))
		}
	}
}

func TestIgnoresWhatServersMustIgnore(t *testing.T) {
	grease := extension(0x0a0a, "") + extension(0xfafa, "\x00")
	ech := extension(0xfe0d, strings.Repeat("e", 300))
	for name, c := range map[string]struct {
		extensions string
		want       Hello
	}{
		"no extensions at all":             {"", Hello{}},
		"an empty list of them":            {vector16(""), Hello{}},
		"GREASE":                           {vector16(grease + serverName("a.example")), Hello{ServerName: "a.example"}},
		"outer name with ECH":              {vector16(serverName("public.example") + ech), Hello{ServerName: "public.example"}},
		"a name of an unknown type beside": {vector16(extension(0, vector16("\x05"+vector16("x!")+"\x00"+vector16("a.example")))), Hello{ServerName: "a.example"}},
		"an address as name":               {vector16(serverName("192.0.2.1")), Hello{ServerName: "192.0.2.1"}},
		"large":                            {vector16(extension(41, strings.Repeat("t", 20<<10)) + serverName("a.example")), Hello{ServerName: "a.example"}},
	} {
		t.Run(name, func(t *testing.T) {
			in := hello(body(c.extensions))
			got, first, err := Read(bytes.NewReader(in))
			if err != nil || got.ServerName != c.want.ServerName || len(got.Protocols) > 0 {
				t.Errorf("got %+v, %v", got, err)
			}
			if !bytes.Equal(first, in) {
				t.Errorf("%d bytes handed on, %d were sent", len(first), len(in))
			}
		})
	}
}

func TestRefuses(t *testing.T) {
	name := serverName("a.example")
	alpn := func(s string) string { return extension(16, s) }
	for what, c := range map[string]struct {
		in   []byte
		want error
	}{
		"nothing":                        {nil, io.EOF},
		"half a hello":                   {hello(body(vector16(name)))[:50], io.ErrUnexpectedEOF},
		"half a record's head":           {[]byte{22, 3}, io.ErrUnexpectedEOF},
		"plain HTTP":                     {[]byte("GET / HTTP/1.1\r\n"), ErrNotTLS},
		"SSL 2":                          {[]byte{0x80, 0x2e, 1, 3, 1}, ErrNotTLS},
		"another record between":         {append(fragment(hello(body("")), 9)[:14], 23, 3, 3, 0, 1, 0), ErrMalformed},
		"another version's record":       {[]byte{22, 2, 0, 0, 5, 1, 0, 0, 0, 0}, ErrMalformed},
		"an empty record":                {[]byte{22, 3, 1, 0, 0}, ErrMalformed},
		"a record over 2^14":             {[]byte{22, 3, 1, 0x40, 1}, ErrMalformed},
		"a ServerHello":                  {[]byte{22, 3, 1, 0, 5, 2, 0, 0, 1, 0}, ErrMalformed},
		"an empty message":               {[]byte{22, 3, 1, 0, 4, 1, 0, 0, 0}, ErrMalformed},
		"a message announced too long":   {[]byte{22, 3, 1, 0, 4, 1, 1, 0, 0}, ErrTooLarge},
		"too many small records":         {fragment(hello(body(vector16(extension(41, strings.Repeat("t", 20<<10))))), 1), ErrTooLarge},
		"a short random":                 {hello("\x03\x03short"), ErrMalformed},
		"a long session":                 {hello("\x03\x03" + strings.Repeat("r", 32) + vector8(strings.Repeat("s", 33)) + vector16("\x13\x01") + vector8("\x00")), ErrMalformed},
		"no cipher suite":                {hello("\x03\x03" + strings.Repeat("r", 32) + vector8("") + vector16("") + vector8("\x00")), ErrMalformed},
		"half a cipher suite":            {hello("\x03\x03" + strings.Repeat("r", 32) + vector8("") + vector16("\x13") + vector8("\x00")), ErrMalformed},
		"no compression method":          {hello("\x03\x03" + strings.Repeat("r", 32) + vector8("") + vector16("\x13\x01") + vector8("")), ErrMalformed},
		"bytes after the extensions":     {hello(body(vector16(name) + "x")), ErrMalformed},
		"an extension cut short":         {hello(body(vector16(name[:len(name)-1]))), ErrMalformed},
		"an extension twice":             {hello(body(vector16(name + name))), ErrMalformed},
		"two hosts":                      {hello(body(vector16(extension(0, vector16("\x00"+vector16("a.example")+"\x00"+vector16("b.example")))))), ErrMalformed},
		"an empty list of names":         {hello(body(vector16(extension(0, vector16(""))))), ErrMalformed},
		"an empty name":                  {hello(body(vector16(serverName("")))), ErrMalformed},
		"a name that ends with a dot":    {hello(body(vector16(serverName("a.example.")))), ErrMalformed},
		"a name with an empty label":     {hello(body(vector16(serverName("a..example")))), ErrMalformed},
		"a name with a NUL":              {hello(body(vector16(serverName("a.example\x00.evil")))), ErrMalformed},
		"a name of 254 bytes":            {hello(body(vector16(serverName(strings.Repeat("a", 254))))), ErrMalformed},
		"bytes after the list of names":  {hello(body(vector16(extension(0, vector16("\x00"+vector16("a.example"))+"x")))), ErrMalformed},
		"an empty list of protocols":     {hello(body(vector16(alpn(vector16(""))))), ErrMalformed},
		"an empty protocol":              {hello(body(vector16(alpn(vector16("\x00"))))), ErrMalformed},
		"a protocol cut short":           {hello(body(vector16(alpn(vector16("\x03h2"))))), ErrMalformed},
		"very many extensions":           {hello(body(vector16(manyExtensions(300)))), ErrMalformed},
		"an extension head cut in half":  {hello(body(vector16("\x00"))), ErrMalformed},
		"a name type without its name":   {hello(body(vector16(extension(0, vector16("\x00"))))), ErrMalformed},
		"extensions longer than the end": {hello(body("\x00\x09abc")), ErrMalformed},
	} {
		t.Run(what, func(t *testing.T) {
			_, first, err := Read(bytes.NewReader(c.in))
			if !errors.Is(err, c.want) {
				t.Errorf("error %v, want %v", err, c.want)
			}
			if !bytes.HasPrefix(c.in, first) {
				t.Error("the bytes handed on are not those that came")
			}
			if len(first) > MaxSize {
				t.Errorf("%d bytes were read", len(first))
			}
		})
	}
}

func manyExtensions(n int) string {
	var s strings.Builder
	for i := range n {
		s.WriteString(extension(1000+i, ""))
	}
	return s.String()
}

func TestErrorsOfTheConnectionAreKept(t *testing.T) {
	_, first, err := Read(iotest.TimeoutReader(iotest.OneByteReader(bytes.NewReader(hello(body(""))))))
	if !errors.Is(err, iotest.ErrTimeout) || len(first) != 1 {
		t.Errorf("%d bytes, error %v", len(first), err)
	}
}

// FuzzRead compares with crypto/tls: whatever it takes for a ClientHello has the same name and protocols here, or is refused here.
func FuzzRead(f *testing.F) {
	f.Add(capture(f, &tls.Config{ServerName: "shop.example.com", NextProtos: []string{"h2"}}))
	f.Add(fragment(hello(body(vector16(serverName("a.example")))), 7))
	f.Add([]byte("GET / HTTP/1.1\r\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		whole, first, err := Read(bytes.NewReader(in))
		if !bytes.HasPrefix(in, first) || len(first) > MaxSize {
			t.Fatal("bytes were lost, made up, or too many")
		}
		pieces, _, again := Read(iotest.OneByteReader(bytes.NewReader(in)))
		if (err == nil) != (again == nil) || whole.ServerName != pieces.ServerName || !slices.Equal(whole.Protocols, pieces.Protocols) {
			t.Fatalf("whole: %+v, %v; in pieces: %+v, %v", whole, err, pieces, again)
		}
		if err != nil {
			return
		}
		var theirs *tls.ClientHelloInfo
		server := tls.Server(&oneWay{r: bytes.NewReader(in)}, &tls.Config{GetConfigForClient: func(h *tls.ClientHelloInfo) (*tls.Config, error) {
			theirs = h
			return nil, io.EOF
		}})
		if server.Handshake() == nil || theirs == nil {
			return
		}
		if !strings.EqualFold(theirs.ServerName, whole.ServerName) || !slices.Equal(theirs.SupportedProtos, whole.Protocols) {
			t.Fatalf("crypto/tls reads %q %q, we read %+v", theirs.ServerName, theirs.SupportedProtos, whole)
		}
	})
}

// oneWay is a connection that takes what is written and forgets it.
type oneWay struct {
	net.Conn
	r io.Reader
}

func (c *oneWay) Read(p []byte) (int, error)  { return c.r.Read(p) }
func (c *oneWay) Write(p []byte) (int, error) { return len(p), nil }
func (c *oneWay) Close() error                { return nil }

func BenchmarkRead(b *testing.B) {
	in := capture(b, &tls.Config{ServerName: "shop.example.com", NextProtos: []string{"h2", "http/1.1"}})
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := Read(bytes.NewReader(in)); err != nil {
			b.Fatal(err)
		}
	}
}
