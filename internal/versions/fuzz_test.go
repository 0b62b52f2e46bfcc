// Requests of any parts.

package versions

import (
	"strings"
	"testing"
)

// FuzzVersions says requests of any parts in all versions.
func FuzzVersions(f *testing.F) {
	for _, method := range []string{"GET", "HEAD", "get", "PO ST", ""} {
		f.Add(method, "/a?b", "shop.example", "X-Name", "value", "content", true)
	}
	for _, path := range []string{"/%41//../b", "*", "", "/a#b", "//", "/%", "http://a/", "/\x80"} {
		f.Add("POST", path, "shop.example:80", "X-Name", "value", "", true)
	}
	for _, authority := range []string{"", "a:", "[::1]:1", "a:b", "a@b", "A.", "a..b", "%41", "-"} {
		f.Add("PUT", "/", authority, "X-Name", "value", "content", false)
	}
	for _, name := range []string{"", "x_y", "x y", "Forwarded", "x-forwarded-", "Date", ":path", "cookie", "X-Real-IP"} {
		f.Add("PATCH", "/", "shop.example", name, "a, \"b\"", "content", false)
	}
	s := newStand(f)
	f.Fuzz(func(t *testing.T, method, path, authority, name, value, content string, length bool) {
		q := &request{method: method, path: path, authority: authority, fields: []field{{name, value}}, body: content != "" || length, length: length}
		if len(content) > 0 {
			q.pieces = []string{content}
		}
		if method == "CONNECT" || len(path)+len(content)+len(value)+len(name) > 60_000 {
			return // means something else in each version; and windows are not what is tested
		}
		q.framed = !sayable(q)
		s.t = t
		s.compare(q)
	})
}

// sayable reports whether HTTP/1 has the same rules for a request: its lines end where the others have ordinary bytes, it has spaces around
// values and colons, the target may be absolute, and some fields belong to connections.
func sayable(q *request) bool {
	for _, s := range []string{q.method, q.path, q.authority, q.fields[0].name, q.fields[0].value} {
		if strings.ContainsAny(s, "\r\n") || strings.Trim(s, " \t") != s {
			return false
		}
	}
	name := strings.ToLower(q.fields[0].name)
	switch name {
	case "connection", "proxy-connection", "keep-alive", "transfer-encoding", "upgrade", "http2-settings", "te", "content-length", "host", "expect", "x-id", "cookie":
		return false
	}
	return !strings.Contains(name, ":") && !strings.Contains(q.method, " ") && !strings.Contains(q.path, "://") && !strings.Contains(q.path, " ")
}
