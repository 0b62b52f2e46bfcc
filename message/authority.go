// The authority of a request (RFC 9110 section 7.2, RFC 3986 section 3.2): host and port, without user information.

package message

import (
	"bytes"
	"net/netip"
)

// maxHost is the longest host: what DNS can name, with room for a trailing dot.
const maxHost = 255

// SplitAuthority splits an authority into host and port (empty if there is none), and reports whether it is valid. An IPv6 address
// keeps its brackets in host. What different recipients would read differently is not valid: user information, escapes, zones,
// and the sub-delimiters that RFC 3986 allows in a name but DNS does not have. It allocates for IPv6 addresses only.
func SplitAuthority(authority []byte) (host, port []byte, ok bool) {
	if len(authority) > 0 && authority[0] == '[' {
		end := bytes.IndexByte(authority, ']')
		if end < 0 || !validIPv6(authority[1:end]) {
			return nil, nil, false
		}
		host, port = authority[:end+1], authority[end+1:]
		if len(port) > 0 {
			if port[0] != ':' {
				return nil, nil, false
			}
			port = port[1:]
		}
		return host, port, validPort(port)
	}
	host = authority
	for i, c := range authority {
		if classes[c]&classUnreserved != 0 {
			continue
		}
		if c != ':' {
			return nil, nil, false
		}
		host, port = authority[:i], authority[i+1:]
		break
	}
	if len(host) == 0 || len(host) > maxHost {
		return nil, nil, false
	}
	return host, port, validPort(port)
}

// AppendHost appends an authority's host as routes compare it: lower case, without port and without the dot that ends an absolute name.
// The authority is valid.
func AppendHost(dst, authority []byte) []byte {
	host, _, _ := SplitAuthority(authority)
	if n := len(host); n > 1 && host[n-1] == '.' {
		host = host[:n-1]
	}
	return AppendLower(dst, host)
}

func validIPv6(b []byte) bool {
	if len(b) > len("ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255") {
		return false
	}
	a, err := netip.ParseAddr(string(b))
	return err == nil && a.Is6() && a.Zone() == ""
}

func validPort(port []byte) bool {
	if len(port) > 5 {
		return false
	}
	n := 0
	for _, c := range port {
		if c < '0' || c > '9' {
			return false
		}
		n = n*10 + int(c-'0')
	}
	return n <= 65535
}
