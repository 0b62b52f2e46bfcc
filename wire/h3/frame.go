// Frames (RFC 9114 section 7): a type, a length, both of variable length, and the payload.

package h3

import (
	"encoding/binary"
	"errors"
	"io"

	"github.com/quic-go/quic-go/quicvarint"
)

// Types of frames.
const (
	frameData        = 0x0
	frameHeaders     = 0x1
	frameCancelPush  = 0x3
	frameSettings    = 0x4
	framePushPromise = 0x5
	frameGoAway      = 0x7
	frameMaxPushID   = 0xd
)

// Types of unidirectional streams (RFC 9114 section 6.2, RFC 9204 section 4.2).
const (
	streamControl = 0x0
	streamPush    = 0x1
	streamEncoder = 0x2
	streamDecoder = 0x3
)

// Settings (RFC 9114 section 7.2.4.1, RFC 9220 section 5).
const (
	settingMaxFieldSection = 0x6
	settingConnectProtocol = 0x8
)

// reserved says that a type of HTTP/2 has no counterpart here and must not come (section 7.2.8).
func reservedFrame(typ uint64) bool { return typ == 0x2 || typ == 0x6 || typ == 0x8 || typ == 0x9 }

// frameHead is how many bytes appendFrameHead and finishFrame take.
const frameHead = 5

// appendFrameRoom leaves room for the head of a frame; finishFrame fills it in once the length is known. A length of 4 bytes always is
// allowed (RFC 9000 section 16).
func appendFrameRoom(dst []byte) []byte { return append(dst, 0, 0, 0, 0, 0) }

func finishFrame(dst []byte, start int, typ byte) []byte {
	dst[start] = typ
	binary.BigEndian.PutUint32(dst[start+1:], 0x8000_0000|uint32(len(dst)-start-frameHead))
	return dst
}

// appendFrameHead appends the head of a frame whose payload of n bytes follows.
func appendFrameHead(dst []byte, typ byte, n int) []byte {
	start := len(dst)
	dst = append(dst, typ, 0, 0, 0, 0)
	binary.BigEndian.PutUint32(dst[start+1:], 0x8000_0000|uint32(n))
	return dst
}

// errTruncated: the stream ended in the middle of a frame.
var errTruncated = &ConnError{FrameError, "stream ends within a frame"}

// reader reads frames from a stream through a buffer that it does not own.
type reader struct {
	src  io.Reader
	buf  []byte
	r, w int
	eof  bool
	left uint64 // payload of the present frame not consumed yet
}

// fill reads more, behind what is buffered. It returns io.EOF if nothing more comes.
func (r *reader) fill() error {
	if r.eof {
		return io.EOF
	}
	if r.r == r.w {
		r.r, r.w = 0, 0
	} else if r.w == len(r.buf) {
		r.w = copy(r.buf, r.buf[r.r:r.w])
		r.r = 0
	}
	n, err := r.src.Read(r.buf[r.w:])
	r.w += n
	if errors.Is(err, io.EOF) {
		r.eof = true
		if n > 0 {
			err = nil
		}
	}
	return err
}

// ended reports whether the stream has ended and everything was consumed. It never blocks.
func (r *reader) ended() bool { return r.eof && r.r == r.w && r.left == 0 }

// varint reads an integer of variable length. io.EOF: the stream ended before its first byte.
func (r *reader) varint() (uint64, error) {
	for {
		if v, n, err := quicvarint.Parse(r.buf[r.r:r.w]); err == nil {
			r.r += n
			return v, nil
		}
		started := r.r < r.w
		if err := r.fill(); err != nil {
			if started && errors.Is(err, io.EOF) {
				err = errTruncated
			}
			return 0, err
		}
	}
}

// next reads the head of the next frame, whose payload is then r.left bytes. The payload of the frame before it was consumed. io.EOF: the
// stream ended between two frames.
func (r *reader) next() (typ uint64, err error) {
	if typ, err = r.varint(); err != nil {
		return 0, err
	}
	if r.left, err = r.varint(); errors.Is(err, io.EOF) {
		err = errTruncated
	}
	return typ, err
}

// ahead looks for the head of a DATA frame with content that is in hand whole, without consuming it: its length, or 0, and that of the content.
func (r *reader) ahead() (head int, left uint64) {
	p := r.buf[r.r:r.w]
	typ, n, err := quicvarint.Parse(p)
	if err != nil || typ != frameData {
		return 0, 0
	}
	left, m, err := quicvarint.Parse(p[n:])
	if err != nil || left == 0 {
		return 0, 0
	}
	return n + m, left
}

// piece returns bytes of the payload, those in hand or else what comes next. They are valid until the next call.
func (r *reader) piece() ([]byte, error) {
	for r.r == r.w {
		if err := r.fill(); err != nil {
			if errors.Is(err, io.EOF) {
				err = errTruncated
			}
			return nil, err
		}
	}
	return r.take(), nil
}

// take consumes what of the payload is in hand.
func (r *reader) take() []byte {
	n := int(min(r.left, uint64(r.w-r.r)))
	p := r.buf[r.r : r.r+n]
	r.r += n
	r.left -= uint64(n)
	return p
}

// payload appends the whole payload to dst.
func (r *reader) payload(dst []byte) ([]byte, error) {
	for r.left > 0 {
		p, err := r.piece()
		if err != nil {
			return dst, err
		}
		dst = append(dst, p...)
	}
	return dst, nil
}

// skip drops the payload.
func (r *reader) skip() error {
	for r.left > 0 {
		if _, err := r.piece(); err != nil {
			return err
		}
	}
	return nil
}
