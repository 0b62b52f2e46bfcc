// QPACK without a dynamic table (RFC 9204): field sections to fields and back.
//
// A section begins with two bytes that speak of the dynamic table, zeros here, and goes on with field lines. For example ":path: /cart"
// with a name from the static table and a literal value is
//
//	51 05 2f 63 61 72 74
//	0101 0001: literal with a static name reference, index 1 (":path"); then the length 5, not Huffman-coded, and "/cart"

package h3

import (
	"bytes"
	"strconv"

	"golang.org/x/net/http2/hpack"

	"github.com/wicketgate/wicketgate/message"
)

// span is a decoded field's place in a decoder's memory.
type span struct{ name, value, end int }

// decoder decodes field sections. Its memory is reused; what Fields gives is valid until the next section.
type decoder struct {
	memory []byte
	spans  []span
	plain  bytes.Buffer // of a Huffman-coded string

	maxBytes, maxFields int
}

// Bounds on integers: more than a section may have.
const maxInteger = 1 << 30

// Errors of decoding. Both end the connection or the request as RFC 9204 section 2.2 and RFC 9114 section 4.2.2 say.
var (
	errSection = &ConnError{DecompressionFailed, "malformed field section"}
	errDynamic = &ConnError{DecompressionFailed, "field section refers to a dynamic table that does not exist"}
)

// decode reads a section. large says that it has more fields or bytes than are allowed: then it was not read to its end.
func (d *decoder) decode(p []byte) (large bool, err error) {
	d.memory, d.spans = d.memory[:0], d.spans[:0]
	required, p, ok := integer(p, 8)
	if !ok {
		return false, errSection
	}
	if required != 0 {
		return false, errDynamic
	}
	if len(p) == 0 || p[0]&0x80 != 0 {
		return false, errSection // a base below zero
	}
	if _, p, ok = integer(p, 7); !ok {
		return false, errSection
	}
	for len(p) > 0 {
		if p, err = d.line(p); err != nil {
			return false, err
		}
		if len(d.spans) > d.maxFields || len(d.memory) > d.maxBytes {
			return true, nil
		}
	}
	return false, nil
}

// line decodes one field line.
func (d *decoder) line(p []byte) ([]byte, error) {
	switch b := p[0]; {
	case b&0x80 != 0: // indexed
		index, rest, ok := integer(p, 6)
		if !ok {
			return nil, errSection
		}
		if b&0x40 == 0 {
			return nil, errDynamic
		}
		if index >= len(staticTable) {
			return nil, errSection
		}
		e := &staticTable[index]
		d.open(e.name)
		d.memory = append(d.memory, e.value...)
		d.close()
		return rest, nil
	case b&0x40 != 0: // literal with a name reference
		index, rest, ok := integer(p, 4)
		if !ok {
			return nil, errSection
		}
		if b&0x10 == 0 {
			return nil, errDynamic
		}
		if index >= len(staticTable) {
			return nil, errSection
		}
		d.open(staticTable[index].name)
		return d.value(rest)
	case b&0x20 != 0: // literal name
		start := len(d.memory)
		rest, ok := d.text(p, 3)
		if !ok {
			return nil, errSection
		}
		d.spans = append(d.spans, span{name: start, value: len(d.memory)})
		return d.value(rest)
	}
	return nil, errDynamic // post-base
}

func (d *decoder) open(name string) {
	start := len(d.memory)
	d.memory = append(d.memory, name...)
	d.spans = append(d.spans, span{name: start, value: len(d.memory)})
}

func (d *decoder) close() { d.spans[len(d.spans)-1].end = len(d.memory) }

func (d *decoder) value(p []byte) ([]byte, error) {
	rest, ok := d.text(p, 7)
	if !ok {
		return nil, errSection
	}
	d.close()
	return rest, nil
}

// text appends a string to the memory: a Huffman bit, a length with a prefix of n bits, and the bytes.
func (d *decoder) text(p []byte, n uint8) (rest []byte, ok bool) {
	if len(p) == 0 {
		return nil, false
	}
	coded := p[0]&(1<<n) != 0
	length, p, ok := integer(p, n)
	if !ok || length > len(p) {
		return nil, false
	}
	if !coded {
		d.memory = append(d.memory, p[:length]...)
		return p[length:], true
	}
	d.plain.Reset()
	if _, err := hpack.HuffmanDecode(&d.plain, p[:length]); err != nil {
		return nil, false
	}
	d.memory = append(d.memory, d.plain.Bytes()...)
	return p[length:], true
}

// fields visits the decoded fields until visit returns something.
func (d *decoder) fields(visit func(name, value []byte) string) string {
	for _, s := range d.spans {
		if why := visit(d.memory[s.name:s.value:s.value], d.memory[s.value:s.end:s.end]); why != "" {
			return why
		}
	}
	return ""
}

// integer decodes an integer with a prefix of n bits (RFC 7541 section 5.1).
func integer(p []byte, n uint8) (value int, rest []byte, ok bool) {
	if len(p) == 0 {
		return 0, nil, false
	}
	mask := 1<<n - 1
	value, p = int(p[0])&mask, p[1:]
	if value < mask {
		return value, p, true
	}
	sum := int64(value) // an int may have 32 bits
	for shift := 0; len(p) > 0; shift += 7 {
		b := p[0]
		p = p[1:]
		sum += int64(b&0x7f) << shift
		if sum > maxInteger || shift > 28 {
			return 0, nil, false
		}
		if b&0x80 == 0 {
			return int(sum), p, true
		}
	}
	return 0, nil, false
}

// appendInteger appends an integer with a prefix of n bits, whose other bits are those of first.
func appendInteger(dst []byte, first byte, n uint8, value int) []byte {
	mask := 1<<n - 1
	if value < mask {
		return append(dst, first|byte(value))
	}
	dst = append(dst, first|byte(mask))
	for value -= mask; value >= 0x80; value >>= 7 {
		dst = append(dst, 0x80|byte(value))
	}
	return append(dst, byte(value))
}

// appendSectionPrefix appends what a section begins with: no dynamic table.
func appendSectionPrefix(dst []byte) []byte { return append(dst, 0, 0) }

// appendStatus appends the pseudo-field of a response.
func appendStatus(dst []byte, status int) []byte {
	if index := staticStatus(status); index >= 0 {
		return appendInteger(dst, 0xc0, 6, index)
	}
	const anyStatus = 24 // the first of them: its name
	dst = appendInteger(dst, 0x50, 4, anyStatus)
	return append(dst, 3, byte('0'+status/100%10), byte('0'+status/10%10), byte('0'+status%10))
}

// longestStatic is the length of the longest name of the static table.
const longestStatic = len("access-control-request-headers") + 2

// appendField appends a field with its name in lower case.
func appendField(dst, name, value []byte) []byte {
	var lower [longestStatic]byte
	if len(name) <= longestStatic {
		low := message.AppendLower(lower[:0], name)
		if index, ok := staticNames[string(low)]; ok {
			dst = appendInteger(dst, 0x50|never(low), 4, int(index))
			return appendText(dst, value)
		}
	}
	dst = appendInteger(dst, 0x20|never(name)>>1, 3, len(name))
	dst = message.AppendLower(dst, name)
	return appendText(dst, value)
}

// never is the bit N, by which intermediaries are asked to keep a value out of their tables (RFC 9204 section 7.1.3).
func never(name []byte) byte {
	if message.Equal(name, "set-cookie") || message.Equal(name, "authorization") || message.Equal(name, "proxy-authorization") {
		return 0x20
	}
	return 0
}

func appendText(dst, value []byte) []byte {
	return append(appendInteger(dst, 0, 7, len(value)), value...)
}

// appendFields appends fields.
func appendFields(dst []byte, fields *message.Fields) []byte {
	for i := range fields.Len() {
		f := fields.At(i)
		dst = appendField(dst, f.Name, f.Value)
	}
	return dst
}

// appendLength appends a content-length.
func appendLength(dst []byte, n int64) []byte {
	const contentLength = 4
	var digits [20]byte
	return appendText(appendInteger(dst, 0x50, 4, contentLength), strconv.AppendInt(digits[:0], n, 10))
}
