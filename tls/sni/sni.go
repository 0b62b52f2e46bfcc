// Package sni reads the ClientHello that opens a TLS connection, without answering it: enough to choose a listener by the server name
// before it is known who will do the handshake, this process or a backend behind it. It imports nothing else of this project.
//
//	hello, first, err := sni.Read(conn) // with a deadline set on conn
//	// choose by hello.ServerName, then hand on first, which is every byte that was read, before what conn still brings
//
// # How a ClientHello comes
//
// The handshake message (type 1, three bytes of length, body) is cut into records (type 22, version, two bytes of length) wherever the client
// likes, and the records into segments wherever the network likes. A hello with a post-quantum key share has some 1,800 bytes and so
// takes two segments; some clients cut records within the name on purpose. So bytes are fed as they come, and the body is looked at once it is whole:
//
//	16 03 01 00 05 | 01 00 00 2d 03        record of 5 bytes: head of the message, first byte of the body
//	16 03 01 00 2c | 03 9a 6e ...          record with the other 44
//
// What is not exactly a ClientHello is an error: two readers of a hello that disagree on the name would disagree on where it belongs.
// What the protocol lets anybody send and a server must ignore (unknown extensions, RFC 8701's GREASE values) is ignored. With Encrypted Client
// Hello the name is the outer one, the only one that there is to see.
package sni

import (
	"errors"
	"fmt"
	"io"
)

// MaxSize bounds a ClientHello with the heads of its records. Browsers send 500 to 2,500 bytes; tickets that hold client certificates make it
// larger.
const MaxSize = 32 << 10

// Errors that Read wraps.
var (
	// ErrNotTLS: the first byte is no handshake record's. Somebody speaks plain HTTP, or something else.
	ErrNotTLS = errors.New("not TLS")
	// ErrTooLarge: the ClientHello does not fit into MaxSize.
	ErrTooLarge = fmt.Errorf("the ClientHello is larger than %d bytes", MaxSize)
	// ErrMalformed: TLS's outer form, but not a ClientHello.
	ErrMalformed = errors.New("malformed ClientHello")
)

// Hello is what a ClientHello says to whoever chooses where it goes.
type Hello struct {
	// ServerName is the host_name of the extension server_name (RFC 6066 section 3), in lower case; empty if the client sent none.
	ServerName string
	// Protocols are those of the extension application_layer_protocol_negotiation (RFC 7301), in the client's order.
	Protocols []string
}

// firstRead is the room for the first read: nearly every hello fits.
const firstRead = 4 << 10

// Read reads from r until the ClientHello is complete and returns what it says together with every byte that was read, which may be more
// than the hello. With an error, too, it returns the bytes, for whoever wants to answer them. It reads at most MaxSize bytes and leaves
// time limits to r. Errors of r are returned as they are; an end before that of the hello is io.ErrUnexpectedEOF, or io.EOF if nothing came at all.
func Read(r io.Reader) (Hello, []byte, error) {
	in := make([]byte, 0, firstRead)
	var d defragmenter
	for {
		if len(in) == cap(in) {
			if cap(in) >= MaxSize {
				return Hello{}, in, ErrTooLarge
			}
			grown := make([]byte, len(in), 2*cap(in))
			copy(grown, in)
			in = grown
		}
		n, err := r.Read(in[len(in):cap(in)])
		in = in[:len(in)+n]
		message, failed := d.feed(in)
		switch {
		case failed != nil:
			return Hello{}, in, failed
		case message != nil:
			hello, malformed := parse(message)
			return hello, in, malformed
		case errors.Is(err, io.EOF) && len(in) > 0:
			return Hello{}, in, io.ErrUnexpectedEOF
		case err != nil:
			return Hello{}, in, err
		}
	}
}

const (
	recordHandshake = 22
	typeClientHello = 1
	recordHead      = 5
	messageHead     = 4
	maxFragment     = 1 << 14
)

// defragmenter puts the handshake message together from the records that hold it. Each byte is handled once, however many reads bring it.
type defragmenter struct {
	at      int    // in the input: the next byte to be looked at
	left    int    // bytes of the record at hand that are still to come
	message []byte // the handshake message so far
}

// feed is given all input so far and returns the body of the ClientHello once that is complete.
func (d *defragmenter) feed(in []byte) (body []byte, err error) {
	for d.at < len(in) {
		if d.left == 0 {
			if in[d.at] != recordHandshake {
				if d.at == 0 {
					return nil, ErrNotTLS
				}
				return nil, malformed("a record of type %d among its records", in[d.at])
			}
			if len(in)-d.at < recordHead {
				return nil, nil
			}
			head := in[d.at : d.at+recordHead]
			if head[1] != 3 {
				return nil, malformed("version %d.%d of a record", head[1], head[2])
			}
			d.left = int(head[3])<<8 | int(head[4])
			if d.left == 0 || d.left > maxFragment {
				return nil, malformed("a record of %d bytes", d.left)
			}
			d.at += recordHead
			continue
		}
		n := min(d.left, len(in)-d.at)
		d.message = append(d.message, in[d.at:d.at+n]...)
		d.at, d.left = d.at+n, d.left-n
		if body, err = d.body(); body != nil || err != nil {
			return body, err
		}
	}
	return nil, nil
}

// body returns the message's body if all of it is there.
func (d *defragmenter) body() ([]byte, error) {
	m := d.message
	if m[0] != typeClientHello {
		return nil, malformed("a handshake message of type %d in its place", m[0])
	}
	if len(m) < messageHead {
		return nil, nil
	}
	n := int(m[1])<<16 | int(m[2])<<8 | int(m[3])
	if n > MaxSize-messageHead-recordHead {
		return nil, ErrTooLarge
	}
	if n == 0 {
		return nil, malformed("an empty body")
	}
	if len(m) < messageHead+n {
		return nil, nil
	}
	return m[messageHead : messageHead+n], nil
}

func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrMalformed, fmt.Sprintf(format, args...))
}
