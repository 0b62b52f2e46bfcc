// The tables over HTTP/2: with prior knowledge where they say http, as after ALPN where they say https.

package proxy

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/wicketgate/wicketgate/gateway"
	"github.com/wicketgate/wicketgate/wire"
	"github.com/wicketgate/wicketgate/wire/h2"
)

// http2Clients is a loopback whose clients speak HTTP/2.
type http2Clients struct {
	*loopback
	server *h2.Server
	served sync.WaitGroup
}

func newHTTP2ClientStand(t *testing.T, g *gateway.Graph) stand {
	s := &http2Clients{loopback: newLoopback(t, tableOptions())}
	s.server = h2.NewServer(h2.Options{Handler: s.proxy})
	t.Cleanup(func() {
		s.server.Close()
		s.served.Wait()
	})
	s.swap(g)
	return s
}

// onlyHTTP1 reports whether a request cannot be said in HTTP/2.
func onlyHTTP1(c *tableCase) bool {
	return c.minor == 0 || slices.ContainsFunc(c.header, func(h [2]string) bool {
		name := strings.ToLower(h[0])
		return slices.Contains([]string{"connection", "upgrade", "keep-alive", "proxy-connection", "transfer-encoding"}, name) ||
			name == "te" && h[1] != "trailers"
	})
}

func (s *http2Clients) do(t *testing.T, c *tableCase) (seenResponse, *seenRequest) {
	t.Helper()
	if onlyHTTP1(c) {
		return s.loopback.do(t, c)
	}
	nc := s.open(t, c)
	defer nc.Close()
	s.origin.take()
	if _, err := nc.Write(composeHTTP2(c)); err != nil {
		t.Fatal(err)
	}
	out, err := readHTTP2(nc)
	if err != nil {
		t.Fatalf("requests:%d: %v", c.line, err)
	}
	seen := s.origin.take()
	if seen != nil {
		seen.backend = s.keys[seen.backend]
	}
	return out, seen
}

// open opens a connection for a request.
func (s *http2Clients) open(t *testing.T, c *tableCase) net.Conn {
	t.Helper()
	nc, err := net.Dial("tcp", s.ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	end, err := s.ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	if c.client.IsValid() && !c.client.IsLoopback() {
		end = remoteConn{end, net.TCPAddrFromAddrPort(netip.AddrPortFrom(c.client, 50000))}
	}
	var tls *wire.TLS
	if c.scheme == "https" {
		tls = &wire.TLS{ServerName: c.serverName, Protocol: "h2"}
	}
	s.served.Go(func() { s.server.ServeConn(end, netip.AddrPortFrom(netip.IPv6Unspecified(), c.port), tls) })
	return nc
}

// headerSection gives the fields of the request as HTTP/2 and HTTP/3 have them (RFC 9113 section 8.3.1, RFC 9114 section 4.3.1).
func (c *tableCase) headerSection(field func(name, value string)) {
	field(":method", c.method)
	if c.method != "CONNECT" {
		field(":scheme", c.scheme)
		field(":path", c.target)
	}
	field(":authority", c.authority)
	for _, h := range c.header {
		field(strings.ToLower(h[0]), h[1])
	}
}

// composeHTTP2 is a client's preface, and one request.
func composeHTTP2(c *tableCase) []byte {
	var out, block bytes.Buffer
	enc := hpack.NewEncoder(&block)
	c.headerSection(func(name, value string) { _ = enc.WriteField(hpack.HeaderField{Name: name, Value: value}) })
	out.WriteString(http2.ClientPreface)
	f := http2.NewFramer(&out, nil)
	_ = f.WriteSettings()
	_ = f.WriteSettingsAck()
	_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes(), EndHeaders: true, EndStream: true})
	return out.Bytes()
}

// readHTTP2 reads the response on stream 1.
func readHTTP2(nc net.Conn) (out seenResponse, err error) {
	f := http2.NewFramer(io.Discard, nc)
	f.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	for {
		frame, err := f.ReadFrame()
		if err != nil {
			return out, err
		}
		ended := false
		switch frame := frame.(type) {
		case *http2.MetaHeadersFrame:
			if status := frame.PseudoValue("status"); status != "" {
				if out.status, err = strconv.Atoi(status); err != nil {
					return out, err
				}
			}
			for _, h := range frame.RegularFields() {
				out.header = append(out.header, [2]string{h.Name, h.Value})
			}
			ended = frame.StreamEnded()
		case *http2.DataFrame:
			out.body += string(frame.Data())
			ended = frame.StreamEnded()
		case *http2.RSTStreamFrame:
			return out, errors.New("the stream was reset: " + frame.ErrCode.String())
		case *http2.GoAwayFrame:
			return out, errors.New("the connection was ended: " + frame.ErrCode.String())
		}
		if ended {
			return out, nil
		}
	}
}
