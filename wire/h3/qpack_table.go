// QPACK's static table (RFC 9204 appendix A).

package h3

// staticEntry is a field of the static table.
type staticEntry struct{ name, value string }

// staticTable is never written to.
var staticTable = [...]staticEntry{
	{":authority", ""},
	{":path", "/"},
	{"age", "0"},
	{"content-disposition", ""},
	{"content-length", "0"},
	{"cookie", ""},
	{"date", ""},
	{"etag", ""},
	{"if-modified-since", ""},
	{"if-none-match", ""},
	{"last-modified", ""},
	{"link", ""},
	{"location", ""},
	{"referer", ""},
	{"set-cookie", ""},
	{":method", "CONNECT"},
	{":method", "DELETE"},
	{":method", "GET"},
	{":method", "HEAD"},
	{":method", "OPTIONS"},
	{":method", "POST"},
	{":method", "PUT"},
	{":scheme", "http"},
	{":scheme", "https"},
	{":status", "103"},
	{":status", "200"},
	{":status", "304"},
	{":status", "404"},
	{":status", "503"},
	{"accept", "*/*"},
	{"accept", "application/dns-message"},
	{"accept-encoding", "gzip, deflate, br"},
	{"accept-ranges", "bytes"},
	{"access-control-allow-headers", "cache-control"},
	{"access-control-allow-headers", "content-type"},
	{"access-control-allow-origin", "*"},
	{"cache-control", "max-age=0"},
	{"cache-control", "max-age=2592000"},
	{"cache-control", "max-age=604800"},
	{"cache-control", "no-cache"},
	{"cache-control", "no-store"},
	{"cache-control", "public, max-age=31536000"},
	{"content-encoding", "br"},
	{"content-encoding", "gzip"},
	{"content-type", "application/dns-message"},
	{"content-type", "application/javascript"},
	{"content-type", "application/json"},
	{"content-type", "application/x-www-form-urlencoded"},
	{"content-type", "image/gif"},
	{"content-type", "image/jpeg"},
	{"content-type", "image/png"},
	{"content-type", "text/css"},
	{"content-type", "text/html; charset=utf-8"},
	{"content-type", "text/plain"},
	{"content-type", "text/plain;charset=utf-8"},
	{"range", "bytes=0-"},
	{"strict-transport-security", "max-age=31536000"},
	{"strict-transport-security", "max-age=31536000; includesubdomains"},
	{"strict-transport-security", "max-age=31536000; includesubdomains; preload"},
	{"vary", "accept-encoding"},
	{"vary", "origin"},
	{"x-content-type-options", "nosniff"},
	{"x-xss-protection", "1; mode=block"},
	{":status", "100"},
	{":status", "204"},
	{":status", "206"},
	{":status", "302"},
	{":status", "400"},
	{":status", "403"},
	{":status", "421"},
	{":status", "425"},
	{":status", "500"},
	{"accept-language", ""},
	{"access-control-allow-credentials", "FALSE"},
	{"access-control-allow-credentials", "TRUE"},
	{"access-control-allow-headers", "*"},
	{"access-control-allow-methods", "get"},
	{"access-control-allow-methods", "get, post, options"},
	{"access-control-allow-methods", "options"},
	{"access-control-expose-headers", "content-length"},
	{"access-control-request-headers", "content-type"},
	{"access-control-request-method", "get"},
	{"access-control-request-method", "post"},
	{"alt-svc", "clear"},
	{"authorization", ""},
	{"content-security-policy", "script-src 'none'; object-src 'none'; base-uri 'none'"},
	{"early-data", "1"},
	{"expect-ct", ""},
	{"forwarded", ""},
	{"if-range", ""},
	{"origin", ""},
	{"purpose", "prefetch"},
	{"server", ""},
	{"timing-allow-origin", "*"},
	{"upgrade-insecure-requests", "1"},
	{"user-agent", ""},
	{"x-forwarded-for", ""},
	{"x-frame-options", "deny"},
	{"x-frame-options", "sameorigin"},
}

// staticNames has the first index of each name that is not a pseudo-field. It is never written to.
var staticNames = map[string]byte{
	"accept": 29, "accept-encoding": 31, "accept-language": 72, "accept-ranges": 32, "access-control-allow-credentials": 73,
	"access-control-allow-headers": 33, "access-control-allow-methods": 76, "access-control-allow-origin": 35,
	"access-control-expose-headers": 79, "access-control-request-headers": 80, "access-control-request-method": 81, "age": 2,
	"alt-svc": 83, "authorization": 84, "cache-control": 36, "content-disposition": 3, "content-encoding": 42, "content-length": 4,
	"content-security-policy": 85, "content-type": 44, "cookie": 5, "date": 6, "early-data": 86, "etag": 7, "expect-ct": 87,
	"forwarded": 88, "if-modified-since": 8, "if-none-match": 9, "if-range": 89, "last-modified": 10, "link": 11, "location": 12,
	"origin": 90, "purpose": 91, "range": 55, "referer": 13, "server": 92, "set-cookie": 14, "strict-transport-security": 56,
	"timing-allow-origin": 93, "upgrade-insecure-requests": 94, "user-agent": 95, "vary": 59, "x-content-type-options": 61,
	"x-forwarded-for": 96, "x-frame-options": 97, "x-xss-protection": 62,
}

// staticStatus is the index of a :status with that value, or -1.
func staticStatus(status int) int {
	switch status {
	case 100:
		return 63
	case 103:
		return 24
	case 200:
		return 25
	case 204:
		return 64
	case 206:
		return 65
	case 302:
		return 66
	case 304:
		return 26
	case 400:
		return 67
	case 403:
		return 68
	case 404:
		return 27
	case 421:
		return 69
	case 425:
		return 70
	case 500:
		return 71
	case 503:
		return 28
	}
	return -1
}
