// Normalisation of request targets: what is matched is what is forwarded, so two spellings of one path must become one before
// any rule is looked at, and nothing may be left that a backend would resolve differently.
//
// For example /shop/%2e%2E/%61dmin//users/./%2fx?q=%2e becomes path /admin/users/%2Fx and query q=%2e:
//
//   - escapes of unreserved characters are decoded (%61, %2e), the others stay, with upper-case digits (%2F): an escaped slash
//     is data, not a separator;
//   - slashes in a row become one, unless told otherwise;
//   - then dot segments are removed as in RFC 3986 section 5.2.4, and never climb above the root;
//   - the query is left alone.
//
// It is done in one pass from left to right within the target's own memory, because no step makes a path longer.

package message

import (
	"bytes"
	"errors"
)

// Errors of NormalizeTarget. Each makes a request malformed (400).
var (
	ErrTargetForm   = errors.New("request target does not begin with a slash")
	ErrTargetByte   = errors.New("request target has a backslash, a control byte, a space or a '#'")
	ErrTargetEscape = errors.New("request target has a malformed or a null escape")
)

// NormalizeTarget sets h.Path, h.Query and h.HasQuery from h.Target. It may write into the target's memory, after which h.Target is not what
// was received any more. An empty target (CONNECT) and "*" (OPTIONS) pass as they are. It does not allocate.
func NormalizeTarget(h *Head, mergeSlashes bool) error {
	path, query, hasQuery := bytes.Cut(h.Target, []byte{'?'})
	h.Path, h.Query, h.HasQuery = nil, nil, false
	if len(h.Target) == 0 || len(h.Target) == 1 && h.Target[0] == '*' {
		h.Path = h.Target
		return nil
	}
	for _, c := range query {
		if classes[c]&classQuery == 0 {
			return ErrTargetByte
		}
	}
	path, err := NormalizePath(path, mergeSlashes)
	if err != nil {
		return err
	}
	h.Path, h.Query, h.HasQuery = path, query, hasQuery
	return nil
}

// NormalizePath normalises a path, within its own memory, and returns the part of it that is left. Doing it again changes nothing.
func NormalizePath(p []byte, mergeSlashes bool) ([]byte, error) {
	if len(p) == 0 || p[0] != '/' {
		return nil, ErrTargetForm
	}
	w := 0 // p[:w] is done: whole segments, each with its slash in front
	for r := 0; r < len(p); {
		start := w // of this segment's slash
		p[w] = '/'
		var err error
		if w, r, err = copySegment(p, w+1, r+1); err != nil {
			return nil, err
		}
		last := r == len(p)
		segment := p[start+1 : w]
		switch {
		case len(segment) == 0 && mergeSlashes, isDots(segment, 1):
			w = start
		case isDots(segment, 2):
			w = max(0, bytes.LastIndexByte(p[:start], '/'))
		default:
			continue
		}
		if last { // /a/. and /a/b/.. name the directory /a/
			p[w] = '/'
			w++
		}
	}
	return p[:w], nil
}

// copySegment copies the segment at p[r:] to p[w:], decoded, and returns the index behind the copy and that of the slash or end
// behind the segment.
func copySegment(p []byte, w, r int) (int, int, error) {
	for r < len(p) {
		c := p[r]
		switch {
		case classes[c]&classPath != 0:
			p[w] = c
		case c == '/':
			return w, r, nil
		case c == '%':
			if r+2 >= len(p) {
				return 0, 0, ErrTargetEscape
			}
			high, low := unhex(p[r+1]), unhex(p[r+2])
			if high > 15 || low > 15 || high|low == 0 {
				return 0, 0, ErrTargetEscape
			}
			r += 2
			if c = high<<4 | low; classes[c]&classUnreserved != 0 {
				p[w] = c
			} else {
				const digits = "0123456789ABCDEF"
				p[w], p[w+1], p[w+2] = '%', digits[high], digits[low]
				w += 2
			}
		default:
			return 0, 0, ErrTargetByte
		}
		w++
		r++
	}
	return w, r, nil
}

func isDots(segment []byte, n int) bool {
	return len(segment) == n && segment[0] == '.' && segment[n-1] == '.'
}

// unhex is the value of a hexadecimal digit, or something above 15.
func unhex(c byte) byte {
	switch {
	case c >= '0' && c <= '9':
		return c - '0'
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10
	}
	return 0xff
}
