// Field blocks as they arrive (RFC 9113 section 4.3, RFC 7541): HEADERS and its CONTINUATIONs, decoded piece by piece within limits.
//
// Every block must be decoded, even that of a stream which is refused, because the next one builds on HPACK's table. What is decoded is kept only up
// to the limits; the rest is looked at and dropped (a message that is too large then gets 431). What goes far beyond them ends the
// connection: a block of many times the limit, endless CONTINUATION frames.

package h2

import (
	"errors"

	"golang.org/x/net/http2/hpack"

	"github.com/wicketgate/wicketgate/message"
	"github.com/wicketgate/wicketgate/wire"
)

const (
	// maxContinuations is how many CONTINUATION frames a block may have.
	maxContinuations = 64
	// excess is how many times as large as its limit a block may be, encoded or decoded, before the connection is ended instead of the message
	// refused.
	excess = 4
	// fieldOverhead is what a field counts besides its name and value (RFC 9113 section 6.5.2).
	fieldOverhead = 32
)

// BlockReader decodes the field blocks that come on a connection, one after the other. It belongs to the goroutine that reads the connection.
//
// Names and values are collected in memory that changes hands with each message: Request, Response and Trailers give the caller that of
// the block, with which the Head is valid, and take in exchange what the caller had from an earlier one.
type BlockReader struct {
	hpack *hpack.Decoder
	lim   wire.Limits

	stream  uint32 // of the block that is being received; 0: none
	end     bool   // its HEADERS had END_STREAM
	frames  int
	encoded int
	size    int  // as SETTINGS_MAX_HEADER_LIST_SIZE counts
	crumbs  bool // a cookie was seen
	count   int  // fields but pseudo-fields, all cookies being one
	large   bool // a limit was exceeded

	memory []byte
	spans  []span
}

// span is a field in memory: name from at to value, value from there to end.
type span struct{ at, value, end int }

// NewBlockReader makes a reader. tableSize is what our settings allow the peer's HPACK table.
func NewBlockReader(lim *wire.Limits, tableSize uint32) *BlockReader {
	b := &BlockReader{lim: *lim}
	b.hpack = hpack.NewDecoder(tableSize, b.field)
	b.hpack.SetMaxStringLength(2 * lim.HeadBytes)
	return b
}

// Stream is the stream whose block is incomplete: nothing but its CONTINUATION may come. 0 if there is none.
func (b *BlockReader) Stream() uint32 { return b.stream }

// EndStream reports whether the HEADERS frame of the latest block had END_STREAM.
func (b *BlockReader) EndStream() bool { return b.end }

// Read takes a HEADERS or CONTINUATION frame that ParseFrame returned, and reports whether the block is complete. Any error is a *ConnError.
func (b *BlockReader) Read(f *Frame) (complete bool, err error) {
	if f.Type == FrameHeaders {
		b.begin(f)
	} else if b.frames++; b.frames > maxContinuations {
		return false, &ConnError{EnhanceYourCalm, "too many CONTINUATION frames"}
	}
	if b.encoded += len(f.Payload); b.encoded > excess*b.lim.HeadBytes {
		return false, &ConnError{EnhanceYourCalm, "header block is too large"}
	}
	if _, err := b.hpack.Write(f.Payload); err != nil {
		return false, b.failed(err)
	}
	if b.size > excess*excess*b.lim.HeadBytes {
		return false, &ConnError{EnhanceYourCalm, "header list is too large"}
	}
	if !f.Has(FlagEndHeaders) {
		return false, nil
	}
	if err := b.hpack.Close(); err != nil {
		return false, b.failed(err)
	}
	b.stream = 0
	return true, nil
}

func (b *BlockReader) begin(f *Frame) {
	b.stream, b.end = f.Stream, f.Has(FlagEndStream)
	b.frames, b.encoded, b.size, b.count = 0, 0, 0, 0
	b.crumbs, b.large = false, false
	b.memory, b.spans = b.memory[:0], b.spans[:0]
	b.hpack.SetEmitEnabled(true)
}

func (b *BlockReader) failed(err error) error {
	if errors.Is(err, hpack.ErrStringLength) {
		return &ConnError{EnhanceYourCalm, "header field is too large"}
	}
	return &ConnError{CompressionError, "header block cannot be decoded: " + err.Error()}
}

// field is called by the decoder with each field.
func (b *BlockReader) field(f hpack.HeaderField) {
	b.size += len(f.Name) + len(f.Value) + fieldOverhead
	switch {
	case f.IsPseudo(), f.Name == "cookie" && b.crumbs:
	default:
		b.count++
		b.crumbs = b.crumbs || f.Name == "cookie"
	}
	if b.large = b.large || b.size > b.lim.HeadBytes || b.count > b.lim.Fields; b.large {
		return
	}
	at := len(b.memory)
	b.memory = append(append(b.memory, f.Name...), f.Value...)
	b.spans = append(b.spans, span{at, at + len(f.Name), len(b.memory)})
}

// take gives the block's memory away and takes other memory for the next. The spans stay good until the next block begins.
func (b *BlockReader) take(other []byte) []byte {
	own := b.memory
	b.memory = other[:0]
	return own
}

// in returns the name and value of a field.
func (s span) in(memory []byte) (name, value []byte) {
	return memory[s.at:s.value:s.value], memory[s.value:s.end:s.end]
}

var errLarge = &wire.ParseError{Status: 431, Why: "header is too large or has too many fields"}

// Trailers reads the complete block as trailers into fields. It returns the memory that they point into and takes mine for it.
func (b *BlockReader) Trailers(stream uint32, fields *message.Fields, mine []byte) ([]byte, error) {
	fields.Reset()
	memory := b.take(mine)
	if b.large {
		return memory, &StreamError{stream, EnhanceYourCalm, "trailers are too large"}
	}
	for _, s := range b.spans {
		name, value := s.in(memory)
		if why := checkField(name, value); why != "" {
			return memory, malformed(stream, why)
		}
		if special(name) == fieldPlain {
			fields.Add(name, value)
		}
	}
	wire.DropForbiddenTrailers(fields)
	return memory, nil
}
