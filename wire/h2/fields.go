// Rules for fields that requests, responses and trailers have in common (RFC 9113 section 8.2).

package h2

import "github.com/wicketgate/wicketgate/message"

// fieldKind is what a field is to HTTP/2.
type fieldKind uint8

const (
	fieldPlain      fieldKind = iota // no business of ours
	fieldConnection                  // speaks of a connection of HTTP/1: forbidden (section 8.2.2)
	fieldDropped                     // speaks of this hop and is not forwarded
	fieldTE
	fieldLength
	fieldCookie
	fieldHost
	fieldExpect
)

// special classifies a name, which is in lower case.
func special(name []byte) fieldKind {
	switch string(name) {
	case "connection", "proxy-connection", "keep-alive", "transfer-encoding", "upgrade":
		return fieldConnection
	case "http2-settings":
		return fieldDropped
	case "te":
		return fieldTE
	case "content-length":
		return fieldLength
	case "cookie":
		return fieldCookie
	case "host":
		return fieldHost
	case "expect":
		return fieldExpect
	}
	return fieldPlain
}

// checkField says what is wrong with a field that is not a pseudo-field, or returns "".
func checkField(name, value []byte) string {
	switch {
	case !validName(name):
		return "field name is malformed or not in lower case"
	case !message.ValidFieldValue(value):
		return "field value has a control byte"
	case len(value) > 0 && (isSpace(value[0]) || isSpace(value[len(value)-1])):
		return "field value begins or ends with a space"
	case special(name) == fieldConnection:
		return "field of a connection of HTTP/1"
	}
	return ""
}

// validName reports whether a name is a token without upper-case letters.
func validName(name []byte) bool {
	if !message.ValidFieldName(name) {
		return false
	}
	for _, c := range name {
		if c >= 'A' && c <= 'Z' {
			return false
		}
	}
	return true
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' }

// parseLength reads the digits of a Content-Length.
func parseLength(value []byte) (n int64, ok bool) {
	if len(value) == 0 || len(value) > 18 {
		return 0, false
	}
	for _, c := range value {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	return n, true
}
