// Errors of HTTP/2: those that end a connection, those that end a stream.

package h2

import "fmt"

// ErrCode says in GOAWAY and RST_STREAM why something ended (RFC 9113 section 7).
type ErrCode uint32

// The codes.
const (
	NoError            ErrCode = 0x0
	ProtocolError      ErrCode = 0x1
	InternalError      ErrCode = 0x2
	FlowControlError   ErrCode = 0x3
	SettingsTimeout    ErrCode = 0x4
	StreamClosed       ErrCode = 0x5
	FrameSizeError     ErrCode = 0x6
	RefusedStream      ErrCode = 0x7
	Cancel             ErrCode = 0x8
	CompressionError   ErrCode = 0x9
	ConnectError       ErrCode = 0xa
	EnhanceYourCalm    ErrCode = 0xb
	InadequateSecurity ErrCode = 0xc
	HTTP11Required     ErrCode = 0xd
)

var codeNames = [...]string{
	"NO_ERROR", "PROTOCOL_ERROR", "INTERNAL_ERROR", "FLOW_CONTROL_ERROR", "SETTINGS_TIMEOUT", "STREAM_CLOSED", "FRAME_SIZE_ERROR", "REFUSED_STREAM",
	"CANCEL", "COMPRESSION_ERROR", "CONNECT_ERROR", "ENHANCE_YOUR_CALM", "INADEQUATE_SECURITY", "HTTP_1_1_REQUIRED",
}

func (c ErrCode) String() string {
	if int(c) < len(codeNames) {
		return codeNames[c]
	}
	return fmt.Sprintf("error code 0x%x", uint32(c))
}

// ConnError ends a connection (RFC 9113 section 5.4.1).
type ConnError struct {
	Code ErrCode
	Why  string
}

func (e *ConnError) Error() string { return e.Code.String() + ": " + e.Why }

// StreamError ends a stream (RFC 9113 section 5.4.2); the connection goes on.
type StreamError struct {
	Stream uint32
	Code   ErrCode
	Why    string
}

func (e *StreamError) Error() string {
	return fmt.Sprintf("stream %d: %s: %s", e.Stream, e.Code, e.Why)
}

// malformed is the error of a message that breaks the rules of section 8 (RFC 9113 section 8.1.1): the stream is reset.
func malformed(stream uint32, why string) *StreamError {
	return &StreamError{Stream: stream, Code: ProtocolError, Why: why}
}

func protocolError(why string) *ConnError { return &ConnError{Code: ProtocolError, Why: why} }
