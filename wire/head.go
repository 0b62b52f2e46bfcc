// What requests and responses have in common on the HTTP/1 wire: lines, fields, and what the fields of one hop mean (RFC 9112
// sections 2, 5, 6; RFC 9110 section 7.6.1).
//
// Whatever two recipients could read differently is an error, never a guess: a message that means two things is how one
// client's request is smuggled into another's connection. There is one way through the parser, for usual and unusual input.

package wire

import (
	"bytes"
	"fmt"

	"github.com/wicketgate/wicketgate/message"
)

// ParseError says why a head or a body was refused. After one, the bytes on the connection mean nothing any more: it is closed.
type ParseError struct {
	Status int // what a client is answered; a backend's bad response becomes 502 whatever is here
	Why    string
}

func (e *ParseError) Error() string { return e.Why }

func malformed(why string) *ParseError { return &ParseError{Status: 400, Why: why} }

// Framing is what a head says about the body that follows it and about the connection it came on.
type Framing struct {
	Body   BodyKind
	Length int64 // with BodyLength
	// KeepAlive: another message may follow on the connection after this one.
	KeepAlive bool
}

// BodyKind is how the end of a body is found.
type BodyKind uint8

// The kinds of bodies (RFC 9112 section 6.3).
const (
	BodyNone       BodyKind = iota
	BodyLength              // Content-Length says; it may be 0
	BodyChunked             // chunked transfer coding
	BodyUntilClose          // the connection's end is the body's: responses only
)

// hop gathers, while the fields of a head are read, those that frame the message or speak of the connection.
type hop struct {
	hosts      int
	host       []byte
	hasLength  bool
	length     int64
	chunked    bool
	close      bool
	keepAlive  bool
	upgrading  bool   // Connection: upgrade
	upgrade    []byte // "websocket", if Upgrade has it
	trailers   bool
	expect     bool
	expectMore bool      // an expectation other than 100-continue
	named      [4][]byte // values of Connection that name fields
	nameds     int
	options    int // of Connection that name fields
}

// parseFields reads field lines from buf[pos:] up to and including the empty line, and returns the position behind it, or 0 if it is not there
// yet. Fields of one hop go to p, the others to fields.
func parseFields(buf []byte, pos int, fields *message.Fields, p *hop, lim *Limits) (int, error) {
	for count := 0; ; count++ {
		line, next, err := nextLine(buf, pos, lim)
		if next == 0 || err != nil {
			return 0, err
		}
		pos = next
		if len(line) == 0 {
			p.dropNamed(fields)
			return pos, nil
		}
		if count == lim.Fields {
			return 0, &ParseError{431, "too many header fields"}
		}
		name, value, err := splitField(line)
		if err != nil {
			return 0, err
		}
		if err := p.field(fields, name, value); err != nil {
			return 0, err
		}
	}
}

// nextLine returns the line at buf[pos:] without its CRLF, and the position behind it: 0 if the line is not complete yet.
func nextLine(buf []byte, pos int, lim *Limits) ([]byte, int, error) {
	n := bytes.IndexByte(buf[pos:], '\n')
	if n < 0 {
		if len(buf) >= lim.HeadBytes {
			return nil, 0, &ParseError{431, "head is too large"}
		}
		return nil, 0, nil
	}
	if n == 0 || buf[pos+n-1] != '\r' {
		return nil, 0, malformed("line ends in a bare line feed")
	}
	if pos+n >= lim.HeadBytes {
		return nil, 0, &ParseError{431, "head is too large"}
	}
	return buf[pos : pos+n-1], pos + n + 1, nil
}

// splitField splits a field line into its name and its trimmed value (RFC 9112 section 5). Nothing may stand between name and colon, and
// a line that begins with a space would continue the one before (obs-fold): both are refused.
func splitField(line []byte) (name, value []byte, err error) {
	n := message.Token(line)
	if n == len(line) || n == 0 || line[n] != ':' {
		return nil, nil, malformed("field name is malformed")
	}
	value = message.TrimSpace(line[n+1:])
	if !message.ValidFieldValue(value) {
		return nil, nil, malformed("field value has a control byte")
	}
	return line[:n], value, nil
}

// field files one field: what speaks of this hop here, all else in fields.
func (p *hop) field(fields *message.Fields, name, value []byte) error {
	switch len(name) {
	case len("host"):
		if message.Equal(name, "host") {
			p.hosts++
			p.host = value
			return nil
		}
	case len("connection"): // and keep-alive
		if message.Equal(name, "connection") {
			return p.connection(value)
		}
	case len("content-length"): // and http2-settings
		if message.Equal(name, "content-length") {
			return p.contentLength(value)
		}
	case len("transfer-encoding"):
		if message.Equal(name, "transfer-encoding") {
			return p.transferEncoding(value)
		}
	}
	if !p.lesser(name, value) {
		fields.Add(name, value)
	}
	return nil
}

// lesser takes the fields of this hop that frame nothing, and reports whether it was one.
func (p *hop) lesser(name, value []byte) bool {
	switch len(name) {
	case len("te"):
		if message.Equal(name, "te") {
			p.trailers = p.trailers || message.HasToken(value, "trailers")
			return true
		}
	case len("expect"):
		if message.Equal(name, "expect") {
			p.expect = true
			p.expectMore = p.expectMore || !message.Equal(value, "100-continue")
			return true
		}
	case len("upgrade"):
		if message.Equal(name, "upgrade") {
			if message.HasToken(value, "websocket") {
				p.upgrade = []byte("websocket")
			}
			return true
		}
	case len("keep-alive"):
		return message.Equal(name, "keep-alive")
	case len("http2-settings"):
		return message.Equal(name, "http2-settings")
	case len("proxy-connection"):
		return message.Equal(name, "proxy-connection")
	}
	return false
}

// contentLength takes the one Content-Length: decimal digits and nothing else, once (RFC 9112 section 6.3).
func (p *hop) contentLength(value []byte) error {
	if p.hasLength {
		return malformed("several Content-Length fields")
	}
	if len(value) == 0 || len(value) > 18 {
		return malformed("Content-Length is malformed")
	}
	for _, c := range value {
		if c < '0' || c > '9' {
			return malformed("Content-Length is malformed")
		}
		p.length = p.length*10 + int64(c-'0')
	}
	p.hasLength = true
	return nil
}

// transferEncoding takes the one transfer coding that is understood. Lists, parameters and repetitions, valid or not, are where
// implementations disagree.
func (p *hop) transferEncoding(value []byte) error {
	if p.chunked || !message.Equal(value, "chunked") {
		return malformed("Transfer-Encoding is not exactly chunked")
	}
	p.chunked = true
	return nil
}

// connection takes the options of a Connection field (RFC 9110 section 7.6.1).
func (p *hop) connection(list []byte) error {
	named := false
	for rest := list; len(rest) > 0; {
		var option []byte
		option, rest, _ = bytes.Cut(rest, []byte{','})
		switch option = message.TrimSpace(option); {
		case len(option) == 0:
		case message.Equal(option, "close"):
			p.close = true
		case message.Equal(option, "keep-alive"):
			p.keepAlive = true
		case message.Equal(option, "upgrade"):
			p.upgrading = true
		case p.options == maxOptions:
			return malformed("Connection names too many fields")
		case message.ValidFieldName(option):
			p.options++
			named = true
		default:
			return malformed("Connection is malformed")
		}
	}
	if named {
		if p.nameds == len(p.named) {
			return malformed("too many Connection fields")
		}
		p.named[p.nameds] = list
		p.nameds++
	}
	return nil
}

// maxOptions is how many fields Connection may name: each is looked for among all fields, and clients name one or two.
const maxOptions = 64

// dropNamed removes the fields that Connection named, except those on which a later hop's trust rests.
func (p *hop) dropNamed(fields *message.Fields) {
	for _, list := range p.named[:p.nameds] {
		for len(list) > 0 {
			var option []byte
			option, list, _ = bytes.Cut(list, []byte{','})
			option = message.TrimSpace(option)
			for i := fields.Len() - 1; i >= 0; i-- {
				if message.EqualFold(fields.At(i).Name, option) && !forwarding(option) {
					fields.RemoveAt(i)
				}
			}
		}
	}
}

// forwarding reports whether a field is one of those by which proxies tell where a request came from: a client can neither have
// them removed by Connection nor slip them in as trailers.
func forwarding(name []byte) bool {
	const prefix = "x-forwarded-"
	return len(name) > len(prefix) && message.Equal(name[:len(prefix)], prefix) ||
		message.Equal(name, "forwarded") || message.Equal(name, "x-real-ip") || message.Equal(name, "via")
}

// persistent says whether the connection may carry another message (RFC 9112 section 9.3).
func (p *hop) persistent(minor int) bool {
	return !p.close && (minor == 1 || p.keepAlive)
}

// announced is the framing that the fields of a request or a response announce (RFC 9112 section 6.3). Both are refused alike where two
// readers could differ.
func (p *hop) announced(h *message.Head) (Framing, error) {
	f := Framing{KeepAlive: p.persistent(h.Minor)}
	switch {
	case p.chunked && p.hasLength:
		return f, malformed("Content-Length beside Transfer-Encoding")
	case p.chunked && h.Minor == 0:
		return f, malformed("Transfer-Encoding in HTTP/1.0")
	case p.chunked:
		f.Body, h.Length = BodyChunked, message.LengthUnknown
	case p.hasLength:
		f.Body, f.Length, h.Length = BodyLength, p.length, p.length
	}
	return f, nil
}

// parseVersion reads "HTTP/1.1" and the like and returns the minor version.
func parseVersion(b []byte) (int, error) {
	if len(b) != len("HTTP/1.1") || string(b[:5]) != "HTTP/" || !isDigit(b[5]) || b[6] != '.' || !isDigit(b[7]) {
		return 0, malformed("HTTP version is malformed")
	}
	if b[5] != '1' || b[7] > '1' {
		return 0, &ParseError{505, fmt.Sprintf("HTTP version %s is not served here", b[5:])}
	}
	return int(b[7] - '0'), nil
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }
