// Package message is the one model of an HTTP message that all wires (HTTP/1.1, HTTP/2, HTTP/3) share with the router, the
// filters and the proxy, so that each of those is written once.
//
// It is a leaf: it imports nothing else of this project. Everything here is bytes lent by the wire that read them: a Head
// and what it points to are valid until the exchange that owns it is finished, and belong to one goroutine.
package message

// Head is a request's or a response's head.
//
// Fields never holds the fields that frame a message or speak of one hop: the wire that parsed it has removed Connection, every field
// that Connection named, Keep-Alive, Proxy-Connection, TE, Transfer-Encoding, Upgrade, HTTP2-Settings and
// Content-Length, and has put what they meant into Length, Upgrade and Trailers. The wire that sends a Head adds what
// its protocol needs. (RFC 9110 section 7.6.1; RFC 9112 sections 6 and 9; RFC 9113 section 8.2.2.)
type Head struct {
	// Method, Scheme ("http", "https"), Authority (host, with the port if one was given) and Target are a request's. Target is the
	// request target in origin form as it was received: path, and query with its '?'. For CONNECT it is empty; for OPTIONS * it is "*".
	Method, Scheme, Authority, Target []byte
	// Path and Query are the normalised path and the query without its '?', set by NormalizeTarget. What is matched is what is
	// forwarded: a wire that sends a request writes Path, and '?' and Query if HasQuery.
	Path, Query []byte
	HasQuery    bool
	// Status and Reason are a response's. A wire without reason phrases ignores Reason.
	Status int
	Reason []byte
	// Fields are the header fields, in order.
	Fields Fields
	// Length is the body's length in bytes where it is known, or one of the constants below.
	Length int64
	// Minor is the minor version of HTTP/1 that the message came with (0 or 1); other wires set 1.
	Minor int
	// Upgrade is the protocol that the message asks for or, with status 101, switches to: only "websocket" gets this far.
	Upgrade []byte
	// Trailers says that the client announced that it accepts trailers (TE: trailers).
	Trailers bool
	// ExpectContinue says that a request's sender waits for 100 (Continue) before it sends the body.
	ExpectContinue bool
}

// Values of Head.Length for bodies whose length is not known from the head.
const (
	// LengthNone: the message has no body and no Content-Length.
	LengthNone int64 = -1
	// LengthUnknown: a body of unknown length follows (chunked; a stream without content-length; until close in a response).
	LengthUnknown int64 = -2
)

// Reset empties the head for reuse and keeps the memory of its fields.
func (h *Head) Reset() {
	f := h.Fields
	f.Reset()
	*h = Head{Fields: f, Length: LengthNone, Minor: 1}
}

// CopyTo makes another head say the same, with all that it points to in memory of its own, which is as large as it needs to be. to may be h itself.
func (h *Head) CopyTo(to *Head) {
	if to != h {
		fields := to.Fields
		fields.Reset()
		fields.list = append(fields.list, h.Fields.list...)
		*to = *h
		to.Fields = fields
	}
	pieces := [...]*[]byte{&to.Method, &to.Scheme, &to.Authority, &to.Target, &to.Path, &to.Query, &to.Reason, &to.Upgrade}
	size := 0
	for _, p := range pieces {
		size += len(*p)
	}
	for _, f := range to.Fields.list {
		size += len(f.Name) + len(f.Value)
	}
	memory := make([]byte, 0, size)
	own := func(p []byte) []byte {
		if p == nil {
			return nil
		}
		at := len(memory)
		memory = append(memory, p...)
		return memory[at:len(memory):len(memory)]
	}
	for _, p := range pieces {
		*p = own(*p)
	}
	for i, f := range to.Fields.list {
		to.Fields.list[i] = Field{own(f.Name), own(f.Value)}
	}
}

// Reason says why a body is not wanted any more or why an exchange is ended early.
type Reason uint8

const (
	// Drain: the message was answered; read and drop a little of the rest so that the connection can be kept.
	Drain Reason = iota
	// Reset: the rest is of no use; reset the stream or close the connection.
	Reset
	// ClientGone: the client has left.
	ClientGone
	// Timeout: a timeout of ours ran out.
	Timeout
	// BackendFailed: the backend broke off after its head was forwarded.
	BackendFailed
	// Shutdown: the process or the listener ends.
	Shutdown
)

// Body is a message's content, read by one goroutine (not always the one that has its Exchange: an upload goes on while the response is
// written), pulled by whoever consumes it: nothing is read from the peer before it is asked
// for, so back-pressure is kept end to end. A nil Body is an empty one.
type Body interface {
	// InHand returns what has already been received and not yet consumed, without blocking, and whether that is all there will be
	// (then Trailers are known, too). It consumes nothing. The bytes are valid until the next call of Next or Stop.
	InHand() (p []byte, all bool)
	// Next returns the next bytes, first those in hand, and io.EOF after the last (never bytes and an error together). The bytes are lent until the next
	// call. The first call sends 100 (Continue) where the peer waits for it. Any error but io.EOF means that the body is incomplete: what was made
	// from it must be aborted, never ended cleanly.
	Next() ([]byte, error)
	// Trailers returns the trailer fields after io.EOF, or nil if there were none.
	Trailers() *Fields
	// Stop says that nothing more will be read. It is the one method that may be called while another goroutine is in Next: that then
	// returns, with an error unless it had bytes already.
	Stop(Reason)
}
