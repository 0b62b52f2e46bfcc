// The RequestRedirect filter.

package proxy

import (
	"strconv"
	"strings"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// redirect answers requests with a Location.
type redirect struct {
	status   int
	scheme   string // "": the request's
	hostname []byte // nil: the request's
	path     *pathModifier
	port     int32 // 0: derived, see portFor
}

// compileRedirect makes a redirect of a filter. An unknown scheme cannot be admitted, so no case is made of it.
func compileRedirect(f *gatewayv1.HTTPRequestRedirectFilter) (*redirect, error) {
	path, err := compilePathModifier(f.Path)
	if err != nil {
		return nil, err
	}
	r := &redirect{status: statusFound, path: path}
	if f.StatusCode != nil {
		r.status = *f.StatusCode
	}
	if f.Scheme != nil {
		r.scheme = strings.ToLower(*f.Scheme)
	}
	if f.Hostname != nil && *f.Hostname != "" {
		r.hostname = []byte(*f.Hostname)
	}
	if f.Port != nil {
		r.port = *f.Port
	}
	return r, nil
}

// portFor is the port of the Location, 0 if it is the scheme's own and so left out. Without a port in the filter it is the well-known
// port of the filter's scheme, or, where the filter has no scheme, the listener's port.
func (r *redirect) portFor(scheme string, listenerPort int32) int32 {
	port := r.port
	if port == 0 {
		if r.scheme != "" {
			return 0 // http and https are the only schemes, and both have a port of their own
		}
		port = listenerPort
	}
	if scheme == "http" && port == 80 || scheme == "https" && port == 443 {
		return 0
	}
	return port
}

// target is what a Location is made of besides the filter.
type target struct {
	scheme       string // the request's
	host         []byte // the request's, without port
	listenerPort int32
	path, query  []byte
	hasQuery     bool
	prefixLen    int // see pathModifier.appendPath
}

// appendLocation appends the Location to dst. The query is always kept.
func (r *redirect) appendLocation(dst []byte, t *target) []byte {
	scheme, host := r.scheme, r.hostname
	if scheme == "" {
		scheme = t.scheme
	}
	if host == nil {
		host = t.host
	}
	dst = append(dst, scheme...)
	dst = append(dst, "://"...)
	dst = append(dst, host...)
	if port := r.portFor(scheme, t.listenerPort); port != 0 {
		dst = append(dst, ':')
		dst = strconv.AppendInt(dst, int64(port), 10)
	}
	if r.path == nil {
		dst = append(dst, t.path...)
	} else {
		dst = r.path.appendPath(dst, t.path, t.prefixLen)
	}
	if t.hasQuery {
		dst = append(dst, '?')
		dst = append(dst, t.query...)
	}
	return dst
}
