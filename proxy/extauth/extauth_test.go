// Requests byte by byte, answers of every kind, and any bytes at all.

package extauth

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/wicketgate/wicketgate/message"
)

func TestRequest(t *testing.T) {
	r := &Request{
		Method: []byte("GET"), Path: []byte("/a?b"), Host: []byte("h"), Scheme: "http", Protocol: "HTTP/2",
		Headers: []Header{{[]byte("x"), []byte("caf\xe9")}}, Size: -1, Body: []byte("b"), Time: time.Unix(1, 2),
		Source: netip.MustParseAddrPort("[::ffff:192.0.2.1]:300"), Principal: "p",
	}
	http := "1203474554" + "1a09" + "0a0178" + "120463616621" + "22042f613f62" + "2a0168" + "320468747470" + "48ffffffffffffffffff01" + "5206485454502f32"
	source := "0a15" + "0a10" + "0a0e" + "1209" + "3139322e302e322e31" + "18ac02" + "220170"
	for _, c := range []struct{ body, want string }{
		{"b", "5a0162"},
		{"\xff", "6201ff"},
		{"", ""},
	} {
		r.Body = []byte(c.body)
		inner := http + c.want
		request := "0a04" + "08011002" + "12" + length(inner) + inner
		attributes := source + "1200" + "22" + length(request) + request
		want := "0a" + length(attributes) + attributes
		want = fmt.Sprintf("00%08x", len(want)/2) + want
		if got := hex.EncodeToString(r.AppendFrame(nil)); got != want {
			t.Errorf("body %q:\n got %s\nwant %s", c.body, got, want)
		}
	}
}

func length(hexed string) string { return fmt.Sprintf("%02x", len(hexed)/2) }

// A long message needs a long length, and what was in dst stays.
func TestLongRequest(t *testing.T) {
	body := bytes.Repeat([]byte("x"), 300_000)
	out := (&Request{Body: body}).AppendFrame([]byte("before"))
	if !bytes.HasPrefix(out, []byte("before\x00")) || int(binary.BigEndian.Uint32(out[7:])) != len(out)-11 {
		t.Fatalf("the frame begins with %x", out[:16])
	}
	var got []byte
	for _, step := range []uint64{1, 4, 2, 11} {
		next := out[11:]
		if got != nil {
			next = got
		}
		got = nil
		if err := each(next, func(x field) error {
			if x.number == step {
				got = x.content
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(got, body) {
		t.Errorf("%d bytes of the body arrive", len(got))
	}
}

// bytesOf is a field with bytes, numberIs one with a number, frameOf a frame.
func bytesOf(number int, content ...string) string {
	all := strings.Join(content, "")
	return string(binary.AppendUvarint(binary.AppendUvarint(nil, uint64(number)<<3|wireBytes), uint64(len(all)))) + all
}

func numberIs(number int, value uint64) string {
	return string(binary.AppendUvarint(binary.AppendUvarint(nil, uint64(number)<<3), value))
}

func frameOf(fields ...string) []byte {
	content := strings.Join(fields, "")
	return append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(content))), content...)
}

// header is a HeaderValueOption in field number.
func header(number int, name, value string, more ...string) string {
	return bytesOf(number, bytesOf(1, bytesOf(1, name), bytesOf(2, value)), strings.Join(more, ""))
}

const (
	statusOK     = "\x0a\x00"
	statusDenied = "\x0a\x02\x08\x07"
)

func TestAnswers(t *testing.T) {
	appended, notAppended := bytesOf(2, numberIs(1, 1)), bytesOf(2)
	for _, c := range []struct {
		name  string
		frame []byte
		want  string
	}{
		{"OK", frameOf(statusOK), "pass"},
		{"OK by number", frameOf(bytesOf(1, numberIs(1, 0))), "pass"},
		{"ok_response without a status", frameOf(bytesOf(3)), "pass"},
		{"unknown fields", frameOf(statusOK, bytesOf(9, "x"), numberIs(10, 1), "\x59eight678", "\x5dfour"), "pass"},
		{"changes", frameOf(statusOK, bytesOf(3, header(2, "X-User", " alice "), header(2, "a", "1", appended), header(2, "b", "2", notAppended, numberIs(3, 1)),
			header(2, "c", "", numberIs(3, 1)), header(2, "d", "", numberIs(3, 2)), header(2, "e", "", numberIs(3, 3)), bytesOf(5, "Cookie"), bytesOf(5, ":path"),
			header(6, "x", "y"), header(6, "x", "z", notAppended))), "pass -Cookie X-User=alice/0 a=1/1 b=2/0 c=/2 d=/0 e=/3 | x=y/1 x=z/0"},
		{"raw value", frameOf(bytesOf(3, bytesOf(2, bytesOf(1, bytesOf(1, "a"), bytesOf(3, "\xe9"))))), "pass a=\xe9/0"},
		{"denied", frameOf(statusDenied), "deny 0"},
		{"a negative code", frameOf(bytesOf(1, numberIs(1, 1<<64-1))), "deny 0"},
		{"denied with changes", frameOf(statusDenied, bytesOf(3, header(2, "a", "1"))), "deny 0"},
		{"denied response", frameOf(statusDenied, bytesOf(2, bytesOf(1, numberIs(1, 401)), header(2, "a", "1"), header(2, "a", "2"), bytesOf(3, "who?"))), "deny 401 a=1/0 a=2/0 who?"},
		{"a denial beside OK", frameOf(statusOK, bytesOf(2)), "deny 0"},

		{"nothing", frameOf(), "neither yes nor no"},
		{"no frame", nil, "not one uncompressed"},
		{"half a frame", frameOf(statusOK)[:6], "not one uncompressed"},
		{"two frames", append(frameOf(statusOK), frameOf(statusOK)...), "not one uncompressed"},
		{"compressed", append([]byte{1}, frameOf(statusOK)[1:]...), "not one uncompressed"},
		{"too long", make([]byte, MaxAnswer+1), "longer than"},
		{"two statuses", frameOf(statusDenied, statusOK), "comes twice"},
		{"two codes", frameOf(bytesOf(1, numberIs(1, 7), numberIs(1, 0))), "comes twice"},
		{"yes and no", frameOf(statusOK, bytesOf(2), bytesOf(3)), "comes twice"},
		{"a status that is a number", frameOf(numberIs(1, 0)), "wrong type"},
		{"a code that is bytes", frameOf(bytesOf(1, bytesOf(1, ""))), "wrong type"},
		{"a group", frameOf(statusOK, "\x4b\x4c"), "wrong type"},
		{"field 0", frameOf(statusOK, "\x02\x00"), "middle of a field"},
		{"a length beyond the end", frameOf("\x0a\x7f"), "middle of a field"},
		{"an enormous length", frameOf("\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), "middle of a field"},
		{"a number without end", frameOf("\x08\x80"), "middle of a field"},
		{"eight bytes of which there are two", frameOf("\x49ab"), "middle of a field"},
		{"the service failed", frameOf(bytesOf(5)), "says that it failed"},
		{"query parameters", frameOf(statusOK, bytesOf(3, bytesOf(7))), "changes of the query"},
		{"an interim status", frameOf(statusDenied, bytesOf(2, bytesOf(1, numberIs(1, 101)))), "status 101"},
		{"an action that is not known", frameOf(bytesOf(3, header(2, "a", "1", numberIs(3, 4)))), "append_action 4"},
		{"a name with a line end", frameOf(bytesOf(3, header(2, "a\r\nb", "1"))), "does not admit"},
		{"a pseudo-header", frameOf(bytesOf(3, header(2, ":path", "/admin"))), "does not admit"},
		{"a value with a line end", frameOf(bytesOf(3, header(6, "a", "1\nb: 2"))), "does not admit"},
		{"an option without a header", frameOf(bytesOf(3, bytesOf(2))), "does not admit"},
		{"a name to remove that is none", frameOf(bytesOf(3, bytesOf(5, "a b"))), "name of a header"},
		{"too many changes", frameOf(bytesOf(3, strings.Repeat(header(2, "a", "1"), MaxChanges+1))), "more than"},
		{"too much in them", frameOf(bytesOf(3, header(2, "a", strings.Repeat("x", MaxFields)))), "more than"},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, err := ParseFrame(c.frame)
			if err != nil {
				if !strings.Contains(err.Error(), c.want) {
					t.Errorf("%v, want %s", err, c.want)
				}
				return
			}
			if got := describe(a); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

func describe(a *Answer) string {
	var out []string
	changes := func(list []Change) {
		for _, c := range list {
			out = append(out, fmt.Sprintf("%s=%s/%d", c.Name, c.Value, c.Action))
		}
	}
	if !a.Allowed {
		out = append(out, fmt.Sprint("deny ", a.Status))
		if changes(a.Denied); len(a.Body) > 0 {
			out = append(out, string(a.Body))
		}
		return strings.Join(out, " ")
	}
	out = append(out, "pass")
	for _, name := range a.Remove {
		out = append(out, "-"+string(name))
	}
	if changes(a.Request); len(a.Response) > 0 {
		out = append(out, "|")
		changes(a.Response)
	}
	return strings.Join(out, " ")
}

// Whatever comes, an answer lets nobody pass beside a denial, and holds nothing that HTTP does not admit.
func FuzzParseFrame(f *testing.F) {
	f.Add(frameOf(statusOK)[frameHead:])
	f.Add(frameOf(statusDenied, bytesOf(2, bytesOf(1, numberIs(1, 401)), header(2, "a", "1"), bytesOf(3, "who?")))[frameHead:])
	f.Add(frameOf(statusOK, bytesOf(3, header(2, "a", "1"), bytesOf(5, "b"), header(6, "c", "2", numberIs(3, 1))))[frameHead:])
	f.Fuzz(func(t *testing.T, content []byte) {
		a, err := ParseFrame(frameOf(string(content)))
		if err != nil {
			if a != nil {
				t.Fatal("an answer beside an error")
			}
			return
		}
		if a.Allowed && (a.Status != 0 || len(a.Denied) > 0 || len(a.Body) > 0) || !a.Allowed && len(a.Request)+len(a.Response)+len(a.Remove) > 0 {
			t.Fatalf("both yes and no: %+v", a)
		}
		if a.Status != 0 && (a.Status < 200 || a.Status > 599) {
			t.Fatalf("status %d", a.Status)
		}
		for _, list := range [][]Change{a.Request, a.Response, a.Denied} {
			for _, c := range list {
				if !message.ValidFieldName(c.Name) || !message.ValidFieldValue(c.Value) {
					t.Fatalf("header %q: %q", c.Name, c.Value)
				}
			}
		}
	})
}

func BenchmarkCheck(b *testing.B) {
	r := &Request{
		Method: []byte("GET"), Path: []byte("/cart?id=1"), Host: []byte("shop.example.com"), Scheme: "https", Protocol: "HTTP/2", Time: time.Unix(1e9, 5),
		Headers: []Header{{[]byte("authorization"), []byte("Bearer token")}}, Source: netip.MustParseAddrPort("192.0.2.1:300"),
	}
	answer := frameOf(statusOK, bytesOf(3, header(2, "x-user", "alice")))
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		buf = r.AppendFrame(buf[:0])
		if _, err := ParseFrame(answer); err != nil {
			b.Fatal(err)
		}
	}
}
