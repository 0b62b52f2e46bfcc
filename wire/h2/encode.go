// Field blocks as they are sent. HPACK's dynamic table is not used for them: what it saves in bytes between a gateway and its neighbours
// costs more in time, and an encoder without state can be used by every stream. So that the peer knows, the first block on a
// connection begins with a table size of 0 (RFC 7541 section 4.2), after which the peer's SETTINGS_HEADER_TABLE_SIZE does not matter.
//
// For example "x-a: b" becomes 00 03 "x-a" 01 "b", and "server: b", whose name has number 54 in the static table, 0f 27 01 "b".

package h2

import (
	"strconv"

	"github.com/wicketgate/wicketgate/message"
)

// AppendTableSizeZero appends what the first block of a connection begins with.
func AppendTableSizeZero(dst []byte) []byte { return append(dst, 0x20) }

// Numbers in HPACK's static table (RFC 7541 appendix A).
const (
	indexAuthority     = 1
	indexGET           = 2
	indexPOST          = 3
	indexRoot          = 4
	indexHTTP          = 6
	indexHTTPS         = 7
	indexStatus200     = 8
	indexAuthorization = 23
	indexLength        = 28
	indexCookie        = 32
	indexExpect        = 35
	indexDate          = 33
	indexProxyAuth     = 49
	indexSetCookie     = 55
)

// staticNames are the names in the static table and the first number of each. It is never written to.
var staticNames = map[string]byte{
	"accept-charset": 15, "accept-encoding": 16, "accept-language": 17, "accept-ranges": 18, "accept": 19, "access-control-allow-origin": 20,
	"age": 21, "allow": 22, "authorization": indexAuthorization, "cache-control": 24, "content-disposition": 25, "content-encoding": 26,
	"content-language": 27, "content-length": indexLength, "content-location": 29, "content-range": 30, "content-type": 31, "cookie": indexCookie,
	"date": indexDate, "etag": 34, "expect": indexExpect, "expires": 36, "from": 37, "host": 38, "if-match": 39, "if-modified-since": 40,
	"if-none-match": 41, "if-range": 42, "if-unmodified-since": 43, "last-modified": 44, "link": 45, "location": 46, "max-forwards": 47,
	"proxy-authenticate": 48, "proxy-authorization": indexProxyAuth, "range": 50, "referer": 51, "refresh": 52, "retry-after": 53, "server": 54,
	"set-cookie": indexSetCookie, "strict-transport-security": 56, "transfer-encoding": 57, "user-agent": 58, "vary": 59, "via": 60,
	"www-authenticate": 61,
}

// longestStatic is the length of the longest name in the static table.
const longestStatic = len("access-control-allow-origin")

// AppendRequest appends the field block of a request: pseudo-fields, h.Fields with their names in lower case, and what h.Length, h.Trailers
// and h.ExpectContinue ask for. An h.Upgrade becomes an extended CONNECT (RFC 8441). Whoever made h has checked its names and values.
func AppendRequest(dst []byte, h *message.Head) []byte {
	connect := len(h.Upgrade) > 0
	switch {
	case connect:
		dst = appendIndexedName(dst, indexGET, []byte("CONNECT"))
		dst = appendLiteral(dst, []byte(":protocol"), h.Upgrade)
	case string(h.Method) == "GET":
		dst = append(dst, 0x80|indexGET)
	case string(h.Method) == "POST":
		dst = append(dst, 0x80|indexPOST)
	default:
		dst = appendIndexedName(dst, indexGET, h.Method)
	}
	if connect || string(h.Method) != "CONNECT" {
		if string(h.Scheme) == "https" {
			dst = append(dst, 0x80|indexHTTPS)
		} else {
			dst = append(dst, 0x80|indexHTTP)
		}
		dst = appendPath(dst, h)
	}
	if len(h.Authority) > 0 {
		dst = appendIndexedName(dst, indexAuthority, h.Authority)
	}
	dst = AppendFields(dst, &h.Fields)
	if h.Length >= 0 && !connect {
		dst = appendNumber(dst, indexLength, h.Length)
	}
	if h.Trailers {
		dst = appendLiteral(dst, []byte("te"), []byte("trailers"))
	}
	if h.ExpectContinue {
		dst = appendIndexedName(dst, indexExpect, []byte("100-continue"))
	}
	return dst
}

func appendPath(dst []byte, h *message.Head) []byte {
	if !h.HasQuery {
		if string(h.Path) == "/" {
			return append(dst, 0x80|indexRoot)
		}
		return appendIndexedName(dst, indexRoot, h.Path)
	}
	dst = appendInteger(append(dst, indexRoot), 0x7f, len(h.Path)+1+len(h.Query))
	return append(append(append(dst, h.Path...), '?'), h.Query...)
}

// AppendResponse appends the field block of a response: status, h.Fields with their names in lower case, content-length if length is not
// negative, and a date if one is given.
func AppendResponse(dst []byte, h *message.Head, length int64, date []byte) []byte {
	dst = appendStatus(dst, h.Status)
	if len(date) > 0 {
		dst = appendIndexedName(dst, indexDate, date)
	}
	dst = AppendFields(dst, &h.Fields)
	if length >= 0 {
		dst = appendNumber(dst, indexLength, length)
	}
	return dst
}

// AppendFields appends fields with their names in lower case: what follows the pseudo-fields, or trailers.
func AppendFields(dst []byte, fields *message.Fields) []byte {
	for i := range fields.Len() {
		f := fields.At(i)
		dst = appendField(dst, f.Name, f.Value)
	}
	return dst
}

func appendStatus(dst []byte, status int) []byte {
	switch status {
	case 200, 204, 206, 304, 400, 404, 500:
		for i, s := range [...]int{200, 204, 206, 304, 400, 404, 500} {
			if s == status {
				return append(dst, 0x80|byte(indexStatus200+i))
			}
		}
	}
	return append(dst, indexStatus200, 3, byte('0'+status/100%10), byte('0'+status/10%10), byte('0'+status%10))
}

func appendField(dst, name, value []byte) []byte {
	var lower [longestStatic]byte
	if len(name) <= longestStatic {
		if index := staticNames[string(message.AppendLower(lower[:0], name))]; index > 0 {
			return appendIndexedName(dst, index, value)
		}
	}
	return appendLiteral(dst, name, value)
}

// appendIndexedName appends a field whose name is in the static table. What is secret must not get into anybody's table: that holds for
// other hops, too (RFC 7541 section 7.1.3).
func appendIndexedName(dst []byte, index byte, value []byte) []byte {
	form := byte(0)
	switch index {
	case indexAuthorization, indexCookie, indexProxyAuth, indexSetCookie:
		form = 0x10
	}
	if index < 0x0f {
		dst = append(dst, form|index)
	} else {
		dst = append(dst, form|0x0f, index-0x0f)
	}
	return appendString(dst, value)
}

func appendLiteral(dst, name, value []byte) []byte {
	dst = appendInteger(append(dst, 0), 0x7f, len(name))
	return appendString(message.AppendLower(dst, name), value)
}

func appendNumber(dst []byte, index byte, n int64) []byte {
	var digits [20]byte
	return appendIndexedName(dst, index, strconv.AppendInt(digits[:0], n, 10))
}

func appendString(dst, s []byte) []byte {
	return append(appendInteger(dst, 0x7f, len(s)), s...)
}

// appendInteger appends n with a prefix of as many bits as limit has (RFC 7541 section 5.1); the other bits of the prefix's byte are 0.
func appendInteger(dst []byte, limit byte, n int) []byte {
	if n < int(limit) {
		return append(dst, byte(n))
	}
	dst = append(dst, limit)
	for n -= int(limit); n >= 0x80; n >>= 7 {
		dst = append(dst, byte(n)|0x80)
	}
	return append(dst, byte(n))
}

// FinishBlock makes frames of a field block that was appended to dst behind room for a frame's head, which begins at start: one HEADERS
// frame, and CONTINUATIONs if the block is larger than size.
func FinishBlock(dst []byte, start int, stream uint32, end bool, size int) []byte {
	flags := Flags(0)
	if end {
		flags = FlagEndStream
	}
	n := len(dst) - start - FrameHead
	if n <= size {
		AppendFrameHead(dst[:start], n, FrameHeaders, flags|FlagEndHeaders, stream)
		return dst
	}
	AppendFrameHead(dst[:start], size, FrameHeaders, flags, stream)
	rest := append([]byte(nil), dst[start+FrameHead+size:]...)
	dst = dst[:start+FrameHead+size]
	for len(rest) > 0 {
		n, flags := min(size, len(rest)), Flags(0)
		if n == len(rest) {
			flags = FlagEndHeaders
		}
		dst = append(AppendFrameHead(dst, n, FrameContinuation, flags, stream), rest[:n]...)
		rest = rest[n:]
	}
	return dst
}

// AppendBlockRoom appends the room that FinishBlock wants in front of a block.
func AppendBlockRoom(dst []byte) []byte { return append(dst, make([]byte, FrameHead)...) }
