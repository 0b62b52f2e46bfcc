// A small name server for the tests, on UDP and TCP, whose answers each test scripts.

package dial

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

// nameServer is a DNS server on loopback, UDP and TCP on one port, that answers as a function says.
type nameServer struct {
	addr netip.AddrPort
	// queries counts what was asked over each network.
	udp, tcp atomic.Int32
}

// reply makes the messages to send back for a query; nil sends nothing.
type reply func(network string, query dnsmessage.Message) [][]byte

// serveNames starts a server on an address like 127.0.0.1 or ::1. It ends with the test.
func serveNames(t testing.TB, ip string, answer reply) *nameServer {
	t.Helper()
	var pc net.PacketConn
	var ln net.Listener
	for range 20 { // the TCP port of the same number may be taken
		var err error
		if pc, err = net.ListenPacket("udp", net.JoinHostPort(ip, "0")); err != nil {
			t.Skipf("cannot listen on %s: %v", ip, err)
		}
		if ln, err = net.Listen("tcp", pc.LocalAddr().String()); err == nil {
			break
		}
		pc.Close()
	}
	if ln == nil {
		t.Fatal("no port is free for both UDP and TCP")
	}
	s := &nameServer{addr: pc.LocalAddr().(*net.UDPAddr).AddrPort()}
	t.Cleanup(func() { pc.Close(); ln.Close() })
	go s.serveUDP(pc, answer)
	go s.serveTCP(ln, answer)
	return s
}

func (s *nameServer) serveUDP(pc net.PacketConn, answer reply) {
	buf := make([]byte, 4096)
	for {
		n, from, err := pc.ReadFrom(buf)
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return
			}
			continue
		}
		s.udp.Add(1)
		var query dnsmessage.Message
		if query.Unpack(buf[:n]) != nil {
			continue
		}
		for _, msg := range answer("udp", query) {
			_, _ = pc.WriteTo(msg, from)
		}
	}
}

func (s *nameServer) serveTCP(ln net.Listener, answer reply) {
	for {
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		s.tcp.Add(1)
		go func() {
			defer conn.Close()
			var size [2]byte
			if _, err := io.ReadFull(conn, size[:]); err != nil {
				return
			}
			buf := make([]byte, binary.BigEndian.Uint16(size[:]))
			if _, err := io.ReadFull(conn, buf); err != nil {
				return
			}
			var query dnsmessage.Message
			if query.Unpack(buf) != nil {
				return
			}
			for _, msg := range answer("tcp", query) {
				framed := binary.BigEndian.AppendUint16(nil, uint16(len(msg)))
				_, _ = conn.Write(append(framed, msg...))
			}
			_, _ = io.Copy(io.Discard, conn) // let the client close
		}()
	}
}

// zone answers from a list of records, as a recursive server does: with the chain of aliases and what is at its end.
type zone map[string][]dnsmessage.Resource

func (z zone) reply(_ string, query dnsmessage.Message) [][]byte {
	return [][]byte{z.message(query)}
}

func (z zone) message(query dnsmessage.Message) []byte {
	q := query.Questions[0]
	msg := dnsmessage.Message{
		ID: query.ID, Response: true, RecursionDesired: true, RecursionAvailable: true,
		Questions: query.Questions,
	}
	name := q.Name.String()
	for range 4 {
		records, known := z[name]
		if !known {
			msg.RCode = dnsmessage.RCodeNameError
			break
		}
		next := ""
		for _, r := range records {
			switch body := r.Body.(type) {
			case *dnsmessage.CNAMEResource:
				msg.Answers = append(msg.Answers, r)
				next = body.CNAME.String()
			case *dnsmessage.SOAResource:
			default:
				if r.Header.Type == q.Type {
					msg.Answers = append(msg.Answers, r)
				}
			}
		}
		if name = next; next == "" {
			break
		}
	}
	msg.Authorities = z["."]
	packed, err := msg.Pack()
	if err != nil {
		panic(err)
	}
	return packed
}

func header(owner string, kind dnsmessage.Type, ttl uint32) dnsmessage.ResourceHeader {
	return dnsmessage.ResourceHeader{Name: dnsmessage.MustNewName(owner), Type: kind, Class: dnsmessage.ClassINET, TTL: ttl}
}

// address is an A or AAAA record.
func address(owner, ip string, ttl uint32) dnsmessage.Resource {
	a := netip.MustParseAddr(ip)
	if a.Is4() {
		return dnsmessage.Resource{Header: header(owner, dnsmessage.TypeA, ttl), Body: &dnsmessage.AResource{A: a.As4()}}
	}
	return dnsmessage.Resource{Header: header(owner, dnsmessage.TypeAAAA, ttl), Body: &dnsmessage.AAAAResource{AAAA: a.As16()}}
}

func cname(owner, target string, ttl uint32) dnsmessage.Resource {
	return dnsmessage.Resource{Header: header(owner, dnsmessage.TypeCNAME, ttl), Body: &dnsmessage.CNAMEResource{CNAME: dnsmessage.MustNewName(target)}}
}

func soa(ttl, minimum uint32) dnsmessage.Resource {
	root := dnsmessage.MustNewName(".")
	return dnsmessage.Resource{Header: header(".", dnsmessage.TypeSOA, ttl), Body: &dnsmessage.SOAResource{NS: root, MBox: root, MinTTL: minimum}}
}
