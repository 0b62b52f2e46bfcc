// Requests: from a field block to a message.Head (RFC 9113 section 8.3.1, RFC 8441 section 4).
//
// What breaks a rule of HTTP/2 resets the stream. What HTTP/1 would answer with a status of its own (a target that is too long, an unknown
// expectation) gets the same answer here: a *wire.ParseError.

package h2

import (
	"bytes"

	"github.com/wicketgate/wicketgate/message"
	"github.com/wicketgate/wicketgate/wire"
)

// maxMethod is the longest method that is let through, as on HTTP/1.
const maxMethod = 64

// requestParts are what the fields of a request say besides what goes into Head.Fields.
type requestParts struct {
	method, scheme, authority, path, protocol []byte
	seen                                      uint8 // pseudo-fields, as bits
	regular                                   bool  // a field that is not a pseudo-field has come
	host                                      []byte
	hosts                                     int
	length                                    int64 // LengthNone: none
	expect, expectMore                        bool
	cookies                                   int // how many
	cookie                                    int // where in Head.Fields the first is
}

// Request reads the complete block as a request into h, whose slices point into the memory that it returns; mine is used for the next block.
// end says that no content follows. h.Scheme is what the client claims. Errors are a *StreamError or a *wire.ParseError; h is to be
// used in neither case, but for what an answer to a *wire.ParseError needs of it.
func (b *BlockReader) Request(stream uint32, h *message.Head, mine []byte) ([]byte, error) {
	h.Reset()
	memory := b.take(mine)
	if b.large {
		return memory, errLarge
	}
	p := requestParts{length: message.LengthNone}
	for _, s := range b.spans {
		name, value := s.in(memory)
		why := ""
		if len(name) > 0 && name[0] == ':' {
			why = p.pseudo(name, value)
		} else {
			why = p.field(h, name, value)
		}
		if why != "" {
			return memory, malformed(stream, why)
		}
	}
	if why := p.complete(); why != "" {
		return memory, malformed(stream, why)
	}
	if p.cookies > 1 {
		memory = b.joinCookies(h, p.cookie, memory)
	}
	if b.end && p.length > 0 {
		return memory, malformed(stream, "content-length announces content that does not come")
	}
	return memory, p.fill(h, b.end, &b.lim)
}

// The pseudo-fields of a request, as bits.
const (
	hasMethod = 1 << iota
	hasScheme
	hasAuthority
	hasPath
	hasProtocol
)

func (p *requestParts) pseudo(name, value []byte) string {
	bit, to := uint8(0), (*[]byte)(nil)
	switch string(name) {
	case ":method":
		bit, to = hasMethod, &p.method
	case ":scheme":
		bit, to = hasScheme, &p.scheme
	case ":authority":
		bit, to = hasAuthority, &p.authority
	case ":path":
		bit, to = hasPath, &p.path
	case ":protocol":
		bit, to = hasProtocol, &p.protocol
	default:
		return "unknown pseudo-field"
	}
	switch {
	case p.regular:
		return "pseudo-field behind other fields"
	case p.seen&bit != 0:
		return "pseudo-field given twice"
	case !message.ValidFieldValue(value):
		return "pseudo-field has a control byte"
	}
	p.seen |= bit
	*to = value
	return ""
}

func (p *requestParts) field(h *message.Head, name, value []byte) string {
	p.regular = true
	if why := checkField(name, value); why != "" {
		return why
	}
	switch special(name) {
	case fieldTE:
		if !message.Equal(value, "trailers") {
			return "te is not trailers"
		}
		h.Trailers = true
	case fieldLength:
		n, ok := parseLength(value)
		if !ok || p.length != message.LengthNone {
			return "content-length is malformed or given twice"
		}
		p.length = n
	case fieldHost:
		p.host = value
		p.hosts++
	case fieldExpect:
		p.expect = true
		p.expectMore = p.expectMore || !message.Equal(value, "100-continue")
	case fieldCookie:
		if p.cookies++; p.cookies == 1 {
			p.cookie = h.Fields.Len()
			h.Fields.Add(name, value)
		}
	case fieldDropped:
	default:
		h.Fields.Add(name, value)
	}
	return ""
}

// complete says what is wrong with the set of pseudo-fields, or returns "".
func (p *requestParts) complete() string {
	switch connect := string(p.method) == "CONNECT"; {
	case p.seen&hasMethod == 0:
		return "request has no :method"
	case connect && p.seen&hasProtocol == 0:
		if p.seen != hasMethod|hasAuthority {
			return "CONNECT takes an :authority, and no :scheme or :path"
		}
		return ""
	case p.seen&hasProtocol != 0 && (!connect || p.seen&hasAuthority == 0):
		return ":protocol without CONNECT or :authority"
	}
	return p.located()
}

// located says what is wrong with where a request goes, or returns "".
func (p *requestParts) located() string {
	switch {
	case p.seen&hasScheme == 0 || p.seen&hasPath == 0:
		return "request has no :scheme or no :path"
	case len(p.path) == 0:
		return ":path is empty"
	case p.path[0] != '/' && (string(p.path) != "*" || string(p.method) != "OPTIONS"):
		return ":path does not begin with a slash"
	case p.hosts > 1:
		return "several host fields"
	case p.hosts == 1 && p.seen&hasAuthority != 0 && !message.EqualFold(trimColon(p.host), trimColon(p.authority)):
		return "host is not :authority"
	}
	return ""
}

// joinCookies makes one field of all cookies (section 8.2.3), behind the block in its memory: "a=b" and "c=d" become "a=b; c=d".
func (b *BlockReader) joinCookies(h *message.Head, at int, memory []byte) []byte {
	start := len(memory)
	for _, s := range b.spans {
		if name, value := s.in(memory); string(name) == "cookie" {
			if len(memory) > start {
				memory = append(memory, "; "...)
			}
			memory = append(memory, value...)
		}
	}
	h.Fields.SetAt(at, memory[start:len(memory):len(memory)])
	return memory
}

// fill settles the head from what was gathered. The block is well-formed.
func (p *requestParts) fill(h *message.Head, end bool, lim *wire.Limits) error {
	h.Method, h.Scheme, h.Target = p.method, p.scheme, p.path
	authority := p.authority
	if p.seen&hasAuthority == 0 {
		authority = p.host
	}
	h.Authority = trimColon(authority)
	if len(h.Method) > maxMethod || !message.ValidFieldName(h.Method) {
		return &wire.ParseError{Status: 400, Why: "method is malformed"}
	}
	if err := p.checkTarget(h, lim); err != nil {
		return err
	}
	switch {
	case p.seen&hasProtocol != 0:
		return p.connect(h)
	case p.length != message.LengthNone:
		h.Length = p.length
	case !end:
		h.Length = message.LengthUnknown
	}
	if p.expect && p.expectMore {
		return &wire.ParseError{Status: 417, Why: "expectation is not 100-continue"}
	}
	h.ExpectContinue = p.expect && !end && h.Length != 0
	return nil
}

func (p *requestParts) checkTarget(h *message.Head, lim *wire.Limits) error {
	if len(h.Target) > lim.TargetBytes {
		return &wire.ParseError{Status: 414, Why: "request target is too long"}
	}
	for _, c := range h.Target {
		if c <= ' ' || c == 0x7f || c == '#' {
			return &wire.ParseError{Status: 400, Why: "request target has a space, a control byte or a '#'"}
		}
	}
	_, port, ok := message.SplitAuthority(h.Authority)
	if !ok {
		return &wire.ParseError{Status: 400, Why: "request has no host or a malformed one"}
	}
	if p.seen&hasScheme == 0 {
		if len(port) == 0 {
			return &wire.ParseError{Status: 400, Why: "CONNECT needs a host and a port"}
		}
		return nil
	}
	if !message.Equal(h.Scheme, "http") && !message.Equal(h.Scheme, "https") {
		return &wire.ParseError{Status: 400, Why: "scheme is neither http nor https"}
	}
	return nil
}

// connect takes an extended CONNECT for what it stands for: the upgrade of HTTP/1 (RFC 8441 section 5).
func (p *requestParts) connect(h *message.Head) error {
	if !message.Equal(p.protocol, "websocket") {
		return &wire.ParseError{Status: 501, Why: "this protocol is not carried here"}
	}
	h.Method, h.Upgrade = methodGet, websocket
	return nil
}

// Never written to.
var (
	methodGet = []byte("GET")
	websocket = []byte("websocket")
)

func trimColon(authority []byte) []byte { return bytes.TrimSuffix(authority, []byte{':'}) }
