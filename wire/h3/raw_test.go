// A client that sends any bytes, and what the server makes of those that break the rules.

package h3

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/quicvarint"

	"github.com/wicketgate/wicketgate/message"
	"github.com/wicketgate/wicketgate/wire"
)

// rawClient is a QUIC connection to the server.
type rawClient struct {
	t testing.TB
	*quic.Conn
}

func (s *server) dial() *rawClient {
	s.t.Helper()
	c, err := quic.DialAddr(s.t.Context(), s.addr.String(), &tls.Config{InsecureSkipVerify: true, ServerName: "example.test", NextProtos: []string{"h3"}}, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = c.CloseWithError(quic.ApplicationErrorCode(NoError), "") })
	return &rawClient{s.t, c}
}

// uni opens a unidirectional stream and sends its type and more.
func (c *rawClient) uni(typ uint64, p ...byte) *quic.SendStream {
	c.t.Helper()
	s, err := c.OpenUniStream()
	if err != nil {
		c.t.Fatal(err)
	}
	_, _ = s.Write(append(quicvarint.Append(nil, typ), p...)) // how the connection ends is looked at
	return s
}

// rawRequest is a request stream.
type rawRequest struct {
	t testing.TB
	*quic.Stream
	in     reader
	fields decoder
}

func (c *rawClient) open() *rawRequest {
	c.t.Helper()
	s, err := c.OpenStream()
	if err != nil {
		c.t.Fatal(err)
	}
	if err := s.SetDeadline(time.Now().Add(patience)); err != nil {
		c.t.Fatal(err)
	}
	return &rawRequest{t: c.t, Stream: s, in: reader{src: s, buf: make([]byte, bufferSize)}, fields: decoder{maxBytes: 1 << 20, maxFields: 1000}}
}

// section is a field section, and headers one in its frame.
func section(fields ...string) []byte {
	p := appendSectionPrefix(nil)
	for i := 0; i < len(fields); i += 2 {
		p = append(appendInteger(p, 0x20, 3, len(fields[i])), fields[i]...)
		p = appendText(p, []byte(fields[i+1]))
	}
	return p
}

func frame(typ uint64, payload []byte) []byte {
	p := quicvarint.Append(quicvarint.Append(nil, typ), uint64(len(payload)))
	return append(p, payload...)
}

func get(path string, more ...string) []byte {
	return frame(frameHeaders, section(append([]string{":method", "GET", ":scheme", "https", ":authority", "example.test", ":path", path}, more...)...))
}

func (r *rawRequest) headers(fields ...string) { r.send(frame(frameHeaders, section(fields...))) }

// send and end may come too late, when the server has refused what came before: its answer is looked at.
func (r *rawRequest) send(p []byte) { _, _ = r.Write(p) }
func (r *rawRequest) end()          { _ = r.Close() }

// next reads a HEADERS frame.
func (r *rawRequest) next() (string, error) {
	typ, err := r.in.next()
	if err != nil {
		return "", err
	}
	if typ != frameHeaders {
		return "", fmt.Errorf("frame of type %d", typ)
	}
	block, err := r.in.payload(nil)
	if err != nil {
		return "", err
	}
	if _, err := r.fields.decode(block); err != nil {
		return "", err
	}
	var b strings.Builder
	r.fields.fields(func(name, value []byte) string {
		if string(name) != "date" {
			fmt.Fprintf(&b, "%s: %s\n", name, value)
		}
		return ""
	})
	return b.String(), nil
}

func (r *rawRequest) response() string {
	r.t.Helper()
	text, err := r.next()
	if err != nil {
		r.t.Fatal(err)
	}
	return text
}

// content reads DATA frames until the end of the stream.
func (r *rawRequest) content() (string, error) {
	var b bytes.Buffer
	for {
		typ, err := r.in.next()
		if errors.Is(err, io.EOF) {
			return b.String(), nil
		}
		if err != nil {
			return b.String(), err
		}
		p, err := r.in.payload(nil)
		if err != nil {
			return b.String(), err
		}
		if typ == frameData {
			b.Write(p)
		}
	}
}

// fate says how the stream or its connection ended: a status, or an error code.
func (r *rawRequest) fate() string {
	text, err := r.next()
	if err == nil {
		status, _, _ := strings.Cut(strings.TrimPrefix(text, ":status: "), "\n")
		return status
	}
	if broken, ok := errors.AsType[*quic.StreamError](err); ok {
		return fmt.Sprintf("stream %#x", uint64(broken.ErrorCode))
	}
	if broken, ok := errors.AsType[*quic.ApplicationError](err); ok {
		return fmt.Sprintf("connection %#x", uint64(broken.ErrorCode))
	}
	return err.Error()
}

func TestRequestsThatBreakTheRules(t *testing.T) {
	s := start(t, func(x wire.Exchange) {
		if b := x.Body(); b != nil {
			for {
				if _, err := b.Next(); err != nil {
					break
				}
			}
		}
		say(x, 200, "served")
	})
	ok := []string{":method", "GET", ":scheme", "https", ":authority", "example.test", ":path", "/"}
	with := func(more ...string) []byte {
		return frame(frameHeaders, section(append(append([]string{}, ok...), more...)...))
	}
	message := fmt.Sprintf("stream %#x", uint64(MessageError))
	unexpected := fmt.Sprintf("connection %#x", uint64(FrameUnexpected))
	for _, c := range []struct {
		name, want string
		sent       []byte
	}{
		{"well-formed", "200", with()},
		{"unknown frames are passed over", "200", append(frame(0x21, []byte("grease")), with()...)},
		{"a name in upper case", message, with("X-Up", "1")},
		{"a name with a space", message, with("x up", "1")},
		{"an empty name", message, with("", "1")},
		{"a value with a line end", message, with("x", "a\r\nb: c")},
		{"a value that begins with a space", message, with("x", " a")},
		{"connection", message, with("connection", "close")},
		{"transfer-encoding", message, with("transfer-encoding", "chunked")},
		{"te", message, with("te", "gzip")},
		{"te: trailers", "200", with("te", "trailers")},
		{"unknown pseudo-field", message, with(":x", "1")},
		{"pseudo-field behind others", message, frame(frameHeaders, section("a", "b", ":method", "GET", ":scheme", "https", ":authority", "example.test", ":path", "/"))},
		{"pseudo-field twice", message, with(":path", "/2")},
		{"no path", message, frame(frameHeaders, section(":method", "GET", ":scheme", "https", ":authority", "example.test"))},
		{"empty path", message, frame(frameHeaders, section(":method", "GET", ":scheme", "https", ":authority", "example.test", ":path", ""))},
		{"host is not the authority", message, with("host", "other.test")},
		{"host alone", "200", frame(frameHeaders, section(":method", "GET", ":scheme", "https", ":path", "/", "host", "example.test"))},
		{"no host", "400", frame(frameHeaders, section(":method", "GET", ":scheme", "https", ":path", "/"))},
		{"space in the path", "400", frame(frameHeaders, section(":method", "GET", ":scheme", "https", ":authority", "example.test", ":path", "/a b"))},
		{"content without any announced", message, with("content-length", "3")},
		{"content shorter than announced", message, append(with("content-length", "3"), frame(frameData, []byte("ab"))...)},
		{"content longer than announced", message, append(with("content-length", "3"), frame(frameData, []byte("abcd"))...)},
		{"content as announced", "200", append(with("content-length", "3"), frame(frameData, []byte("abc"))...)},
		{"content where none is announced", message, append(with("content-length", "0"), frame(frameData, []byte("a"))...)},
		{"no content where none is announced", "200", append(with("content-length", "0"), frame(frameData, nil)...)},
		{"content of a byte a frame", "200", append(with("content-length", "3"), bytes.Repeat(frame(frameData, []byte("a")), 3)...)},
		{"more content of a byte a frame than announced", message, append(with("content-length", "3"), bytes.Repeat(frame(frameData, []byte("a")), 4)...)},
		{"two lengths", message, with("content-length", "3", "content-length", "4")},
		{"CONNECT with a path", message, frame(frameHeaders, section(":method", "CONNECT", ":scheme", "https", ":authority", "example.test:1", ":path", "/"))},
		{"another protocol", "501", frame(frameHeaders, section(":method", "CONNECT", ":protocol", "connect-udp", ":scheme", "https", ":authority", "example.test", ":path", "/"))},
		{"DATA first", unexpected, frame(frameData, []byte("x"))},
		{"SETTINGS on a request", unexpected, frame(frameSettings, nil)},
		{"a frame of HTTP/2", unexpected, append(with(), frame(0x6, make([]byte, 8))...)},
		{"HEADERS thrice", unexpected, append(append(with(), frame(frameHeaders, section("x", "y"))...), frame(frameHeaders, section("x", "y"))...)},
		{"content behind trailers", unexpected, append(append(with(), frame(frameHeaders, section("x", "y"))...), frame(frameData, []byte("x"))...)},
		{"pseudo-field in trailers", message, append(with(), frame(frameHeaders, section(":path", "/"))...)},
		{"half a frame", fmt.Sprintf("connection %#x", uint64(FrameError)), with()[:9]},
		{"nothing", fmt.Sprintf("stream %#x", uint64(RequestIncomplete)), nil},
		{"an index into a dynamic table", fmt.Sprintf("connection %#x", uint64(DecompressionFailed)), frame(frameHeaders, []byte{0, 0, 0x80})},
		{"a static index that does not exist", fmt.Sprintf("connection %#x", uint64(DecompressionFailed)), frame(frameHeaders, []byte{0, 0, 0xff, 0x64})},
		{"a string longer than its section", fmt.Sprintf("connection %#x", uint64(DecompressionFailed)), frame(frameHeaders, []byte{0, 0, 0x51, 9, '/'})},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := s.dial().open()
			if len(c.sent) > 0 {
				r.send(c.sent)
			}
			r.end()
			if got := r.fate(); got != c.want {
				t.Errorf("%s, want %s", got, c.want)
			}
		})
	}
}

func TestStreamsThatBreakTheRules(t *testing.T) {
	s := start(t, func(x wire.Exchange) { say(x, 200, "served") })
	settings := frame(frameSettings, nil)
	for _, c := range []struct {
		name string
		want ErrCode
		do   func(c *rawClient)
	}{
		{"control stream without SETTINGS", MissingSettings, func(c *rawClient) { c.uni(streamControl, frame(frameGoAway, []byte{0})...) }},
		{"SETTINGS twice", FrameUnexpected, func(c *rawClient) { c.uni(streamControl, append(settings, settings...)...) }},
		{"a setting of HTTP/2", SettingsError, func(c *rawClient) { c.uni(streamControl, frame(frameSettings, []byte{2, 0})...) }},
		{"a setting twice", SettingsError, func(c *rawClient) { c.uni(streamControl, frame(frameSettings, []byte{6, 1, 6, 1})...) }},
		{"half a setting", FrameError, func(c *rawClient) { c.uni(streamControl, frame(frameSettings, []byte{6})...) }},
		{"huge SETTINGS", ExcessiveLoad, func(c *rawClient) { c.uni(streamControl, frame(frameSettings, make([]byte, 5000))...) }},
		{"DATA on the control stream", FrameUnexpected, func(c *rawClient) { c.uni(streamControl, append(settings, frame(frameData, nil)...)...) }},
		{"two control streams", StreamCreationError, func(c *rawClient) {
			c.uni(streamControl, settings...)
			c.uni(streamControl, settings...)
		}},
		{"a push", StreamCreationError, func(c *rawClient) { c.uni(streamPush) }},
		{"the control stream ends", ClosedCriticalStream, func(c *rawClient) { _ = c.uni(streamControl, settings...).Close() }},
		{"the control stream is reset", ClosedCriticalStream, func(c *rawClient) {
			control := c.uni(streamControl, settings...)
			r := c.open() // once it is answered, the control stream has been read, too
			r.send(get("/"))
			r.end()
			r.response()
			control.CancelWrite(0)
		}},
		{"an insertion into the dynamic table", EncoderStreamError, func(c *rawClient) { c.uni(streamEncoder, 0xc0, 0) }},
		{"a cancelled push", IDError, func(c *rawClient) { c.uni(streamControl, append(settings, frame(frameCancelPush, []byte{0})...)...) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			client := s.dial()
			c.do(client)
			select {
			case <-client.Context().Done():
			case <-time.After(patience):
				t.Fatal("the connection goes on")
			}
			broken, ok := errors.AsType[*quic.ApplicationError](context.Cause(client.Context()))
			if !ok || broken.ErrorCode != quic.ApplicationErrorCode(c.want) {
				t.Errorf("ended with %v, want %#x", context.Cause(client.Context()), uint64(c.want))
			}
		})
	}
	// What is unknown is passed over.
	c := s.dial()
	c.uni(streamControl, append(settings, frame(0x21+0x1f*7, []byte("grease"))...)...)
	c.uni(0x21+0x1f*9, []byte("grease")...)
	r := c.open()
	r.send(get("/"))
	r.end()
	if got := r.fate(); got != "200" {
		t.Errorf("with unknown streams and frames: %s", got)
	}
}

func TestASlowHeadIsRefused(t *testing.T) {
	s := start(t, func(x wire.Exchange) { say(x, 200, "served") }, wire.Limits{HeadTime: 50 * time.Millisecond})
	r := s.dial().open()
	r.send(get("/")[:5])
	if got := r.fate(); got != "408" {
		t.Errorf("fate %s", got)
	}
}

// A request whose end comes in a packet of its own has no content all the same, and one that stays open has.
func TestTheEndOfARequestMayComeLater(t *testing.T) {
	lengths := make(chan int64, 3)
	serve := func(x wire.Exchange) {
		lengths <- x.Request().Length
		say(x, 200, "served")
	}
	s := start(t, serve)
	post := []string{":method", "POST", ":scheme", "https", ":authority", "example.test", ":path", "/"}
	empty := frame(frameHeaders, section(append(post, "content-length", "0")...))
	for _, head := range [][]byte{get("/"), frame(frameHeaders, section(post...)), empty} {
		c := s.dial()
		r := c.open()
		r.send(head)
		before := c.open() // when this one is answered, the other one's head has come
		before.send(get("/"))
		before.end()
		if got := before.fate(); got != "200" {
			t.Fatal(got)
		}
		<-lengths
		r.end()
		if r.fate() != "200" || <-lengths > 0 {
			t.Error("the end that came later was taken for content")
		}
	}
	impatient := startWith(t, serve, certificate(t), Options{}, time.Millisecond)
	for _, head := range [][]byte{get("/"), frame(frameHeaders, section(post...)), empty} {
		open := impatient.dial().open()
		open.send(head)
		if open.fate() != "200" {
			t.Error("a request that does not end is not served")
		}
		if n := <-lengths; n != message.LengthUnknown && n != 0 {
			t.Error("the open stream was taken for one without content")
		}
	}
	for _, more := range [][]string{{"content-type", "application/grpc"}, {"content-length", "3"}} {
		open := s.dial().open()
		open.send(frame(frameHeaders, section(append(post, more...)...)))
		if open.fate() != "200" {
			t.Error("a request with content is not served before that comes")
		}
		<-lengths
	}
}

func TestClientsThatOnlyBreakOffAreSentAway(t *testing.T) {
	s := start(t, func(x wire.Exchange) {
		<-x.Context().Done()
		x.Abort(message.ClientGone)
	})
	c := s.dial()
	for range 20 * restless {
		str, err := c.OpenStreamSync(t.Context())
		if err != nil {
			break
		}
		if _, err := str.Write(get("/")); err != nil {
			break
		}
		reset(str, RequestCancelled)
	}
	select {
	case <-c.Context().Done():
	case <-time.After(patience):
		t.Fatal("the connection goes on")
	}
	broken, ok := errors.AsType[*quic.ApplicationError](context.Cause(c.Context()))
	if !ok || broken.ErrorCode != quic.ApplicationErrorCode(ExcessiveLoad) || s.flooded() != "reset" {
		t.Errorf("ended with %v, floods: %s", context.Cause(c.Context()), s.flooded())
	}
}

func TestWebSocket(t *testing.T) {
	s := start(t, func(x wire.Exchange) {
		h := x.Request()
		if string(h.Method) != "GET" || string(h.Upgrade) != "websocket" || string(h.Target) != "/chat" || len(h.Fields.Get("sec-websocket-key")) != 24 || x.Body() != nil {
			t.Errorf("request %s", describe(h))
		}
		answer := message.Head{Status: 101, Length: message.LengthNone, Upgrade: []byte("websocket")}
		answer.Fields.Add([]byte("Sec-WebSocket-Accept"), []byte(acceptFor(h)))
		answer.Fields.Add([]byte("Sec-WebSocket-Protocol"), []byte("chat"))
		d, err := x.Tunnel(&answer)
		if err != nil {
			t.Error(err)
			return
		}
		if _, err := io.Copy(d, d); err != nil {
			t.Error(err)
		}
		if err := errors.Join(d.CloseWrite(), d.Close()); err != nil {
			t.Error(err)
		}
	})
	r := s.dial().open()
	r.headers(":method", "CONNECT", ":protocol", "websocket", ":scheme", "https", ":authority", "example.test", ":path", "/chat", "sec-websocket-version", "13")
	if got := r.response(); got != ":status: 200\nsec-websocket-protocol: chat\n" {
		t.Fatalf("answered with %q", got)
	}
	for _, text := range []string{"hello", strings.Repeat("long ", 10_000)} {
		r.send(frame(frameData, []byte(text)))
		var got strings.Builder
		for got.Len() < len(text) {
			if _, err := r.in.next(); err != nil {
				t.Fatal(err)
			}
			p, err := r.in.payload(nil)
			if err != nil {
				t.Fatal(err)
			}
			got.Write(p)
		}
		if got.String() != text {
			t.Errorf("echoed %d bytes", got.Len())
		}
	}
	r.end()
	if rest, err := r.content(); rest != "" || err != nil {
		t.Errorf("at the end: %q, %v", rest, err)
	}
}

// A handler may find that the client is better off with another connection. What is under way is answered.
func TestAHandlerMayHaveItsClientLeave(t *testing.T) {
	s := start(t, func(x wire.Exchange) {
		x.Peer().Leave()
		x.Peer().Leave() // which says no more
		say(x, 421, "elsewhere")
	})
	c := s.dial()
	r := c.open()
	r.send(get("/"))
	r.end()
	if got := r.fate(); got != "421" {
		t.Error(got)
	}
	if got := c.ended(); got != NoError {
		t.Errorf("ended with %#x", uint64(got))
	}
}
