// The tables over HTTP/3. There is no such thing in plaintext: where a table says http, what came over QUIC is shown to the proxy as if it
// had come to a plain listener.

package proxy

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/quic-go/qpack"
	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/quicvarint"

	"github.com/wicketgate/wicketgate/gateway"
	"github.com/wicketgate/wicketgate/internal/patient"
	"github.com/wicketgate/wicketgate/listeners"
	"github.com/wicketgate/wicketgate/wire"
	"github.com/wicketgate/wicketgate/wire/h3"
)

// http3Clients is a loopback whose clients speak HTTP/3, each request on a connection of its own.
type http3Clients struct {
	*loopback
	addr netip.AddrPort

	mu      sync.Mutex
	present *tableCase
}

func newHTTP3ClientStand(t *testing.T, g *gateway.Graph) stand {
	s := &http3Clients{loopback: newLoopback(t, tableOptions())}
	config := &tls.Config{Certificates: []tls.Certificate{selfSigned(t)}, NextProtos: []string{"h3"}, MinVersion: tls.VersionTLS13}
	server := h3.NewServer(h3.Options{Listen: listeners.ListenUDP, Handler: disguise{s}, TLS: func(netip.AddrPort) *tls.Config { return config }})
	t.Cleanup(server.Close)
	patient.Until(t, "a socket", func() bool { // somebody else may take the port that was found to be free
		pc, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		s.addr = pc.LocalAddr().(*net.UDPAddr).AddrPort()
		pc.Close()
		_, failed := server.Follow([]netip.AddrPort{s.addr})
		return failed == nil
	})
	s.swap(g)
	return s
}

func selfSigned(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// disguise gives requests the addresses and the server name that the table says.
type disguise struct{ *http3Clients }

func (d disguise) Serve(x wire.Exchange) {
	d.alter(x.Peer())
	d.mu.Lock()
	scheme := d.present.scheme
	d.mu.Unlock()
	x.Request().Scheme = []byte(scheme)
	d.proxy.Serve(x)
}

func (d disguise) Refused(p *wire.Peer, status int, why error) {
	d.alter(p)
	d.proxy.Refused(p, status, why)
}

func (d disguise) alter(p *wire.Peer) {
	d.mu.Lock()
	defer d.mu.Unlock()
	c := d.present
	p.Socket, p.Remote, p.Cache = netip.AddrPortFrom(netip.IPv6Unspecified(), c.port), netip.AddrPortFrom(c.client, 50000), nil
	if p.TLS = nil; c.scheme == "https" {
		p.TLS = &wire.TLS{ServerName: c.serverName, Protocol: "h3"}
	}
}

func (s *http3Clients) do(t *testing.T, c *tableCase) (seenResponse, *seenRequest) {
	t.Helper()
	if onlyHTTP1(c) {
		return s.loopback.do(t, c)
	}
	s.mu.Lock()
	s.present = c
	s.mu.Unlock()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	conn, err := quic.DialAddr(ctx, s.addr.String(), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h3"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.CloseWithError(0x100, "")
	stream, err := conn.OpenStreamSync(ctx)
	if err != nil {
		t.Fatal(err)
	}
	s.origin.take()
	if _, err := stream.Write(composeHTTP3(c)); err != nil {
		t.Fatal(err)
	}
	_ = stream.Close() // too late if the answer came first
	answer, err := io.ReadAll(stream)
	if err != nil {
		t.Fatalf("requests:%d: %v", c.line, err)
	}
	out, err := readHTTP3(answer)
	if err != nil {
		t.Fatalf("requests:%d: %v", c.line, err)
	}
	seen := s.origin.take()
	if seen != nil {
		seen.backend = s.keys[seen.backend]
	}
	return out, seen
}

// composeHTTP3 is a request in one HEADERS frame.
func composeHTTP3(c *tableCase) []byte {
	var block bytes.Buffer
	enc := qpack.NewEncoder(&block)
	c.headerSection(func(name, value string) { _ = enc.WriteField(qpack.HeaderField{Name: name, Value: value}) })
	return append(quicvarint.Append([]byte{1}, uint64(block.Len())), block.Bytes()...)
}

// readHTTP3 reads all frames of a response.
func readHTTP3(p []byte) (out seenResponse, err error) {
	for r := bytes.NewReader(p); r.Len() > 0; {
		kind, err := quicvarint.Read(r)
		if err != nil {
			return out, err
		}
		length, err := quicvarint.Read(r)
		if err != nil {
			return out, err
		}
		payload := make([]byte, length)
		if _, err := io.ReadFull(r, payload); err != nil {
			return out, err
		}
		switch kind {
		case 0:
			out.body += string(payload)
		case 1:
			if err := out.fields(payload); err != nil {
				return out, err
			}
		}
	}
	return out, nil
}

// fields takes in a field section.
func (out *seenResponse) fields(section []byte) error {
	next := qpack.NewDecoder().Decode(section)
	for {
		f, err := next()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		case f.Name == ":status":
			if out.status, err = strconv.Atoi(f.Value); err != nil {
				return err
			}
		default:
			out.header = append(out.header, [2]string{f.Name, f.Value})
		}
	}
}
