// Clients that say a request as it is, without a thought of whether it may be said.

package versions

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"

	"github.com/quic-go/qpack"
	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/quicvarint"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/wicketgate/wicketgate/wire/h3"
)

// say1 says a request by HTTP/1, on a connection of its own.
func (s *stand) say1(q *request) (status int, err error) {
	client, server := net.Pipe()
	defer client.Close()
	s.wg.Go(func() { s.one.ServeConn(server, netip.AddrPort{}, nil) })
	if err := client.SetDeadline(deadline()); err != nil {
		return 0, err
	}
	s.wg.Go(func() { _, _ = client.Write(q.one()) }) // an answer may come before the end, and then nobody reads on
	r := bufio.NewReader(client)
	for {
		res, err := http.ReadResponse(r, &http.Request{Method: q.method})
		if err != nil {
			return 0, err
		}
		if res.StatusCode >= 200 {
			_, err := io.Copy(io.Discard, res.Body)
			res.Body.Close()
			return res.StatusCode, err
		}
	}
}

// perConnection is how many requests are said on a connection: who only says what is refused loses it.
const perConnection = 50

// client2 is a connection of HTTP/2.
type client2 struct {
	net.Conn
	framer *http2.Framer
	out    bytes.Buffer // what the framer writes: a request leaves in one piece, so that nothing depends on how soon its parts come
	block  bytes.Buffer
	enc    *hpack.Encoder
	next   uint32
}

func (s *stand) part2() {
	if s.client2 != nil {
		s.client2.Close()
		s.client2 = nil
	}
}

// dial2 opens a connection.
func (s *stand) dial2() error {
	client, server := net.Pipe()
	s.wg.Go(func() { s.two.ServeConn(server, netip.AddrPort{}, nil) })
	c := &client2{Conn: client, next: 1}
	c.framer = http2.NewFramer(&c.out, client)
	c.framer.AllowIllegalWrites = true
	c.framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	c.enc = hpack.NewEncoder(&c.block)
	s.client2 = c
	if err := c.SetDeadline(deadline()); err != nil {
		return err
	}
	if _, err := io.WriteString(c, http2.ClientPreface); err != nil {
		return err
	}
	if err := c.framer.WriteSettings(); err != nil {
		return err
	}
	if err := c.flush(); err != nil {
		return err
	}
	for {
		f, err := c.framer.ReadFrame()
		if err != nil {
			return err
		}
		if settings, ok := f.(*http2.SettingsFrame); ok && !settings.IsAck() {
			if err := c.framer.WriteSettingsAck(); err != nil {
				return err
			}
			return c.flush()
		}
	}
}

// flush sends what was written.
func (c *client2) flush() error {
	_, err := c.out.WriteTo(c)
	return err
}

// write2 is a request in frames.
func (c *client2) write2(q *request, id uint32) error {
	head, pieces, trailers := q.frames()
	last := len(pieces) == 0 && len(trailers) == 0
	if err := c.headers(id, last, head); err != nil {
		return err
	}
	for i, p := range pieces {
		if err := c.framer.WriteData(id, i == len(pieces)-1 && len(trailers) == 0, []byte(p)); err != nil {
			return err
		}
	}
	if len(trailers) > 0 {
		return c.headers(id, true, trailers)
	}
	return nil
}

func (c *client2) headers(id uint32, end bool, fields []field) error {
	c.block.Reset()
	for _, f := range fields {
		if err := c.enc.WriteField(hpack.HeaderField{Name: f.name, Value: f.value}); err != nil {
			return err
		}
	}
	const frame = 16 << 10
	block := c.block.Bytes()
	first := block[:min(frame, len(block))]
	if err := c.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: first, EndStream: end, EndHeaders: len(first) == len(block)}); err != nil {
		return err
	}
	for block = block[len(first):]; len(block) > 0; {
		part := block[:min(frame, len(block))]
		block = block[len(part):]
		if err := c.framer.WriteContinuation(id, len(block) == 0, part); err != nil {
			return err
		}
	}
	return nil
}

// say2 says a request by HTTP/2. The connection lasts as long as the server lets it.
func (s *stand) say2(q *request) (status int, err error) {
	if s.client2 != nil && s.client2.next > 2*perConnection {
		s.part2()
	}
	if s.client2 == nil {
		if err := s.dial2(); err != nil {
			return 0, err
		}
	}
	c := s.client2
	id := c.next
	c.next += 2
	if err := c.SetDeadline(deadline()); err != nil {
		return 0, err
	}
	if err := c.write2(q, id); err != nil {
		return 0, err
	}
	wrote := make(chan struct{})
	go func() {
		defer close(wrote)
		_ = c.flush() // the answer tells
	}()
	if status, err = c.answer(id); err != nil {
		s.part2()
	}
	<-wrote
	return status, err
}

// answer waits for the end of a stream.
func (c *client2) answer(id uint32) (status int, err error) {
	for {
		f, err := c.framer.ReadFrame()
		if err != nil {
			return 0, err
		}
		switch f := f.(type) {
		case *http2.GoAwayFrame:
			return 0, fmt.Errorf("GOAWAY with %v: %w", f.ErrCode, errNothing)
		case *http2.MetaHeadersFrame:
			if f.StreamID != id {
				break
			}
			if n, err := strconv.Atoi(f.PseudoValue("status")); err == nil && n >= 200 {
				status = n
			}
			if f.StreamEnded() {
				return status, nil
			}
		case *http2.DataFrame:
			if f.StreamID == id && f.StreamEnded() {
				return status, nil
			}
		case *http2.RSTStreamFrame:
			switch {
			case f.StreamID != id:
			case f.ErrCode == http2.ErrCodeProtocol && status == 0:
				return malformed, nil
			case status == 0:
				return 0, fmt.Errorf("stream ended by %v: %w", f.ErrCode, errNothing)
			}
		}
	}
}

func (s *stand) part3() {
	if s.client3 != nil {
		_ = s.client3.CloseWithError(quic.ApplicationErrorCode(h3.NoError), "")
		s.client3 = nil
	}
}

// say3 says a request by HTTP/3. The connection lasts as long as the server lets it.
func (s *stand) say3(q *request) (status int, err error) {
	ctx, cancel := context.WithDeadline(context.Background(), deadline())
	defer cancel()
	if s.id%perConnection == 0 {
		s.part3()
	}
	if s.client3 == nil {
		if s.client3, err = quic.DialAddr(ctx, s.at.String(), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h3"}}, nil); err != nil {
			return 0, err
		}
	}
	stream, err := s.client3.OpenStreamSync(ctx)
	if err != nil {
		return 0, err
	}
	if err := stream.SetDeadline(deadline()); err != nil {
		return 0, err
	}
	_, _ = stream.Write(q.three()) // the answer tells
	_ = stream.Close()
	answer, err := io.ReadAll(stream)
	if broken, ok := errors.AsType[*quic.StreamError](err); ok && h3.ErrCode(broken.ErrorCode) == h3.MessageError {
		return malformed, nil
	}
	if err != nil {
		s.part3()
		return 0, err
	}
	return status3(answer)
}

// three is a request in frames.
func (q *request) three() []byte {
	head, pieces, trailers := q.frames()
	frame := func(typ uint64, payload []byte) []byte {
		return append(quicvarint.Append(quicvarint.Append(nil, typ), uint64(len(payload))), payload...)
	}
	headers := func(fields []field) []byte {
		var b bytes.Buffer
		enc := qpack.NewEncoder(&b)
		for _, f := range fields {
			_ = enc.WriteField(qpack.HeaderField{Name: f.name, Value: f.value}) // a buffer takes everything
		}
		return frame(1, b.Bytes())
	}
	out := headers(head)
	for _, p := range pieces {
		out = append(out, frame(0, []byte(p))...)
	}
	if len(trailers) > 0 {
		out = append(out, headers(trailers)...)
	}
	return out
}

// status3 finds the last HEADERS frame with a status in a response.
func status3(answer []byte) (status int, err error) {
	for r := bytes.NewReader(answer); r.Len() > 0; {
		typ, err := quicvarint.Read(r)
		if err != nil {
			return 0, err
		}
		n, err := quicvarint.Read(r)
		if err != nil {
			return 0, err
		}
		payload := make([]byte, n)
		if _, err := io.ReadFull(r, payload); err != nil {
			return 0, err
		}
		if typ != 1 {
			continue
		}
		f, err := qpack.NewDecoder().Decode(payload)()
		if err == nil && f.Name == ":status" {
			status, err = strconv.Atoi(f.Value)
		}
		if err != nil {
			return 0, err
		}
	}
	if status == 0 {
		return 0, errNothing
	}
	return status, nil
}

// one is the request in HTTP/1.1.
func (q *request) one() []byte {
	var b strings.Builder
	target := q.path
	if q.absolute {
		target = "http://" + q.authority + q.path
	}
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\n", q.method, target)
	if !q.hostless {
		fmt.Fprintf(&b, "Host: %s\r\n", q.authority)
	}
	if len(q.cookies) > 0 {
		fmt.Fprintf(&b, "Cookie: %s\r\n", strings.Join(q.cookies, "; "))
	}
	for _, f := range q.fields {
		fmt.Fprintf(&b, "%s: %s\r\n", f.name, f.value)
	}
	fmt.Fprintf(&b, "X-Id: %s\r\n", q.id)
	content := strings.Join(q.pieces, "")
	switch {
	case !q.body:
		b.WriteString("\r\n")
	case q.length:
		fmt.Fprintf(&b, "Content-Length: %d\r\n\r\n%s", len(content), content)
	default:
		b.WriteString("Transfer-Encoding: chunked\r\n\r\n")
		for _, p := range q.pieces {
			fmt.Fprintf(&b, "%x\r\n%s\r\n", len(p), p)
		}
		b.WriteString("0\r\n")
		for _, f := range q.trailers {
			fmt.Fprintf(&b, "%s: %s\r\n", f.name, f.value)
		}
		b.WriteString("\r\n")
	}
	return []byte(b.String())
}

// frames is the request in HTTP/2 and HTTP/3: head, content, trailers.
func (q *request) frames() (head []field, pieces []string, trailers []field) {
	head = []field{{":method", q.method}, {":scheme", "http"}, {":path", q.path}}
	if !q.hostless && !q.hostField {
		head = append(head, field{":authority", q.authority})
	}
	if q.hostField {
		head = append(head, field{"host", q.authority})
	}
	crumbs := q.cookies
	if !q.crumbs && len(crumbs) > 0 {
		crumbs = []string{strings.Join(crumbs, "; ")}
	}
	for _, c := range crumbs {
		head = append(head, field{"cookie", c})
	}
	head = append(append(head, lower(q.fields)...), field{"x-id", q.id})
	if q.length {
		head = append(head, field{"content-length", strconv.Itoa(len(strings.Join(q.pieces, "")))})
	}
	pieces = q.pieces
	if q.body && len(pieces) == 0 {
		pieces = []string{""}
	}
	return head, pieces, lower(q.trailers)
}
