// The CORS filter (GEP-1767; the words are those of the Fetch standard, section 3.3).
//
// Where a rule or backendRef has one, it alone decides what browsers may do across origins: Access-Control-* fields of the backend are
// removed. A preflight request (OPTIONS with Origin and Access-Control-Request-Method) is answered here and never reaches a backend; one
// from an origin that is not allowed is answered as well, without the fields, and so fails in the browser. Any other OPTIONS request is forwarded.
//
// A wildcard for methods or headers is answered with what the preflight asked for: that allows all of it with credentials, too, and
// the Authorization field, which browsers do not count to "*". A wildcard for exposed headers is sent as it is; with credentials, where browsers
// take it for a name, the names of the response's own fields are sent.
//
// The answer to an allowed origin differs from that to another one, so responses say Vary: Origin, also where the request had none. Only the
// wildcard without credentials is the same for all: it is sent to everybody, and nothing varies.

package proxy

import (
	"bytes"
	"strconv"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/wicketgate/wicketgate/gateway"
	"github.com/wicketgate/wicketgate/message"
)

// defaultMaxAge is maxAge where it is not set, in seconds; admission sets the same.
const defaultMaxAge = 5

var (
	nameAllowOrigin      = []byte("Access-Control-Allow-Origin")
	nameAllowCredentials = []byte("Access-Control-Allow-Credentials")
	nameAllowMethods     = []byte("Access-Control-Allow-Methods")
	nameAllowHeaders     = []byte("Access-Control-Allow-Headers")
	nameExposeHeaders    = []byte("Access-Control-Expose-Headers")
	nameMaxAge           = []byte("Access-Control-Max-Age")
	nameVary             = []byte("Vary")

	nameOrigin      = []byte("Origin")
	varyOnPreflight = []byte("Origin, Access-Control-Request-Method, Access-Control-Request-Headers")

	valueAny  = []byte("*")
	valueTrue = []byte("true")
)

// cors is a CORS filter, compiled. It is immutable.
type cors struct {
	anyOrigin   bool
	origins     []gateway.Origin
	credentials bool
	// methods, headers and exposed are lists as they are sent; empty: not sent. With the any flags they come from the request or response.
	methods, headers, exposed         []byte
	anyMethod, anyHeader, anyExposure bool
	maxAge                            []byte
}

func compileCORS(f *gatewayv1.HTTPCORSFilter) (*cors, error) {
	c := &cors{credentials: value(f.AllowCredentials)}
	for _, text := range f.AllowOrigins {
		o, err := gateway.ParseOrigin(string(text))
		if err != nil {
			return nil, err
		}
		c.anyOrigin = c.anyOrigin || o.Any
		c.origins = append(c.origins, o)
	}
	c.methods, c.anyMethod = joinList(f.AllowMethods)
	c.headers, c.anyHeader = joinList(f.AllowHeaders)
	c.exposed, c.anyExposure = joinList(f.ExposeHeaders)
	maxAge := int64(f.MaxAge)
	if maxAge == 0 {
		maxAge = defaultMaxAge
	}
	c.maxAge = strconv.AppendInt(nil, maxAge, 10)
	return c, nil
}

// joinList writes a list as a field's value, and says whether it has a wildcard.
func joinList[T ~string](list []T) (joined []byte, wildcard bool) {
	for _, item := range list {
		if item == "*" {
			return nil, true
		}
		if len(joined) > 0 {
			joined = append(joined, ", "...)
		}
		joined = append(joined, item...)
	}
	return joined, false
}

// static says that the answer is the same whatever the request's origin.
func (p *cors) static() bool { return p.anyOrigin && !p.credentials }

// allow returns the value of Access-Control-Allow-Origin for a request, or nil if its origin is not allowed or not a single one.
func (p *cors) allow(fields *message.Fields) []byte {
	if p.static() {
		return valueAny
	}
	var origin []byte
	for i := range fields.Len() {
		if f := fields.At(i); message.EqualFold(f.Name, nameOrigin) {
			if origin != nil {
				return nil
			}
			origin = f.Value
		}
	}
	if len(origin) == 0 || bytes.ContainsAny(origin, " ,\t") {
		return nil
	}
	if p.anyOrigin || p.matches(origin) {
		return origin
	}
	return nil
}

// matches compares the origin of a request with those that are named.
func (p *cors) matches(origin []byte) bool {
	scheme, rest, _ := bytes.Cut(origin, []byte("://"))
	host, digits, hasPort := bytes.Cut(rest, []byte{':'})
	port := uint16(80)
	if message.Equal(scheme, "https") {
		port = 443
	}
	if hasPort {
		n, err := strconv.ParseUint(string(digits), 10, 16)
		if err != nil {
			return false
		}
		port = uint16(n)
	}
	if len(host) == 0 || host[0] == '.' {
		return false
	}
	for i := range p.origins {
		o := &p.origins[i]
		if o.Port != port || !message.Equal(scheme, o.Scheme) {
			continue
		}
		tail := host
		if o.Wildcard {
			if len(host) <= len(o.Host) {
				continue
			}
			tail = host[len(host)-len(o.Host):]
		}
		if message.Equal(tail, o.Host) {
			return true
		}
	}
	return false
}

// crossOrigin puts a CORS filter in force for the rest of the request, before other filters change the request, and reports whether the request
// is a preflight request.
func (c *call) crossOrigin(p *cors) (preflight bool) {
	fields := &c.req.Fields
	c.cors, c.allowed = p, p.allow(fields)
	return string(c.req.Method) == "OPTIONS" && fields.Has("origin") && fields.Has("access-control-request-method")
}

// preflight answers a preflight request and returns the status.
func (c *call) preflight() int {
	p, in := c.cors, &c.req.Fields
	c.own.Reset()
	c.own.Status = statusNoContent
	out := &c.own.Fields
	if c.allowed != nil {
		method := in.Get("access-control-request-method")
		headers, _ := in.Combined("access-control-request-headers", c.listed)
		out.Add(nameAllowOrigin, c.allowed)
		if p.credentials {
			out.Add(nameAllowCredentials, valueTrue)
		}
		if !p.anyMethod {
			method = p.methods
		} else if !message.ValidFieldName(method) { // a method is a token, as a name is
			method = nil
		}
		if !p.anyHeader {
			headers = p.headers
		} else if !isTokenList(headers) {
			headers = nil
		}
		addFilled(out, nameAllowMethods, method)
		addFilled(out, nameAllowHeaders, headers)
		addFilled(out, nameExposeHeaders, p.exposed)
		if p.anyExposure && !p.credentials {
			out.Add(nameExposeHeaders, valueAny)
		}
		out.Add(nameMaxAge, p.maxAge)
	}
	switch {
	case p.anyMethod || p.anyHeader:
		out.Add(nameVary, varyOnPreflight)
	case !p.static():
		out.Add(nameVary, nameOrigin)
	}
	return c.respond(&c.own, nil)
}

func addFilled(out *message.Fields, name, value []byte) {
	if len(value) > 0 {
		out.Add(name, value)
	}
}

// isTokenList reports whether a value is a comma-separated list of tokens (RFC 9110 section 5.6.1): such may be sent back.
func isTokenList(list []byte) bool {
	for more := len(list) > 0; more; {
		var item []byte
		item, list, more = bytes.Cut(list, []byte{','})
		if item = message.TrimSpace(item); len(item) > 0 && !message.ValidFieldName(item) {
			return false
		}
	}
	return true
}

// permit makes the CORS fields of a response (not of a preflight's) what the filter in force says, if there is one.
func (c *call) permit(h *message.Head) {
	p := c.cors
	if p == nil {
		return
	}
	h.Fields.Filter(func(f message.Field) bool { return !isAccessControl(f.Name) })
	if !p.static() && !varies(&h.Fields) {
		h.Fields.Add(nameVary, nameOrigin)
	}
	if c.allowed == nil {
		return
	}
	exposed := p.exposed
	if p.anyExposure {
		exposed = valueAny
		if p.credentials {
			c.listed = appendNames(c.listed[:0], &h.Fields)
			exposed = c.listed
		}
	}
	h.Fields.Add(nameAllowOrigin, c.allowed)
	if p.credentials {
		h.Fields.Add(nameAllowCredentials, valueTrue)
	}
	addFilled(&h.Fields, nameExposeHeaders, exposed)
}

// isAccessControl reports whether a field is one of CORS.
func isAccessControl(name []byte) bool {
	const prefix = "access-control-"
	return len(name) > len(prefix) && message.Equal(name[:len(prefix)], prefix)
}

// varies reports whether a response says already that it depends on the request's Origin.
func varies(fields *message.Fields) bool {
	for i := range fields.Len() {
		if f := fields.At(i); message.EqualFold(f.Name, nameVary) && (message.HasToken(f.Value, "origin") || message.HasToken(f.Value, "*")) {
			return true
		}
	}
	return false
}

// appendNames appends a list of the names of a response's fields. Set-Cookie is never shown to scripts.
func appendNames(dst []byte, fields *message.Fields) []byte {
	for i := range fields.Len() {
		name := fields.At(i).Name
		if message.Equal(name, "set-cookie") {
			continue
		}
		if len(dst) > 0 {
			dst = append(dst, ", "...)
		}
		dst = append(dst, name...)
	}
	return dst
}
