// Reading request heads (RFC 9112 sections 2.2, 3 and 6; RFC 9110 sections 7.2 and 10.1.1).

package wire

import (
	"bytes"

	"github.com/wicketgate/wicketgate/message"
)

// maxMethod is the longest method that is let through.
const maxMethod = 64

// ParseRequestHead reads the request head that buf begins with into h and returns the head's length, or 0 without an error if it is
// not complete yet. Malformed input is refused as soon as the line that holds it is complete. h points into buf afterwards;
// h.Path is not set yet (message.NormalizeTarget), and h.Scheme only by a target in absolute form. lim is what Limits.WithDefaults returned.
func ParseRequestHead(buf []byte, h *message.Head, lim *Limits) (int, Framing, error) {
	h.Reset()
	pos, err := skipEmptyLine(buf)
	if err != nil {
		return 0, Framing{}, err
	}
	line, next, err := nextLine(buf, pos, lim)
	if next == 0 || err != nil {
		if len(buf)-pos > maxMethod+lim.TargetBytes+len("  HTTP/1.1\r") {
			err = &ParseError{414, "request target is too long"}
		}
		return 0, Framing{}, err
	}
	target, err := parseRequestLine(line, h, lim)
	if err != nil {
		return 0, Framing{}, err
	}
	var p hop
	end, err := parseFields(buf, next, &h.Fields, &p, lim)
	if end == 0 || err != nil {
		return 0, Framing{}, err
	}
	if err := setTarget(h, target, &p); err != nil {
		return 0, Framing{}, err
	}
	f, err := p.request(h)
	if err != nil {
		return 0, Framing{}, err
	}
	return end, f, nil
}

// skipEmptyLine finds where the request line begins: one empty line may precede it (section 2.2). What cannot be a method is refused
// before its line is complete: somebody may speak TLS here, and wait.
func skipEmptyLine(buf []byte) (int, error) {
	pos := 0
	switch {
	case len(buf) == 1 && buf[0] == '\r':
		return 0, nil
	case bytes.HasPrefix(buf, crlf):
		pos = len(crlf)
	}
	if len(buf) > pos && message.Token(buf[pos:pos+1]) == 0 {
		return 0, malformed("request does not begin with a method")
	}
	return pos, nil
}

// parseRequestLine splits method SP target SP version: one space each, and no other white space.
func parseRequestLine(line []byte, h *message.Head, lim *Limits) (target []byte, err error) {
	first, last := bytes.IndexByte(line, ' '), bytes.LastIndexByte(line, ' ')
	if first < 0 || first == last {
		return nil, malformed("request line is malformed")
	}
	h.Method = line[:first]
	if len(h.Method) > maxMethod || !message.ValidFieldName(h.Method) {
		return nil, malformed("method is malformed")
	}
	target = line[first+1 : last]
	if len(target) > lim.TargetBytes {
		return nil, &ParseError{414, "request target is too long"}
	}
	if len(target) == 0 {
		return nil, malformed("request target is empty")
	}
	for _, c := range target {
		if c <= ' ' || c == 0x7f || c == '#' {
			return nil, malformed("request target has a space, a control byte or a '#'")
		}
	}
	h.Minor, err = parseVersion(line[last+1:])
	return target, err
}

// setTarget sorts out the four forms of a request target and settles the authority (RFC 9112 section 3.2).
func setTarget(h *message.Head, target []byte, p *hop) error {
	if p.hosts > 1 || p.hosts == 0 && h.Minor == 1 {
		return malformed("request has no Host field or several")
	}
	authority, has := p.host, p.hosts == 1
	if has && !validAuthority(authority) {
		return malformed("Host is malformed")
	}
	switch {
	case string(h.Method) == "CONNECT":
		_, port, _ := message.SplitAuthority(target)
		if len(port) == 0 {
			return malformed("CONNECT needs a host and a port")
		}
		authority, has = target, true
	case target[0] == '/':
		h.Target = target
	case len(target) == 1 && target[0] == '*' && string(h.Method) == "OPTIONS":
		h.Target = target
	default:
		var ok bool
		if authority, ok = splitAbsolute(h, target); !ok {
			return malformed("request target is malformed")
		}
		has = true
	}
	if has {
		h.Authority = bytes.TrimSuffix(authority, []byte{':'})
	}
	return nil
}

// splitAbsolute takes an absolute-form target apart. Its authority replaces Host's.
func splitAbsolute(h *message.Head, target []byte) (authority []byte, ok bool) {
	scheme, rest, ok := bytes.Cut(target, []byte("://"))
	if !ok || !message.Equal(scheme, "http") && !message.Equal(scheme, "https") {
		return nil, false
	}
	h.Scheme = scheme
	end := bytes.IndexAny(rest, "/?")
	switch {
	case end < 0 && string(h.Method) == "OPTIONS":
		end = len(rest)
		h.Target = []byte("*")
	case end < 0:
		end = len(rest)
		h.Target = []byte("/")
	case rest[end] == '?':
		h.Target = append([]byte("/"), rest[end:]...)
	default:
		h.Target = rest[end:]
	}
	return rest[:end], validAuthority(rest[:end])
}

func validAuthority(a []byte) bool {
	_, _, ok := message.SplitAuthority(a)
	return ok
}

// request decides how a request's body is framed (RFC 9112 section 6.3) and what the other fields of this hop mean.
func (p *hop) request(h *message.Head) (Framing, error) {
	f, err := p.announced(h)
	if err != nil {
		return f, err
	}
	hasBody := f.Body == BodyChunked || f.Length > 0
	if h.Minor == 0 {
		return f, nil // expectations and upgrades came with 1.1
	}
	if p.expect && p.expectMore {
		return f, &ParseError{417, "expectation is not 100-continue"}
	}
	h.ExpectContinue = p.expect && hasBody
	h.Trailers = p.trailers
	if p.upgrading && !hasBody && string(h.Method) == "GET" {
		h.Upgrade = p.upgrade
	}
	return f, nil
}
