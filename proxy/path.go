// Path modifiers of RequestRedirect and URLRewrite: values are made ready once, in Compile; a request copies bytes.

package proxy

import (
	"bytes"
	"fmt"
	"strings"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/wicketgate/wicketgate/message"
)

// pathModifier replaces a request's path, or the part of it that its rule's match compared.
type pathModifier struct {
	prefix bool // ReplacePrefixMatch; else ReplaceFullPath
	// value begins with '/'; for a prefix it does not end with one, and is empty for "/".
	value []byte
}

// compilePathModifier returns nil for a nil modifier. The value is taken as a path and nothing else: what cannot stand in a path (a '?', too) is
// escaped, dot segments are resolved as in requests, and a missing first slash is put in front.
func compilePathModifier(m *gatewayv1.HTTPPathModifier) (*pathModifier, error) {
	if m == nil {
		return nil, nil
	}
	out := &pathModifier{}
	text := ""
	switch {
	case m.Type == gatewayv1.FullPathHTTPPathModifier && m.ReplaceFullPath != nil:
		text = *m.ReplaceFullPath
	case m.Type == gatewayv1.PrefixMatchHTTPPathModifier && m.ReplacePrefixMatch != nil:
		out.prefix, text = true, *m.ReplacePrefixMatch
	default:
		return nil, fmt.Errorf("path modifier of type %q without its value", m.Type)
	}
	path, err := message.NormalizePath(escapePath(text), false)
	if err != nil {
		return nil, fmt.Errorf("path %q: %w", text, err)
	}
	if out.prefix {
		path = bytes.TrimRight(path, "/")
	}
	out.value = path
	return out, nil
}

// appendPath appends the modified path to dst. prefixLen is how many bytes of path the match compared, without a trailing slash.
// The result is never empty: with /foo replaced by nothing, /foo becomes /.
func (m *pathModifier) appendPath(dst, path []byte, prefixLen int) []byte {
	start := len(dst)
	dst = append(dst, m.value...)
	if m.prefix && prefixLen <= len(path) {
		dst = append(dst, path[prefixLen:]...)
	}
	if len(dst) == start {
		dst = append(dst, '/')
	}
	return dst
}

// escapePath escapes every byte that may not stand in a path as it is (RFC 3986 section 3.3). Valid escapes are left alone.
func escapePath(text string) []byte {
	const hex = "0123456789ABCDEF"
	out := make([]byte, 0, len(text)+1)
	if text == "" || text[0] != '/' {
		out = append(out, '/')
	}
	for i := range len(text) {
		b := text[i]
		if isPathByte(b) || b == '%' && i+2 < len(text) && isHex(text[i+1]) && isHex(text[i+2]) {
			out = append(out, b)
			continue
		}
		out = append(out, '%', hex[b>>4], hex[b&15])
	}
	return out
}

func isPathByte(b byte) bool {
	return 'a' <= b && b <= 'z' || 'A' <= b && b <= 'Z' || '0' <= b && b <= '9' || strings.IndexByte("-._~!$&'()*+,;=:@/", b) >= 0
}

func isHex(b byte) bool {
	return '0' <= b && b <= '9' || 'a' <= b && b <= 'f' || 'A' <= b && b <= 'F'
}
