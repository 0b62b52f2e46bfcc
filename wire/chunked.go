// The chunked transfer coding (RFC 9112 section 7.1), for requests and responses.
//
// A decoder is fed whatever has arrived, in pieces of any size, and gives the content of each piece back in the piece's own
// memory:
//
//	"4\r\nWick\r\n5;x=y\r\nets\r"   gives "Wicket" + "s\r" still 2 bytes of the second chunk, moved together
//
// The size line is where implementations differ and where smuggling hides, so it is read by the letter: hexadecimal digits, then the end of the
// line or ';' and an extension. No white space, sign, prefix or bare line feed.

package wire

import (
	"bytes"

	"github.com/wicketgate/wicketgate/message"
)

const (
	maxChunkDigits   = 15       // of a chunk's size: below 2^60
	maxExtensionLine = 256      // bytes of one chunk's extensions
	maxExtensions    = 16 << 10 // bytes of all extensions of a body
	maxTrailerBytes  = 16 << 10 // of a whole trailer section
)

// What a chunked decoder expects next.
const (
	chunkSize      = iota // a digit of the size, or what ends it
	chunkExtension        // the rest of an extension
	chunkSizeLF
	chunkData
	chunkDataCR
	chunkDataLF
	chunkTrailer // trailer lines, up to the empty one
	chunkDone
)

// Chunked decodes one body at a time. The zero value is ready. It belongs to one goroutine.
type Chunked struct {
	state      uint8
	digits     int   // of the size that is being read
	left       int64 // of the chunk; the value of the size while that is being read
	extension  int   // bytes of this line's
	extensions int   // bytes of all
	raw        []byte
	line       int // where the trailer line that is being read begins in raw
	trailers   message.Fields
}

// Reset makes the decoder ready for another body and keeps its memory.
func (d *Chunked) Reset() {
	raw, trailers := d.raw[:0], d.trailers
	trailers.Reset()
	*d = Chunked{raw: raw, trailers: trailers}
}

// Done reports whether the whole body, with its trailers, has been decoded.
func (d *Chunked) Done() bool { return d.state == chunkDone }

// Trailers returns the trailer fields of a body that is done, or nil if there were none. They are valid until Reset.
func (d *Chunked) Trailers() *message.Fields {
	if d.state != chunkDone || d.trailers.Len() == 0 {
		return nil
	}
	return &d.trailers
}

// Decode takes the next bytes of the body. It returns the content among them, moved together within p, and how many bytes of p belong to the body: all,
// unless it is done. It does not allocate, trailers apart. lim bounds the number of trailer fields.
func (d *Chunked) Decode(p []byte, lim *Limits) (content []byte, n int, err error) {
	start, end := 0, 0 // of the content in p
	for n < len(p) && d.state != chunkDone {
		switch d.state {
		case chunkData:
			size := int(min(d.left, int64(len(p)-n)))
			switch end {
			case 0:
				start = n
				end = n + size
			default:
				end += copy(p[end:], p[n:n+size])
			}
			n += size
			if d.left -= int64(size); d.left == 0 {
				d.state = chunkDataCR
			}
		case chunkTrailer:
			used, err := d.trailer(p[n:], lim)
			if err != nil {
				return nil, n, err
			}
			n += used
		default:
			if err := d.frame(p[n]); err != nil {
				return nil, n, err
			}
			n++
		}
	}
	return p[start:end], n, nil
}

// frame takes one byte that is neither content nor trailer.
func (d *Chunked) frame(c byte) error {
	switch d.state {
	case chunkSize:
		return d.size(c)
	case chunkExtension:
		if c == '\r' {
			d.state = chunkSizeLF
			return nil
		}
		d.extension++
		d.extensions++
		if c < ' ' && c != '\t' || c == 0x7f || d.extension > maxExtensionLine || d.extensions > maxExtensions {
			return malformed("chunk extension is malformed or too long")
		}
	case chunkDataCR:
		if c != '\r' {
			return malformed("chunk is longer than its size")
		}
		d.state = chunkDataLF
	default: // chunkSizeLF, chunkDataLF
		if c != '\n' {
			return malformed("chunk has a carriage return without a line feed")
		}
		switch {
		case d.state == chunkDataLF:
			d.state, d.digits, d.left, d.extension = chunkSize, 0, 0, 0
		case d.left == 0:
			d.state = chunkTrailer
		default:
			d.state = chunkData
		}
	}
	return nil
}

// size takes one byte of a size line.
func (d *Chunked) size(c byte) error {
	switch {
	case c == '\r' && d.digits > 0:
		d.state = chunkSizeLF
		return nil
	case c == ';' && d.digits > 0:
		d.state = chunkExtension
		return nil
	}
	digit := int64(0)
	switch {
	case c >= '0' && c <= '9':
		digit = int64(c - '0')
	case c|0x20 >= 'a' && c|0x20 <= 'f':
		digit = int64(c|0x20-'a') + 10
	default:
		return malformed("chunk size is malformed")
	}
	d.left = d.left<<4 | digit
	if d.digits++; d.digits > maxChunkDigits {
		return malformed("chunk size is absurd")
	}
	return nil
}

// trailer takes bytes of the trailer section up to the end of a line and returns how many.
func (d *Chunked) trailer(p []byte, lim *Limits) (int, error) {
	n := bytes.IndexByte(p, '\n') + 1
	ended := n > 0
	if !ended {
		n = len(p)
	}
	if len(d.raw)+n > maxTrailerBytes {
		return 0, &ParseError{431, "trailer section is too large"}
	}
	d.raw = append(d.raw, p[:n]...)
	if !ended {
		return n, nil
	}
	line := d.raw[d.line:]
	if len(line) < 2 || line[len(line)-2] != '\r' {
		return 0, malformed("line ends in a bare line feed")
	}
	d.line = len(d.raw)
	if len(line) > 2 {
		return n, nil
	}
	d.state = chunkDone
	return n, parseTrailers(d.raw, &d.trailers, lim)
}

// parseTrailers reads a complete trailer section. Fields that frame or route the message, or that recipients trust, are dropped: a recipient that
// merges trailers into the header must not be fooled (RFC 9110 section 6.5.1).
func parseTrailers(raw []byte, fields *message.Fields, lim *Limits) error {
	var p hop
	if _, err := parseFields(raw, 0, fields, &p, lim); err != nil {
		return err
	}
	DropForbiddenTrailers(fields)
	return nil
}

// DropForbiddenTrailers removes the fields that have no business in a trailer section. Every wire asks it.
func DropForbiddenTrailers(fields *message.Fields) {
	fields.Filter(func(f message.Field) bool { return !forbiddenTrailer(f.Name) })
}

func forbiddenTrailer(name []byte) bool {
	for _, forbidden := range [...]string{
		"authorization", "cache-control", "content-encoding", "content-range", "content-type", "cookie", "max-forwards",
		"proxy-authenticate", "proxy-authorization", "range", "set-cookie", "trailer", "www-authenticate",
	} {
		if message.Equal(name, forbidden) {
			return true
		}
	}
	return forwarding(name)
}

// AppendChunkHead appends the line in front of a chunk of n bytes, n > 0. Behind its content goes CRLF.
func AppendChunkHead(dst []byte, n int) []byte {
	const digits = "0123456789abcdef"
	shift := 0
	for n>>(shift+4) > 0 {
		shift += 4
	}
	for ; shift >= 0; shift -= 4 {
		dst = append(dst, digits[n>>shift&15])
	}
	return append(dst, '\r', '\n')
}

// AppendLastChunk appends the chunk that ends a body, with the trailers, which may be nil.
func AppendLastChunk(dst []byte, trailers *message.Fields) []byte {
	dst = append(dst, "0\r\n"...)
	if trailers != nil {
		dst = appendFields(dst, trailers)
	}
	return append(dst, '\r', '\n')
}
