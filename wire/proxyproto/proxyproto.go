// Package proxyproto reads and writes headers of the PROXY protocol, versions 1 and 2: by them a proxy tells, in the first bytes of a connection,
// for whom it has opened it. (The protocol is HAProxy's: doc/proxy-protocol.txt of its sources.) It imports nothing else of this project.
//
//	header, err := proxyproto.Read(conn)        // not a byte more than the header; with a deadline set on conn
//	client := proxyproto.NewConn(conn, header)  // the same connection, under its client's address
//	line := proxyproto.Header{Version: 1, Source: client, Destination: local}.Append(nil)
//
// Version 1 is a line of text, version 2 is binary:
//
//	PROXY TCP4 192.0.2.7 198.51.100.1 51724 443\r\n
//
//	0d 0a 0d 0a 00 0d 0a 51 55 49 54 0a   signature
//	21 11 00 0c                           version 2 and command PROXY, TCP over IPv4, 12 bytes follow
//	c0 00 02 07 c6 33 64 01 ca 0c 01 bb   source, destination, their ports; type-length-values could follow
package proxyproto

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"strings"
)

// Limits on what Read takes. Those of version 1 are the protocol's own.
const (
	maxLine = 107
	// maxBinary bounds what follows the first 16 bytes of version 2. Addresses have 36 bytes; the rest is for what load balancers add.
	maxBinary = 4 << 10
)

// ErrMalformed is wrapped by Read's errors about bytes that are no header.
var ErrMalformed = errors.New("no valid PROXY protocol header")

// Header is what a proxy says of a connection.
type Header struct {
	Version int // 1 or 2
	// Local: the proxy speaks for itself (a health check), or does not know for whom; Source and Destination are not valid then.
	Local bool
	// Source is the client, Destination where it connected to. Both are of one family, and not IPv4-mapped.
	Source, Destination netip.AddrPort
}

const signature = "\r\n\r\n\x00\r\nQUIT\n"

const (
	shortestLine = "PROXY UNKNOWN\r\n"
	binaryHead   = 16
	commandLocal = 0x20 // with the version in the upper half
	commandProxy = 0x21
	overTCP4     = 0x11
	overTCP6     = 0x21
	overUnix     = 0x31
	unspecified  = 0x00
)

// Read reads one header from r, and nothing after it. Errors of r are returned as they are; io.ErrUnexpectedEOF if it ends within the header, io.EOF
// if it ends before.
func Read(r io.Reader) (Header, error) {
	var buf [binaryHead]byte
	// No header is shorter than this, so that nothing behind one is taken.
	first := buf[:len(shortestLine)]
	if _, err := io.ReadFull(r, first); err != nil {
		return Header{}, err
	}
	switch {
	case string(first[:len(signature)]) == signature:
		if _, err := io.ReadFull(r, buf[len(first):]); err != nil {
			return Header{}, cut(err)
		}
		return readBinary(r, buf)
	case string(first[:6]) == "PROXY ":
		return readLine(r, first)
	}
	return Header{}, fmt.Errorf("%w: it begins with %q", ErrMalformed, first)
}

// cut makes an end within a header an unexpected one.
func cut(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// readLine reads the rest of a line byte by byte: what follows its end belongs to somebody else.
func readLine(r io.Reader, first []byte) (Header, error) {
	line := append(make([]byte, 0, maxLine), first...)
	for !strings.HasSuffix(string(line), "\r\n") {
		if len(line) == maxLine {
			return Header{}, fmt.Errorf("%w: a line of more than %d bytes", ErrMalformed, maxLine)
		}
		n := len(line)
		line = line[:n+1]
		if _, err := io.ReadFull(r, line[n:]); err != nil {
			return Header{}, cut(err)
		}
	}
	return parseLine(string(line[:len(line)-2]))
}

func parseLine(line string) (Header, error) {
	bad := func(what string) (Header, error) {
		return Header{}, fmt.Errorf("%w: %s in %q", ErrMalformed, what, line)
	}
	if strings.ContainsAny(line, "\r\n") {
		return bad("a line break")
	}
	part := strings.Split(line, " ")
	if len(part) >= 2 && part[1] == "UNKNOWN" {
		return Header{Version: 1, Local: true}, nil // whatever follows
	}
	if len(part) != 6 {
		return bad("not six words")
	}
	source, ok := endpoint(part[1], part[2], part[4])
	destination, also := endpoint(part[1], part[3], part[5])
	if !ok || !also {
		return bad("an address")
	}
	return Header{Version: 1, Source: source, Destination: destination}, nil
}

// endpoint reads an address of the family that the protocol names, and a port in its only spelling.
func endpoint(protocol, address, port string) (netip.AddrPort, bool) {
	a, err := netip.ParseAddr(address)
	if err != nil || a.Zone() != "" || protocol != "TCP4" && protocol != "TCP6" || a.Is4() != (protocol == "TCP4") {
		return netip.AddrPort{}, false
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || strconv.FormatUint(n, 10) != port {
		return netip.AddrPort{}, false
	}
	return netip.AddrPortFrom(a.Unmap(), uint16(n)), true
}

// Append appends the header to p in its Version's form and returns the result. Without valid addresses of one family it says that they are
// not known.
func (h Header) Append(p []byte) []byte {
	source, destination := h.Source.Addr().Unmap().WithZone(""), h.Destination.Addr().Unmap().WithZone("")
	known := !h.Local && source.IsValid() && destination.IsValid()
	if known && source.Is4() != destination.Is4() {
		// One of the two came through a socket of the other family: IPv6 can say both.
		source, destination = netip.AddrFrom16(source.As16()), netip.AddrFrom16(destination.As16())
	}
	if h.Version == 2 {
		return appendBinary(p, known, source, destination, h.Source.Port(), h.Destination.Port())
	}
	if !known {
		return append(p, shortestLine...)
	}
	family := "TCP6 "
	if source.Is4() {
		family = "TCP4 "
	}
	p = append(append(p, "PROXY "...), family...)
	p = append(source.AppendTo(p), ' ')
	p = append(destination.AppendTo(p), ' ')
	p = append(strconv.AppendUint(p, uint64(h.Source.Port()), 10), ' ')
	return append(strconv.AppendUint(p, uint64(h.Destination.Port()), 10), "\r\n"...)
}
