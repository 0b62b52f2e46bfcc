// Tests of connections that are not HTTP/1's.

package wire

import (
	"bytes"
	"io"
	"net"
	"net/netip"
	"testing"
)

func TestConnectionsOfHTTP2AreHandedOver(t *testing.T) {
	for _, transport := range []Transport{Raw, Portable} {
		type handed struct {
			c  net.Conn
			in []byte
		}
		got, end, over := make(chan handed, 1), make(chan struct{}), make(chan struct{})
		s := NewServer(Options{
			Handler: refuser{t}, Transport: transport,
			HTTP2: func(c net.Conn, _ netip.AddrPort, in []byte) func() {
				return func() {
					got <- handed{c, in}
					<-end
				}
			},
			Over: func() { close(over) },
		})
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		client, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		server, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			s.ServeConn(server, netip.AddrPort{}, nil)
		}()
		const whole = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nand frames"
		client.Write([]byte(whole[:7]))
		client.Write([]byte(whole[7:]))
		h := <-got
		<-done // the goroutine of HTTP/1 is not kept
		select {
		case <-over:
			t.Error("the connection is over for its listener while HTTP/2 serves it")
		default:
		}
		client.(*net.TCPConn).CloseWrite()
		rest, err := io.ReadAll(h.c)
		if all := append(bytes.Clone(h.in), rest...); err != nil || string(all) != whole {
			t.Errorf("handed over with %q and %q, %v", h.in, rest, err)
		}
		// Nobody else knows the connection any more, and it was not closed.
		if n := len(s.connections(func(*conn) bool { return true })); n != 0 {
			t.Errorf("%d connections are left", n)
		}
		if _, err := h.c.Write([]byte("x")); err != nil {
			t.Error(err)
		}
		close(end)
		<-over
		h.c.Close()
		client.Close()
		l.Close()
		s.Close()
	}
}

// refuser is a handler that expects no request.
type refuser struct{ t *testing.T }

func (r refuser) Serve(Exchange)            { r.t.Error("a request was served") }
func (r refuser) Refused(*Peer, int, error) {}

// TestForeignProtocolsAreNotAnsweredInHTTP sends what begins like a request of something else.
func TestForeignProtocolsAreNotAnsweredInHTTP(t *testing.T) {
	s := NewServer(Options{Handler: refuser{t}})
	client, server := net.Pipe()
	go s.ServeConn(server, netip.AddrPort{}, nil)
	client.Write([]byte("INVALID CONNECTION PREFACE\r\n\r\n"))
	if got, _ := io.ReadAll(client); len(got) > 0 {
		t.Errorf("answered with %q", got)
	}
	client.Close()
	s.Close()
}
