// Responses: from a field block to a message.Head (RFC 9113 section 8.3.2).

package h2

import (
	"github.com/wicketgate/wicketgate/message"
)

// Response reads the complete block as a response, interim or final, into h, whose slices point into the memory that it returns; mine is
// used for the next block. toHEAD says that the request's method was HEAD. An error is a *StreamError.
//
// h.Length is what content-length says, LengthNone if no content can follow, or else LengthUnknown. That of a response to HEAD, and of
// 304, is told but not followed by content.
func (b *BlockReader) Response(stream uint32, h *message.Head, toHEAD bool, mine []byte) ([]byte, error) {
	h.Reset()
	memory := b.take(mine)
	if b.large {
		return memory, &StreamError{stream, EnhanceYourCalm, "response header is too large or has too many fields"}
	}
	length := message.LengthNone
	for i, s := range b.spans {
		name, value := s.in(memory)
		if len(name) > 0 && name[0] == ':' {
			if i > 0 || string(name) != ":status" || !setStatus(h, value) {
				return memory, malformed(stream, "response has other pseudo-fields than one :status, or a malformed one")
			}
			continue
		}
		if why := checkField(name, value); why != "" {
			return memory, malformed(stream, why)
		}
		switch special(name) {
		case fieldLength:
			n, ok := parseLength(value)
			if !ok || length != message.LengthNone && length != n {
				return memory, malformed(stream, "content-length is malformed or given twice")
			}
			length = n
		case fieldTE, fieldHost, fieldExpect, fieldDropped:
		default:
			h.Fields.Add(name, value)
		}
	}
	if h.Status == 0 {
		return memory, malformed(stream, "response has no :status")
	}
	return memory, b.frameResponse(stream, h, length, toHEAD)
}

// frameResponse settles h.Length.
func (b *BlockReader) frameResponse(stream uint32, h *message.Head, length int64, toHEAD bool) error {
	switch {
	case h.Status == 101:
		return malformed(stream, "101 has no meaning in HTTP/2") // section 8.6
	case h.Status < 200:
		if b.end {
			return malformed(stream, "interim response ends the stream")
		}
	case h.Status == 204:
	case toHEAD || h.Status == 304:
		h.Length = length
	case b.end && length > 0:
		return malformed(stream, "content-length announces content that does not come")
	case length != message.LengthNone:
		h.Length = length
	case b.end:
		h.Length = 0
	default:
		h.Length = message.LengthUnknown
	}
	return nil
}

// setStatus reads three digits.
func setStatus(h *message.Head, value []byte) bool {
	if len(value) != 3 || value[0] < '1' {
		return false
	}
	for _, c := range value {
		if c < '0' || c > '9' {
			return false
		}
		h.Status = h.Status*10 + int(c-'0')
	}
	return true
}
