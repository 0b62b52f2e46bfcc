// The body of a ClientHello (RFC 8446 section 4.1.2, RFC 5246 section 7.4.1.2), and the two extensions of it that matter here.

package sni

import "strings"

const (
	extensionServerName = 0
	extensionALPN       = 16
	nameTypeHost        = 0
	maxSessionID        = 32
	maxHostname         = 253
	// maxExtensions bounds what is compared to find one that comes twice. Real hellos have some 20.
	maxExtensions = 256
)

// input is what is left to be read. Its methods report whether there was enough.
type input []byte

func (in *input) skip(n int) bool {
	if len(*in) < n {
		return false
	}
	*in = (*in)[n:]
	return true
}

func (in *input) uint16() (v int, ok bool) {
	p := *in
	if len(p) < 2 {
		return 0, false
	}
	*in = p[2:]
	return int(p[0])<<8 | int(p[1]), true
}

// vector8 and vector16 take a vector whose length stands before it in one byte or in two.
func (in *input) vector8() (input, bool) {
	p := *in
	if len(p) < 1 || len(p) < 1+int(p[0]) {
		return nil, false
	}
	n := 1 + int(p[0])
	*in = p[n:]
	return p[1:n], true
}

func (in *input) vector16() (input, bool) {
	n, ok := in.uint16()
	if !ok || len(*in) < n {
		return nil, false
	}
	v := (*in)[:n]
	*in = (*in)[n:]
	return v, true
}

// parse reads the body of a ClientHello. Strings of the result are copies.
func parse(body []byte) (h Hello, err error) {
	in := input(body)
	if !in.skip(2 + 32) { // legacy_version and random
		return h, malformed("it ends within its random")
	}
	if session, ok := in.vector8(); !ok || len(session) > maxSessionID {
		return h, malformed("session identifier")
	}
	if suites, ok := in.vector16(); !ok || len(suites) < 2 || len(suites)%2 != 0 {
		return h, malformed("cipher suites")
	}
	if methods, ok := in.vector8(); !ok || len(methods) == 0 {
		return h, malformed("compression methods")
	}
	if len(in) == 0 {
		return h, nil // TLS 1.2 knows hellos without extensions
	}
	extensions, ok := in.vector16()
	if !ok || len(in) > 0 {
		return h, malformed("length of the extensions")
	}
	return h, h.extensions(extensions)
}

func (h *Hello) extensions(in input) error {
	var seen [maxExtensions]uint16
	for n := 0; len(in) > 0; n++ {
		kind, ok := in.uint16()
		data, whole := in.vector16()
		if !ok || !whole {
			return malformed("it ends within an extension")
		}
		if n == maxExtensions {
			return malformed("more than %d extensions", maxExtensions)
		}
		for _, k := range seen[:n] {
			if int(k) == kind {
				return malformed("extension %d twice", kind) // RFC 8446 section 4.2 forbids it
			}
		}
		seen[n] = uint16(kind)
		switch kind {
		case extensionServerName:
			ok = h.serverName(data)
		case extensionALPN:
			ok = h.protocols(data)
		}
		if !ok {
			return malformed("content of extension %d", kind)
		}
	}
	return nil
}

// serverName reads a list of names, of which there may be one for each type (RFC 6066 section 3). Only one type was ever defined.
func (h *Hello) serverName(in input) bool {
	list, ok := in.vector16()
	if !ok || len(in) > 0 || len(list) == 0 {
		return false
	}
	for len(list) > 0 {
		kind := list[0]
		list = list[1:]
		name, ok := list.vector16()
		if !ok || len(name) == 0 {
			return false
		}
		if kind != nameTypeHost {
			continue
		}
		if h.ServerName != "" || !hostname(name) {
			return false
		}
		h.ServerName = strings.ToLower(string(name))
	}
	return true
}

// hostname reports whether name could be one: letters, digits, '-' and '_' in labels that dots separate, and none after the last. An address is let
// through, though a client must not send it: it equals no listener's hostname.
func hostname(name []byte) bool {
	if len(name) > maxHostname {
		return false
	}
	label := 0
	for _, c := range name {
		switch {
		case c == '.':
			if label == 0 {
				return false
			}
			label = 0
			continue
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_', c == ':':
		default:
			return false
		}
		label++
	}
	return label > 0
}

// protocols reads a list of protocol names (RFC 7301 section 3.1), none of which is empty.
func (h *Hello) protocols(in input) bool {
	list, ok := in.vector16()
	if !ok || len(in) > 0 || len(list) == 0 {
		return false
	}
	for len(list) > 0 {
		name, ok := list.vector8()
		if !ok || len(name) == 0 {
			return false
		}
		h.Protocols = append(h.Protocols, string(name))
	}
	return true
}
