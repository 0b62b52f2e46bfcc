// Package h2 carries HTTP/2 (RFC 9113) over connections. It sits beside package wire, whose model it shares: a Handler of wire serves requests
// of either version without knowing which.
//
//	frame.go, settings.go   frames in byte slices: nobody needs a reader or writer goroutine to take one apart or make one
//	block.go, encode.go     field blocks: HPACK, HEADERS and CONTINUATION, and the limits on them
//	request.go, response.go, fields.go   what section 8 of RFC 9113 asks of a message, to and from message.Head
//	window.go               flow control
//	errors.go               errors of a connection and of a stream
//
// Frames are taken from what one read brought, and leave together in one write: system calls are most of what a proxy costs.
package h2

// Preface is what a client's connection begins with (RFC 9113 section 3.4).
const Preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

// The values that hold while the peer has said nothing else (RFC 9113 sections 6.5.2 and 6.9.2).
const (
	DefaultFrameSize  = 16 << 10 // payload of a frame at most
	DefaultWindow     = 65535    // of a stream, and of the connection
	DefaultHeaderSize = 4 << 10  // of HPACK's dynamic table
	MaxWindow         = 1<<31 - 1
)
