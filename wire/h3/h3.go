// Package h3 carries HTTP/3 (RFC 9114) towards clients, over the QUIC connections of quic-go.
//
// QUIC is the library's; everything above its streams is ours, so that an HTTP/3 request takes the same way, by the same rules, as one of
// HTTP/1 or HTTP/2: fields are checked by the code that checks those of HTTP/2, a request is a message.Head, and a handler gets a
// wire.Exchange.
//
//	server.go   UDP sockets, which handshakes are admitted, draining
//	conn.go     one connection: its control stream, its peer's streams, GOAWAY
//	stream.go   one request: reading its head, the Exchange
//	body.go     its content        respond.go  the response        tunnel.go  WebSockets (RFC 9220)
//	frame.go    frames             qpack.go    fields (RFC 9204)
//
// Fields are coded without QPACK's dynamic table, in both directions: what it saves in bytes costs head-of-line blocking, memory for each
// connection and an attack surface.
package h3

import (
	"fmt"

	"github.com/quic-go/quic-go"
)

// ErrCode is an error of HTTP/3 or QPACK (RFC 9114 section 8.1, RFC 9204 section 6).
type ErrCode uint64

// The error codes.
const (
	NoError              ErrCode = 0x100
	GeneralProtocolError ErrCode = 0x101
	InternalError        ErrCode = 0x102
	StreamCreationError  ErrCode = 0x103
	ClosedCriticalStream ErrCode = 0x104
	FrameUnexpected      ErrCode = 0x105
	FrameError           ErrCode = 0x106
	ExcessiveLoad        ErrCode = 0x107
	IDError              ErrCode = 0x108
	SettingsError        ErrCode = 0x109
	MissingSettings      ErrCode = 0x10a
	RequestRejected      ErrCode = 0x10b
	RequestCancelled     ErrCode = 0x10c
	RequestIncomplete    ErrCode = 0x10d
	MessageError         ErrCode = 0x10e
	DecompressionFailed  ErrCode = 0x200
	EncoderStreamError   ErrCode = 0x201
	DecoderStreamError   ErrCode = 0x202
)

// StreamError ends one stream.
type StreamError struct {
	Code ErrCode
	Why  string
}

func (e *StreamError) Error() string {
	return fmt.Sprintf("HTTP/3 stream error %#x: %s", uint64(e.Code), e.Why)
}

// ConnError ends a connection.
type ConnError struct {
	Code ErrCode
	Why  string
}

func (e *ConnError) Error() string {
	return fmt.Sprintf("HTTP/3 connection error %#x: %s", uint64(e.Code), e.Why)
}

// reset ends both directions of a stream.
func reset(s *quic.Stream, code ErrCode) {
	s.CancelRead(quic.StreamErrorCode(code))
	s.CancelWrite(quic.StreamErrorCode(code))
}
