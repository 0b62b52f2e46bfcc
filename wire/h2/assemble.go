// Requests of HTTP/3: the rules for their fields are those of HTTP/2 (RFC 9114 section 4.3), so one implementation serves both.

package h2

import (
	"github.com/wicketgate/wicketgate/message"
	"github.com/wicketgate/wicketgate/wire"
)

// RequestAssembler makes a message.Head from fields that another wire has decoded. It belongs to one goroutine.
type RequestAssembler struct {
	p       requestParts
	head    *message.Head
	cookies []byte
}

// Begin prepares for a request, which goes into h. What Add is given must stay valid and unchanged as long as h is used.
func (r *RequestAssembler) Begin(h *message.Head) {
	h.Reset()
	r.p = requestParts{length: message.LengthNone}
	r.head, r.cookies = h, r.cookies[:0]
}

// Add takes the next field. It returns what makes the request malformed, or "".
func (r *RequestAssembler) Add(name, value []byte) (why string) {
	if len(name) > 0 && name[0] == ':' {
		return r.p.pseudo(name, value)
	}
	if why = r.p.field(r.head, name, value); why != "" || special(name) != fieldCookie {
		return why
	}
	if r.p.cookies > 1 { // section 4.2.1: crumbs are one field for whoever does not speak HTTP/3
		if r.p.cookies == 2 {
			r.cookies = append(r.cookies, r.head.Fields.At(r.p.cookie).Value...)
		}
		r.cookies = append(append(r.cookies, "; "...), value...)
		r.head.Fields.SetAt(r.p.cookie, r.cookies)
	}
	return ""
}

// End completes the request. end says that no content follows. It returns what makes the request malformed, or a *wire.ParseError for
// what gets an answer of its own.
func (r *RequestAssembler) End(end bool, lim *wire.Limits) (why string, err error) {
	if why = r.p.complete(); why != "" {
		return why, nil
	}
	if end && r.p.length > 0 {
		return "content-length announces content that does not come", nil
	}
	return "", r.p.fill(r.head, end, lim)
}

// AddTrailer adds a trailer field, unless it means something to a connection alone, or says what is wrong with it. What may not come in trailers
// is for wire.DropForbiddenTrailers to remove.
func AddTrailer(fields *message.Fields, name, value []byte) string {
	if len(name) > 0 && name[0] == ':' {
		return "pseudo-field in trailers"
	}
	why := checkField(name, value)
	if why == "" && special(name) == fieldPlain {
		fields.Add(name, value)
	}
	return why
}
