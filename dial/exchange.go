// One question to one name server: over UDP from a random port with a random id, and over TCP if the answer does not fit.
// (RFC 1035 section 4.2; RFC 5452 for what makes forging answers hard; RFC 6891 for larger datagrams.)

package dial

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// datagram is the size of answers that we accept over UDP: what passes most networks in one piece.
const datagram = 1232

var (
	errOtherAnswer = errors.New("the answer is to another question")
	errTruncated   = errors.New("the answer does not fit into a datagram")
)

// codeError is a response code that means that the server did not answer the question.
type codeError dnsmessage.RCode

func (e codeError) Error() string {
	return fmt.Sprintf("answered %s", dnsmessage.RCode(e))
}

// newQuestion makes the question for the addresses of a name in lower case.
func newQuestion(name string, kind dnsmessage.Type) (dnsmessage.Question, error) {
	n, err := dnsmessage.NewName(name + ".")
	if err != nil || name == "" {
		return dnsmessage.Question{}, fmt.Errorf("%q cannot be a name: %w", name, ErrNoSuchName)
	}
	q := dnsmessage.Question{Name: n, Type: kind, Class: dnsmessage.ClassINET}
	if _, err := packQuery(0, q, false); err != nil {
		return q, fmt.Errorf("%q cannot be a name: %w", name, ErrNoSuchName)
	}
	return q, nil
}

// exchange asks one server once and gives it no more than timeout.
func exchange(ctx context.Context, server netip.AddrPort, q dnsmessage.Question, timeout time.Duration) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	a, err := exchangeVia(ctx, "udp", server, q, true)
	if code, ok := errors.AsType[codeError](err); ok {
		if c := dnsmessage.RCode(code); c == dnsmessage.RCodeFormatError || c == dnsmessage.RCodeNotImplemented {
			a, err = exchangeVia(ctx, "udp", server, q, false) // it may be too old for EDNS
		}
	}
	if errors.Is(err, errTruncated) {
		a, err = exchangeVia(ctx, "tcp", server, q, true)
	}
	return a, err
}

// exchangeVia asks over one network. Every exchange has a socket of its own and so a source port that the kernel picks at random.
func exchangeVia(ctx context.Context, network string, server netip.AddrPort, q dnsmessage.Question, edns bool) (answer, error) {
	var random [2]byte
	rand.Read(random[:]) // never fails
	id := binary.BigEndian.Uint16(random[:])
	query, err := packQuery(id, q, edns)
	if err != nil {
		return answer{}, err
	}
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, network, server.String())
	if err != nil {
		return answer{}, err
	}
	defer conn.Close()
	// The end of ctx, by time or by cancellation, breaks off what blocks.
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()
	if network == "tcp" {
		return askTCP(conn, id, q, query)
	}
	return askUDP(conn, id, q, query)
}

// askUDP sends the query and waits for its answer. Whatever else comes is passed over: an answer with a wrong id may be a forger's guess, and the
// right one may still be on its way.
func askUDP(conn net.Conn, id uint16, q dnsmessage.Question, query []byte) (answer, error) {
	if _, err := conn.Write(query); err != nil {
		return answer{}, err
	}
	buf := make([]byte, 4096)
	for {
		n, err := conn.Read(buf)
		if err != nil {
			return answer{}, err
		}
		a, err := parseAnswer(buf[:n], id, q)
		if errors.Is(err, errOtherAnswer) {
			continue
		}
		return a, err
	}
}

// askTCP sends the query and reads the one answer.
func askTCP(conn net.Conn, id uint16, q dnsmessage.Question, query []byte) (answer, error) {
	framed := binary.BigEndian.AppendUint16(nil, uint16(len(query)))
	if _, err := conn.Write(append(framed, query...)); err != nil {
		return answer{}, err
	}
	var size [2]byte
	if _, err := io.ReadFull(conn, size[:]); err != nil {
		return answer{}, err
	}
	buf := make([]byte, binary.BigEndian.Uint16(size[:]))
	if _, err := io.ReadFull(conn, buf); err != nil {
		return answer{}, err
	}
	a, err := parseAnswer(buf, id, q)
	if errors.Is(err, errTruncated) {
		return answer{}, errors.New("the answer over TCP is truncated")
	}
	return a, err
}

// packQuery makes the bytes of a query, with an OPT record that allows larger datagrams if edns.
func packQuery(id uint16, q dnsmessage.Question, edns bool) ([]byte, error) {
	b := dnsmessage.NewBuilder(nil, dnsmessage.Header{ID: id, RecursionDesired: true})
	b.EnableCompression()
	if err := b.StartQuestions(); err != nil {
		return nil, err
	}
	if err := b.Question(q); err != nil {
		return nil, err
	}
	if edns {
		if err := b.StartAdditionals(); err != nil {
			return nil, err
		}
		var h dnsmessage.ResourceHeader
		if err := h.SetEDNS0(datagram, dnsmessage.RCodeSuccess, false); err != nil {
			return nil, err
		}
		if err := b.OPTResource(h, dnsmessage.OPTResource{}); err != nil {
			return nil, err
		}
	}
	return b.Finish()
}
