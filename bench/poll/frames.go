//go:build linux

// As much of HTTP/2's framing (RFC 9113 section 4.1) as the two ends of a benchmark need.

package poll

import "encoding/binary"

// The frame types and flags that are told apart.
const (
	Data, Headers, Reset, Settings, Ping, GoAway, WindowUpdate = 0, 1, 3, 4, 6, 7, 8

	EndStream, Ack, EndHeaders = 1, 1, 4
)

// Preface is what a client of HTTP/2 sends first.
const Preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

// Frame is one frame. Its payload is part of the bytes it was read from.
type Frame struct {
	Type, Flags byte
	Stream      uint32
	Payload     []byte
}

// NextFrame reads the frame at the beginning of p and says how long it is; 0 means that it is not there as a whole yet.
func NextFrame(p []byte) (Frame, int) {
	if len(p) < 9 {
		return Frame{}, 0
	}
	n := 9 + int(p[0])<<16 + int(p[1])<<8 + int(p[2])
	if len(p) < n {
		return Frame{}, 0
	}
	return Frame{Type: p[3], Flags: p[4], Stream: binary.BigEndian.Uint32(p[5:]) & (1<<31 - 1), Payload: p[9:n]}, n
}

// AppendFrame appends a frame.
func AppendFrame(b []byte, f Frame) []byte {
	n := len(f.Payload)
	b = append(b, byte(n>>16), byte(n>>8), byte(n), f.Type, f.Flags)
	b = binary.BigEndian.AppendUint32(b, f.Stream)
	return append(b, f.Payload...)
}

// AppendWindow appends a WINDOW_UPDATE.
func AppendWindow(b []byte, stream, n uint32) []byte {
	return AppendFrame(b, Frame{Type: WindowUpdate, Stream: stream, Payload: binary.BigEndian.AppendUint32(nil, n)})
}

// AppendSetting appends a SETTINGS frame with one setting.
func AppendSetting(b []byte, id uint16, value uint32) []byte {
	p := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint16(nil, id), value)
	return AppendFrame(b, Frame{Type: Settings, Payload: p})
}

// InitialWindow is the SETTINGS parameter of that name.
const InitialWindow uint16 = 4

// ReadSetting finds a parameter in the payload of a SETTINGS frame.
func ReadSetting(p []byte, id uint16) (uint32, bool) {
	for ; len(p) >= 6; p = p[6:] {
		if binary.BigEndian.Uint16(p) == id {
			return binary.BigEndian.Uint32(p[2:]), true
		}
	}
	return 0, false
}

// AppendField appends a field in HPACK (RFC 7541 section 6.2.2), literally and without indexing, so that there is no state to keep. Names and
// values are shorter than 127 bytes.
func AppendField(b []byte, name, value string) []byte {
	b = append(b, 0, byte(len(name)))
	b = append(append(b, name...), byte(len(value)))
	return append(b, value...)
}
