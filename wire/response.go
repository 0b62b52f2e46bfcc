// Reading response heads (RFC 9112 sections 4 and 6.3).

package wire

import (
	"fmt"

	"github.com/wicketgate/wicketgate/message"
)

// ParseResponseHead reads the response head that buf begins with into h and returns the head's length, or 0 without an error if
// it is not complete yet. toHEAD says that the request's method was HEAD. h points into buf afterwards. An interim response (status
// 1xx) is followed by another head, except 101. lim is what Limits.WithDefaults returned.
func ParseResponseHead(buf []byte, h *message.Head, toHEAD bool, lim *Limits) (int, Framing, error) {
	h.Reset()
	const prefix = "HTTP/1."
	if n := min(len(buf), len(prefix)); string(buf[:n]) != prefix[:n] {
		return 0, Framing{}, malformed(notHTTP1(buf[0]))
	}
	line, next, err := nextLine(buf, 0, lim)
	if next == 0 || err != nil {
		return 0, Framing{}, err
	}
	if err := parseStatusLine(line, h); err != nil {
		return 0, Framing{}, err
	}
	var p hop
	end, err := parseFields(buf, next, &h.Fields, &p, lim)
	if end == 0 || err != nil {
		return 0, Framing{}, err
	}
	f, err := p.response(h, toHEAD)
	if err != nil {
		return 0, Framing{}, err
	}
	return end, f, nil
}

// notHTTP1 says what a response looks like by its first byte: backends that speak another protocol answer in it, a frame of HTTP/2 (SETTINGS, whose length
// begins with 0) or an alert of TLS (RFC 8446 section 5.1).
func notHTTP1(first byte) string {
	switch first {
	case 0:
		return "response does not begin with HTTP/1, but as HTTP/2 does"
	case 0x15:
		return "response does not begin with HTTP/1, but as TLS does"
	}
	return "response does not begin with HTTP/1"
}

// parseStatusLine splits version SP status [SP reason]: servers leave out the space in front of an empty reason.
func parseStatusLine(line []byte, h *message.Head) (err error) {
	const version, code = len("HTTP/1.1"), len("HTTP/1.1 200")
	if len(line) < code || line[version] != ' ' || len(line) > code && line[code] != ' ' {
		return malformed("status line is malformed")
	}
	if h.Minor, err = parseVersion(line[:version]); err != nil {
		return err
	}
	for _, c := range line[version+1 : code] {
		if !isDigit(c) {
			return malformed("status is malformed")
		}
		h.Status = h.Status*10 + int(c-'0')
	}
	if h.Status < 100 {
		return malformed("status is malformed")
	}
	if len(line) > code {
		h.Reason = line[code+1:]
	}
	if !message.ValidFieldValue(h.Reason) {
		return malformed("reason phrase has a control byte")
	}
	return nil
}

// Content settles, for wires whose frames say where content ends, what content a response has: the length that is announced (negative: none)
// and what is sent; a nil body is none. toHEAD says that the request's method was HEAD. A body that is not sent is stopped.
func Content(h *message.Head, body message.Body, toHEAD bool) (length int64, content message.Body, err error) {
	switch {
	case h.Status < 200 || h.Status > 999:
		return 0, nil, fmt.Errorf("response with status %d: %w", h.Status, ErrStatus)
	case bodiless(h.Status, toHEAD):
		if body != nil {
			body.Stop(message.Drain)
		}
		if h.Status == 204 {
			return message.LengthNone, nil, nil
		}
	case body == nil && h.Length > 0:
		return 0, nil, ErrTooShort
	default:
		content = body
	}
	return h.Length, content, nil
}

// bodiless reports whether a response never has a body, whatever its fields say (RFC 9112 section 6.3, rule 1).
func bodiless(status int, toHEAD bool) bool {
	return toHEAD || status < 200 || status == 204 || status == 304
}

// response decides how a response's body is framed.
func (p *hop) response(h *message.Head, toHEAD bool) (Framing, error) {
	f, err := p.announced(h)
	if err != nil {
		return f, err
	}
	if f.Body == BodyNone && !bodiless(h.Status, toHEAD) {
		f.Body, h.Length = BodyUntilClose, message.LengthUnknown
		f.KeepAlive = false
	}
	if h.Status == 101 {
		f.KeepAlive = false
		if p.upgrading {
			h.Upgrade = p.upgrade
		}
	}
	if h.Status < 200 || h.Status == 204 {
		// These may not announce a body. Whoever does may also send one: nothing else is read from that connection.
		if p.chunked || p.length > 0 {
			f.KeepAlive = false
		}
		h.Length = message.LengthNone
	}
	if bodiless(h.Status, toHEAD) {
		f.Body, f.Length = BodyNone, 0
	}
	return f, nil
}
