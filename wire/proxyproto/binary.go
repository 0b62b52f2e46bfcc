// Version 2.

package proxyproto

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"net/netip"
)

// typeCRC32C is the type of the value that holds a checksum of the whole header.
const typeCRC32C = 0x03

// readBinary reads what the first 16 bytes announce.
func readBinary(r io.Reader, head [binaryHead]byte) (Header, error) {
	size := int(binary.BigEndian.Uint16(head[14:]))
	if size > maxBinary {
		return Header{}, fmt.Errorf("%w: %d bytes, more than %d", ErrMalformed, size, maxBinary)
	}
	whole := make([]byte, binaryHead+size)
	copy(whole, head[:])
	if _, err := io.ReadFull(r, whole[binaryHead:]); err != nil {
		return Header{}, cut(err)
	}
	return parseBinary(whole)
}

func parseBinary(whole []byte) (Header, error) {
	h := Header{Version: 2}
	command, family, rest := whole[12], whole[13], whole[binaryHead:]
	switch command {
	case commandLocal:
		h.Local = true // whatever follows
		return h, nil
	case commandProxy:
	default:
		return Header{}, fmt.Errorf("%w: version and command %#x", ErrMalformed, command)
	}
	addresses := map[byte]int{overTCP4: 2*4 + 4, overTCP6: 2*16 + 4, overUnix: 2 * 108, unspecified: 0}
	n, known := addresses[family]
	if !known {
		return Header{}, fmt.Errorf("%w: family and protocol %#x", ErrMalformed, family)
	}
	if len(rest) < n {
		return Header{}, fmt.Errorf("%w: %d bytes are too few for its addresses", ErrMalformed, len(rest))
	}
	if n := (n - 4) / 2; family == overTCP4 || family == overTCP6 {
		source, _ := netip.AddrFromSlice(rest[:n])
		destination, _ := netip.AddrFromSlice(rest[n : 2*n])
		h.Source = netip.AddrPortFrom(source.Unmap(), binary.BigEndian.Uint16(rest[2*n:]))
		h.Destination = netip.AddrPortFrom(destination.Unmap(), binary.BigEndian.Uint16(rest[2*n+2:]))
	} else {
		h.Local = true // nothing that could be said of a TCP connection
	}
	return h, checkValues(whole, binaryHead+n)
}

// checkValues walks the type-length-values from at on, and compares the checksum if there is one.
func checkValues(whole []byte, at int) error {
	for at < len(whole) {
		if len(whole)-at < 3 {
			return fmt.Errorf("%w: it ends within a value's head", ErrMalformed)
		}
		kind, size := whole[at], int(binary.BigEndian.Uint16(whole[at+1:]))
		at += 3
		if len(whole)-at < size {
			return fmt.Errorf("%w: it ends within a value", ErrMalformed)
		}
		if value := whole[at : at+size]; kind == typeCRC32C {
			if size != 4 {
				return fmt.Errorf("%w: a checksum of %d bytes", ErrMalformed, size)
			}
			want := binary.BigEndian.Uint32(value)
			clear(value) // as it was when the sum was made
			if crc32.Checksum(whole, crc32.MakeTable(crc32.Castagnoli)) != want {
				return fmt.Errorf("%w: the checksum is wrong", ErrMalformed)
			}
			binary.BigEndian.PutUint32(value, want)
		}
		at += size
	}
	return nil
}

func appendBinary(p []byte, known bool, source, destination netip.Addr, from, to uint16) []byte {
	p = append(p, signature...)
	if !known {
		return append(p, commandLocal, unspecified, 0, 0)
	}
	family := byte(overTCP6)
	if source.Is4() {
		family = overTCP4
	}
	size := 2*len(source.AsSlice()) + 4
	p = append(p, commandProxy, family, byte(size>>8), byte(size))
	p = append(append(p, source.AsSlice()...), destination.AsSlice()...)
	return binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(p, from), to)
}
