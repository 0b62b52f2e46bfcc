// Package extauth speaks Envoy's authorization protocol, of which a gateway needs one call: Check of envoy.service.auth.v3.Authorization. It makes and reads the
// two messages of that call, each in its frame of gRPC, and knows nothing of connections.
//
// The messages are protocol buffers: a sequence of fields, each a tag (number and wire type), and a number, or a length and so many bytes. The field numbers
// that count here, with nested messages indented:
//
//	CheckRequest                        CheckResponse
//	  1 attributes                        1 status (google.rpc.Status)
//	    1 source, 2 destination             1 code
//	      1 address                       2 denied_response
//	        1 socket_address                1 status
//	          2 address, 3 port_value         1 code
//	      4 principal                       2 headers (see below), 3 body
//	    4 request                         3 ok_response
//	      1 time                            2 headers, 5 headers_to_remove
//	        1 seconds, 2 nanos              6 response_headers_to_add
//	      2 http                            7, 8 query parameters
//	        2 method, 3 headers           5 error_response
//	        4 path, 5 host, 6 scheme
//	        9 size, 10 protocol         HeaderValueOption
//	        11 body, 12 raw_body          1 header: 1 key, 2 value, 3 raw_value
//	                                      2 append: 1 value; 3 append_action
//
// Example: a status of code 7 (PERMISSION_DENIED) and nothing else is 0a 02 08 07, and 00 00 00 00 04 before it as a frame.
package extauth

import (
	"encoding/binary"
	"net/netip"
	"time"
	"unicode/utf8"
)

// Path is the request target of the call.
const Path = "/envoy.service.auth.v3.Authorization/Check"

// Wire types of protocol buffers.
const (
	wireVarint  = 0
	wireFixed64 = 1
	wireBytes   = 2
	wireFixed32 = 5
)

// frameHead is the length of what gRPC puts before each message: a flag and four bytes of length.
const frameHead = 5

// Header is a field of the client's request: the name in lower case, each name once.
type Header struct{ Name, Value []byte }

// Request is what the service is told of a client's request.
type Request struct {
	Method, Path, Host []byte // Path is with the query
	Scheme, Protocol   string // "https", "HTTP/1.1"
	Headers            []Header
	Size               int64 // of the body, in bytes; -1: not known
	Body               []byte
	Time               time.Time // the request arrived
	Source             netip.AddrPort
	Destination        netip.AddrPort
	Principal          string // whom the client's certificate names; "": nobody
}

// AppendFrame appends the CheckRequest in its frame. What is not UTF-8 gets '!' for each byte that is wrong, because text must be that; a body that is not goes
// into raw_body, as it is.
func (r *Request) AppendFrame(dst []byte) []byte {
	at := len(dst)
	dst = append(dst, 0, 0, 0, 0, 0)
	dst = nest(dst, 1, func(b []byte) []byte {
		b = nest(b, 1, func(b []byte) []byte { return appendPeer(b, r.Source, r.Principal) })
		b = nest(b, 2, func(b []byte) []byte { return appendPeer(b, r.Destination, "") })
		return nest(b, 4, func(b []byte) []byte {
			b = nest(b, 1, func(b []byte) []byte {
				b = appendNumber(b, 1, uint64(r.Time.Unix()))
				return appendNumber(b, 2, uint64(r.Time.Nanosecond()))
			})
			return nest(b, 2, r.appendHTTP)
		})
	})
	binary.BigEndian.PutUint32(dst[at+1:], uint32(len(dst)-at-frameHead))
	return dst
}

func (r *Request) appendHTTP(b []byte) []byte {
	b = appendText(b, 2, r.Method)
	for _, h := range r.Headers {
		b = nest(b, 3, func(b []byte) []byte { return appendText(appendText(b, 1, h.Name), 2, h.Value) })
	}
	b = appendText(b, 4, r.Path)
	b = appendText(b, 5, r.Host)
	b = appendText(b, 6, []byte(r.Scheme))
	b = appendNumber(b, 9, uint64(r.Size))
	b = appendText(b, 10, []byte(r.Protocol))
	if utf8.Valid(r.Body) {
		return appendBytes(b, 11, r.Body)
	}
	return appendBytes(b, 12, r.Body)
}

func appendPeer(b []byte, a netip.AddrPort, principal string) []byte {
	if a.IsValid() {
		b = nest(b, 1, func(b []byte) []byte {
			return nest(b, 1, func(b []byte) []byte {
				b = appendText(b, 2, []byte(a.Addr().Unmap().String()))
				return appendNumber(b, 3, uint64(a.Port()))
			})
		})
	}
	return appendText(b, 4, []byte(principal))
}

// nest appends a field whose content is what fill appends.
func nest(dst []byte, field int, fill func([]byte) []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(field)<<3|wireBytes)
	at := len(dst)
	dst = fill(dst)
	n := len(dst) - at
	var length [binary.MaxVarintLen64]byte
	size := binary.PutUvarint(length[:], uint64(n))
	dst = append(dst, length[:size]...)
	copy(dst[at+size:], dst[at:at+n])
	copy(dst[at:], length[:size])
	return dst
}

// appendNumber appends a number, if it is not the default.
func appendNumber(dst []byte, field int, value uint64) []byte {
	if value == 0 {
		return dst
	}
	return binary.AppendUvarint(binary.AppendUvarint(dst, uint64(field)<<3|wireVarint), value)
}

// appendBytes appends bytes, if there are any.
func appendBytes(dst []byte, field int, value []byte) []byte {
	if len(value) == 0 {
		return dst
	}
	dst = binary.AppendUvarint(dst, uint64(field)<<3|wireBytes)
	dst = binary.AppendUvarint(dst, uint64(len(value)))
	return append(dst, value...)
}

// appendText appends bytes that must be UTF-8.
func appendText(dst []byte, field int, value []byte) []byte {
	if utf8.Valid(value) {
		return appendBytes(dst, field, value)
	}
	valid := make([]byte, 0, len(value))
	for len(value) > 0 {
		r, size := utf8.DecodeRune(value)
		if r == utf8.RuneError && size == 1 {
			valid = append(valid, '!')
		} else {
			valid = append(valid, value[:size]...)
		}
		value = value[size:]
	}
	return appendBytes(dst, field, valid)
}
