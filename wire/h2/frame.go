// Frames (RFC 9113 sections 4 and 6) in byte slices.

package h2

import "encoding/binary"

// FrameType is a frame's type.
type FrameType uint8

// The types. Others are to be ignored (RFC 9113 section 5.5); PriorityUpdate is RFC 9218's.
const (
	FrameData           FrameType = 0x0
	FrameHeaders        FrameType = 0x1
	FramePriority       FrameType = 0x2
	FrameResetStream    FrameType = 0x3
	FrameSettings       FrameType = 0x4
	FramePushPromise    FrameType = 0x5
	FramePing           FrameType = 0x6
	FrameGoAway         FrameType = 0x7
	FrameWindowUpdate   FrameType = 0x8
	FrameContinuation   FrameType = 0x9
	FramePriorityUpdate FrameType = 0x10
)

// Flags are a frame's flags.
type Flags uint8

// The flags. FlagAck is of SETTINGS and PING.
const (
	FlagEndStream  Flags = 0x1
	FlagAck        Flags = 0x1
	FlagEndHeaders Flags = 0x4
	FlagPadded     Flags = 0x8
	FlagPriority   Flags = 0x20
)

// FrameHead is the size of what precedes a frame's payload.
const FrameHead = 9

// Frame is one frame. Payload points into the buffer that it was parsed from.
type Frame struct {
	Type    FrameType
	Flags   Flags
	Stream  uint32
	Payload []byte
}

// Has reports whether a flag is set.
func (f Frame) Has(flag Flags) bool { return f.Flags&flag != 0 }

// ParseFrame returns the frame that buf begins with and how many bytes it takes; 0 if it is not complete yet. A frame whose payload is
// larger than size is refused as soon as its head is there. What only the frame itself shows is checked: sizes, padding, and whether its type
// belongs to a stream or to the connection. Padding is removed from DATA and HEADERS, the priority fields from HEADERS. What is
// wrong with a PRIORITY frame is a *StreamError beside the frame, all other errors are a *ConnError.
func ParseFrame(buf []byte, size int) (f Frame, n int, err error) {
	if len(buf) < FrameHead {
		return f, 0, nil
	}
	length := int(buf[0])<<16 | int(buf[1])<<8 | int(buf[2])
	f = Frame{Type: FrameType(buf[3]), Flags: Flags(buf[4]), Stream: binary.BigEndian.Uint32(buf[5:]) & (1<<31 - 1)}
	if length > size {
		return f, 0, &ConnError{FrameSizeError, "frame is larger than SETTINGS_MAX_FRAME_SIZE"}
	}
	if len(buf) < FrameHead+length {
		return f, 0, nil
	}
	f.Payload = buf[FrameHead : FrameHead+length : FrameHead+length]
	return f, FrameHead + length, f.check()
}

// check does what ParseFrame says of a complete frame.
func (f *Frame) check() error {
	if err := f.checkStream(); err != nil {
		return err
	}
	return f.checkPayload()
}

func (f *Frame) checkStream() error {
	switch f.Type {
	case FrameData, FrameHeaders, FramePriority, FrameResetStream, FrameContinuation, FramePushPromise:
		if f.Stream == 0 {
			return protocolError("frame of a stream on stream 0")
		}
	case FrameSettings, FramePing, FrameGoAway, FramePriorityUpdate:
		if f.Stream != 0 {
			return protocolError("frame of the connection on a stream")
		}
	}
	return nil
}

func (f *Frame) checkPayload() error {
	switch f.Type {
	case FrameData:
		return f.unpad()
	case FrameHeaders:
		if err := f.unpad(); err != nil {
			return err
		}
		return f.dropPriority()
	case FramePriority:
		return f.checkPriority()
	case FrameResetStream, FrameWindowUpdate:
		return f.mustBe(4)
	case FramePing:
		return f.mustBe(8)
	case FrameGoAway:
		if len(f.Payload) < 8 {
			return f.mustBe(8)
		}
	case FrameSettings:
		if len(f.Payload)%settingSize != 0 || f.Has(FlagAck) && len(f.Payload) > 0 {
			return &ConnError{FrameSizeError, "SETTINGS has a wrong size"}
		}
	}
	return nil
}

func (f *Frame) mustBe(size int) error {
	if len(f.Payload) != size {
		return &ConnError{FrameSizeError, "frame has a wrong size"}
	}
	return nil
}

func (f *Frame) unpad() error {
	if !f.Has(FlagPadded) {
		return nil
	}
	if len(f.Payload) == 0 {
		return &ConnError{FrameSizeError, "padded frame has no room for its padding's length"}
	}
	padding := int(f.Payload[0])
	if padding >= len(f.Payload) {
		return protocolError("padding is as long as the frame")
	}
	f.Payload = f.Payload[1 : len(f.Payload)-padding]
	return nil
}

// prioritySize is how long the priority fields are: deprecated, and ignored but for what RFC 7540 called an error.
const prioritySize = 5

func (f *Frame) dropPriority() error {
	if !f.Has(FlagPriority) {
		return nil
	}
	if len(f.Payload) < prioritySize {
		return &ConnError{FrameSizeError, "HEADERS has no room for its priority"}
	}
	if f.dependsOnItself() {
		return protocolError("stream depends on itself")
	}
	f.Payload = f.Payload[prioritySize:]
	return nil
}

func (f *Frame) checkPriority() error {
	if len(f.Payload) != prioritySize {
		return &StreamError{f.Stream, FrameSizeError, "PRIORITY has a wrong size"}
	}
	if f.dependsOnItself() {
		return malformed(f.Stream, "stream depends on itself")
	}
	return nil
}

func (f *Frame) dependsOnItself() bool {
	return binary.BigEndian.Uint32(f.Payload)&(1<<31-1) == f.Stream
}

// Uint32 is the payload of RST_STREAM (an ErrCode) and of WINDOW_UPDATE (an increment, 0 being an error that the receiver finds), and what that of
// GOAWAY begins with (the last stream).
func (f Frame) Uint32() uint32 {
	n := binary.BigEndian.Uint32(f.Payload)
	if f.Type != FrameResetStream {
		n &= 1<<31 - 1
	}
	return n
}

// GoAway takes the payload of a GOAWAY frame apart.
func (f Frame) GoAway() (last uint32, code ErrCode, debug []byte) {
	return f.Uint32(), ErrCode(binary.BigEndian.Uint32(f.Payload[4:])), f.Payload[8:]
}

// AppendFrameHead appends what precedes a payload of length bytes.
func AppendFrameHead(dst []byte, length int, t FrameType, flags Flags, stream uint32) []byte {
	return append(dst, byte(length>>16), byte(length>>8), byte(length), byte(t), byte(flags),
		byte(stream>>24), byte(stream>>16), byte(stream>>8), byte(stream))
}

// AppendData appends a DATA frame. p is no longer than the peer's frame size.
func AppendData(dst []byte, stream uint32, p []byte, end bool) []byte {
	flags := Flags(0)
	if end {
		flags = FlagEndStream
	}
	return append(AppendFrameHead(dst, len(p), FrameData, flags, stream), p...)
}

// AppendResetStream appends a RST_STREAM frame.
func AppendResetStream(dst []byte, stream uint32, code ErrCode) []byte {
	return binary.BigEndian.AppendUint32(AppendFrameHead(dst, 4, FrameResetStream, 0, stream), uint32(code))
}

// AppendWindowUpdate appends a WINDOW_UPDATE frame.
func AppendWindowUpdate(dst []byte, stream, increment uint32) []byte {
	return binary.BigEndian.AppendUint32(AppendFrameHead(dst, 4, FrameWindowUpdate, 0, stream), increment)
}

// AppendPing appends a PING frame.
func AppendPing(dst []byte, ack bool, data [8]byte) []byte {
	flags := Flags(0)
	if ack {
		flags = FlagAck
	}
	return append(AppendFrameHead(dst, 8, FramePing, flags, 0), data[:]...)
}

// AppendGoAway appends a GOAWAY frame.
func AppendGoAway(dst []byte, last uint32, code ErrCode, debug string) []byte {
	dst = AppendFrameHead(dst, 8+len(debug), FrameGoAway, 0, 0)
	dst = binary.BigEndian.AppendUint32(dst, last)
	return append(binary.BigEndian.AppendUint32(dst, uint32(code)), debug...)
}
