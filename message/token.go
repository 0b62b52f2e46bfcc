// Which bytes may stand where (RFC 9110 section 5.6, RFC 3986 section 2), and comparisons that ignore the case of ASCII letters.

package message

import (
	"encoding/binary"
	"strings"
)

// The classes of a byte, as bits of classes.
const (
	classToken      = 1 << iota // tchar: names of methods, fields, transfer codings
	classUnreserved             // unreserved of RFC 3986: an escape of it means the same as the byte
	classPath                   // may stand for itself in a path segment
	classQuery                  // may stand for itself in a query
	classText                   // may stand in a field's value
)

// classes and lower are tables: they are never written after the start.
var (
	classes = makeClasses()
	lower   = makeLower()
)

func makeClasses() (t [256]uint8) {
	for i := range t {
		c := byte(i)
		named := isAlphanumeric(c)
		printing := c > ' ' && c != 0x7f
		for class, is := range map[uint8]bool{
			classToken:      named || strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0,
			classUnreserved: named || strings.IndexByte("-._~", c) >= 0,
			// Beyond RFC 3986's own set, bytes that browsers and scripts send unescaped, among them UTF-8, mean themselves; nothing
			// that could end the target, begin a fragment or be taken for a slash does.
			classQuery: printing && c != '#',
			classPath:  printing && strings.IndexByte("#\\?%/", c) < 0,
			classText:  printing || c == ' ' || c == '\t',
		} {
			if is {
				t[c] |= class
			}
		}
	}
	return t
}

func makeLower() (t [256]byte) {
	for i := range t {
		t[i] = byte(i)
		if i >= 'A' && i <= 'Z' {
			t[i] |= 0x20
		}
	}
	return t
}

func isAlphanumeric(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// Token returns the length of the token that b begins with, 0 if none (RFC 9110 section 5.6.2).
func Token(b []byte) int {
	for i, c := range b {
		if classes[c]&classToken == 0 {
			return i
		}
	}
	return len(b)
}

// ValidFieldName reports whether b is a token, as names of fields and methods are.
func ValidFieldName(b []byte) bool { return len(b) > 0 && Token(b) == len(b) }

// ValidFieldValue reports whether b may be a field's value: visible characters, spaces, tabs and bytes from 0x80 on, no other
// control bytes (RFC 9110 section 5.5). Space around the value is the caller's to trim.
func ValidFieldValue(b []byte) bool {
	const ones, high = 0x0101010101010101, 0x8080808080808080
	for ; len(b) >= 8; b = b[8:] {
		w := binary.LittleEndian.Uint64(b)
		del := w ^ 0x7f*ones
		// A set bit says that some byte may be below ' ' or be DEL (a tab is one; a borrow may point at an innocent byte): look closely.
		if ((w-0x20*ones)&^w|(del-ones)&^del)&high != 0 && !validText(b[:8]) {
			return false
		}
	}
	return validText(b)
}

func validText(b []byte) bool {
	for _, c := range b {
		if classes[c]&classText == 0 {
			return false
		}
	}
	return true
}

// TrimSpace returns b without optional whitespace (spaces and tabs) around it.
func TrimSpace(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
		b = b[1:]
	}
	for len(b) > 0 && (b[len(b)-1] == ' ' || b[len(b)-1] == '\t') {
		b = b[:len(b)-1]
	}
	return b
}

// Equal reports whether a is equal to lower, which is in lower case, but for the case of a's ASCII letters.
func Equal(a []byte, lowerCase string) bool {
	if len(a) != len(lowerCase) {
		return false
	}
	for i, c := range a {
		if lower[c] != lowerCase[i] {
			return false
		}
	}
	return true
}

// equalFold is Equal for a second operand in any case.
func equalFold[T []byte | string](a []byte, b T) bool {
	if len(a) != len(b) {
		return false
	}
	for i, c := range a {
		if lower[c] != lower[b[i]] {
			return false
		}
	}
	return true
}

// EqualFold reports whether a and b are equal but for the case of ASCII letters.
func EqualFold(a, b []byte) bool { return equalFold(a, b) }

// AppendLower appends b with its ASCII letters in lower case.
func AppendLower(dst, b []byte) []byte {
	for _, c := range b {
		dst = append(dst, lower[c])
	}
	return dst
}
