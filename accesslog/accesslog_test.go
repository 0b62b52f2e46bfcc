// Lines, rotation, and what happens when the file cannot keep up.

package accesslog

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

func entry() *Entry {
	return &Entry{
		Time: time.Date(2026, 3, 4, 5, 6, 7, 89000, time.UTC), Duration: 1500 * time.Microsecond,
		Client: netip.MustParseAddrPort("192.0.2.1:4711"), Local: netip.MustParseAddrPort("[2001:db8::1]:443"),
		Protocol: "HTTP/1.1", TLS: "TLS 1.3", ServerName: "shop.example.com",
		Method: []byte("GET"), Host: []byte("shop.example.com"), Path: []byte("/cart"), Query: []byte("a=1"), UserAgent: []byte("curl/8"),
		Status: 200, Sent: 42, Gateway: "infra/web", Listener: "https", Route: "shop/cart", Rule: "0",
		Backend: "Service shop/cart:80", Endpoint: netip.MustParseAddrPort("10.0.0.7:8080"), Attempts: 1,
	}
}

func line(t *testing.T, format string, e *Entry) string {
	t.Helper()
	f, err := ParseFormat(format)
	if err != nil {
		t.Fatal(err)
	}
	return string(f.append(nil, e))
}

func TestFormats(t *testing.T) {
	bare := &Entry{Client: netip.MustParseAddrPort("192.0.2.1:4711"), Time: entry().Time}
	for _, c := range []struct {
		name, format string
		entry        *Entry
		want         string
	}{
		{"JSON", "json", entry(), `{"time":"2026-03-04T05:06:07.000089Z","duration":0.001500,"client":"192.0.2.1:4711","local":"[2001:db8::1]:443",` +
			`"protocol":"HTTP/1.1","tls":"TLS 1.3","server_name":"shop.example.com","method":"GET","host":"shop.example.com","path":"/cart",` +
			`"query":"a=1","user_agent":"curl/8","status":200,"sent":42,"gateway":"infra/web","listener":"https","route":"shop/cart","rule":"0",` +
			`"backend":"Service shop/cart:80","endpoint":"10.0.0.7:8080","attempts":1}`},
		{
			"JSON leaves out what is unknown", "json", bare,
			`{"time":"2026-03-04T05:06:07.000089Z","duration":0.000000,"client":"192.0.2.1:4711","sent":0,"received":0}`,
		},
		{
			"combined", "combined", entry(),
			`192.0.2.1 - - [04/Mar/2026:05:06:07 +0000] "GET /cart?a=1 HTTP/1.1" 200 42 "-" "curl/8"`,
		},
		{"a template", "$route: ${path}x $$1 $endpoint $reason", entry(), `shop/cart: /cartx $1 10.0.0.7:8080 -`},
		{"gRPC", "$status $grpc_status", &Entry{Status: 200, GRPCStatus: "UNAVAILABLE"}, `200 UNAVAILABLE`},
		{"nothing known", "$method $status $rule $attempts $tls", bare, `- - - - -`},
	} {
		if got := line(t, c.format, c.entry); got != c.want {
			t.Errorf("%s:\n%s\nwant\n%s", c.name, got, c.want)
		}
	}
}

func TestWhatIsNoFormat(t *testing.T) {
	for format, want := range map[string]string{
		"":              "neither json nor combined nor a template",
		"jsno":          "neither json nor combined nor a template",
		"$method $pth":  "there is no variable $pth; there are $attempts, $backend,",
		"$":             "there is no variable $;",
		"${path":        "there is no variable $;",
		"$Method":       "there is no variable $;",
		"100% $unknown": "there is no variable $unknown",
	} {
		if _, err := ParseFormat(format); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", format, err)
		}
	}
}

// Whatever a client sends, a line is one line, its JSON can be read and gives back what is valid text, and a template's quotes hold.
func FuzzEscapes(f *testing.F) {
	f.Add([]byte("/a\"b\\c\n\x00\x7f\xff\u2028é"))
	f.Add([]byte("\xe2\x82"))
	object, err := ParseFormat("json")
	if err != nil {
		f.Fatal(err)
	}
	template, err := ParseFormat(`"$path"`)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		e := &Entry{Path: raw}
		out := object.append(nil, e)
		var got struct{ Path string }
		if err := json.Unmarshal(out, &got); err != nil || bytes.ContainsRune(out, '\n') {
			t.Fatalf("%q: %v", out, err)
		}
		if want := string(bytes.ToValidUTF8(raw, nil)); strings.ReplaceAll(got.Path, "\ufffd", "") != strings.ReplaceAll(want, "\ufffd", "") {
			t.Fatalf("%q became %q", raw, got.Path)
		}
		text := template.append(nil, e)
		if inner := text[1 : len(text)-1]; bytes.ContainsAny(inner, "\"\n\r") {
			t.Fatalf("%q", text)
		}
	})
}

func openLog(t *testing.T, path string, log *slog.Logger) *Log {
	t.Helper()
	f, err := ParseFormat("$path")
	if err != nil {
		t.Fatal(err)
	}
	l, err := Open(Options{Path: path, Format: f, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	return l
}

func TestLinesReachTheFileAndRotate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "access.log")
	if err := os.WriteFile(path, []byte("before\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	l := openLog(t, path, nil)
	l.Write(&Entry{Path: []byte("/one")})
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	l.Reopen()
	for end := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		if _, err := os.Stat(path); err == nil {
			break
		}
		if time.Now().After(end) {
			t.Fatal("no new file")
		}
	}
	l.Write(&Entry{Path: []byte("/two")})
	l.Close()
	l.Write(&Entry{Path: []byte("/late")})
	for name, want := range map[string]string{path + ".1": "before\n/one\n", path: "/two\n"} {
		if got, err := os.ReadFile(name); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	if l.Written() != 2 || l.Dropped() != 1 {
		t.Errorf("%d written, %d dropped", l.Written(), l.Dropped())
	}
}

// A file that takes nothing holds up nobody, and the memory for what waits is bounded.
func TestASlowFileCostsLinesAndNothingElse(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("needs /dev/full")
	}
	var said bytes.Buffer
	var mu sync.Mutex
	l := openLog(t, "/dev/full", slog.New(slog.NewTextHandler(&locked{&mu, &said}, nil)))
	for range 100 {
		l.Write(&Entry{Path: bytes.Repeat([]byte("x"), 1000)})
	}
	l.Close()
	if l.Dropped() != 100 || l.Written() != 0 {
		t.Errorf("%d written, %d dropped", l.Written(), l.Dropped())
	}
	mu.Lock()
	defer mu.Unlock()
	if n := strings.Count(said.String(), "are lost"); n != 1 || !strings.Contains(said.String(), "no space left") {
		t.Errorf("said %q", said.String())
	}
}

func TestWhatWaitsIsBounded(t *testing.T) {
	f, err := ParseFormat("$path")
	if err != nil {
		t.Fatal(err)
	}
	// A log whose writer never comes.
	l := &Log{format: f, wake: make(chan struct{}, 1)}
	l.lines.New = func() any { return new([]byte) }
	for range 3 * pendingBytes / 1000 {
		l.Write(&Entry{Path: bytes.Repeat([]byte("x"), 999)})
	}
	if len(l.pending) > pendingBytes || l.Dropped() < pendingBytes/1000 {
		t.Errorf("%d bytes wait, %d lines dropped", len(l.pending), l.Dropped())
	}
}

type locked struct {
	mu *sync.Mutex
	b  *bytes.Buffer
}

func (l *locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func TestAPathThatCannotBeOpened(t *testing.T) {
	if _, err := Open(Options{Path: filepath.Join(t.TempDir(), "no", "such", "dir")}); err == nil || !strings.Contains(err.Error(), "cannot open the access log") {
		t.Error(err)
	}
}

func BenchmarkWrite(b *testing.B) {
	for _, format := range []string{"json", "combined"} {
		b.Run(format, func(b *testing.B) {
			f, err := ParseFormat(format)
			if err != nil {
				b.Fatal(err)
			}
			l, err := Open(Options{Path: os.DevNull, Format: f})
			if err != nil {
				b.Fatal(err)
			}
			defer l.Close()
			e := entry()
			b.ReportAllocs()
			for b.Loop() {
				l.Write(e)
			}
		})
	}
}
