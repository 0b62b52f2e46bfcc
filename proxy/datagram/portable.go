// Datagrams by package net's methods: a goroutine for the socket and one for each session.

package datagram

import (
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// largest is more than any datagram has bytes.
const largest = 1 << 16

// portable is the transport of systems other than Linux.
type portable struct {
	socket  *Socket
	four    *ipv4.PacketConn // on a wildcard
	six     *ipv6.PacketConn // on one of IPv6, which takes IPv4 as well
	running sync.WaitGroup
	buffers sync.Pool
}

func newPortable(k *Socket) *portable {
	p := &portable{socket: k}
	p.buffers.New = func() any { return new([largest]byte) }
	if k.local.IsValid() {
		return p
	}
	// Where the system cannot tell what address a datagram was sent to, it chooses that of the answers as well.
	p.four = ipv4.NewPacketConn(k.conn)
	if k.four {
		if p.four.SetControlMessage(ipv4.FlagDst, true) != nil {
			p.four = nil
		}
	} else if pc := ipv6.NewPacketConn(k.conn); pc.SetControlMessage(ipv6.FlagDst, true) == nil {
		p.six = pc
	}
	return p
}

func (p *portable) run() {
	k := p.socket
	p.running.Go(p.tick)
	buf := make([]byte, largest)
	for {
		n, from, local, err := p.read(buf)
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				break
			}
			k.server.log.Debug("reading datagrams", slog.Any("error", err))
			continue
		}
		id := keyOf(from, local)
		k.take(func(t *Table) { k.deliver(t, &id, buf[:n], 0, k.server.now()) })
	}
	p.running.Wait()
}

// tick sweeps.
func (p *portable) tick() {
	t := time.NewTicker(p.socket.server.tick)
	defer t.Stop()
	for {
		select {
		case <-p.socket.done:
			return
		case <-t.C:
			p.socket.sweep()
		}
	}
}

func (p *portable) wake()      {} // tick runs always
func (p *portable) hurry()     {}
func (p *portable) close(bool) { _ = p.socket.conn.Close() }

func (p *portable) read(buf []byte) (n int, from netip.AddrPort, local netip.Addr, err error) {
	var src net.Addr
	var dst net.IP
	switch {
	case p.six != nil:
		var cm *ipv6.ControlMessage
		if n, cm, src, err = p.six.ReadFrom(buf); cm != nil {
			dst = cm.Dst
		}
	case p.four != nil && p.socket.four:
		var cm *ipv4.ControlMessage
		if n, cm, src, err = p.four.ReadFrom(buf); cm != nil {
			dst = cm.Dst
		}
	default:
		n, from, err = p.socket.conn.ReadFromUDPAddrPort(buf)
		return n, from, p.socket.local, err
	}
	if udp, ok := src.(*net.UDPAddr); ok {
		from = udp.AddrPort()
	}
	local, _ = netip.AddrFromSlice(dst)
	return n, from, local.Unmap(), err
}

// write sends an answer from the address that the session's client has sent to.
func (p *portable) write(b []byte, x *session) error {
	local := x.key.localAddr()
	to := x.key.peer()
	if zone := x.key.zone; zone != 0 {
		if i, err := net.InterfaceByIndex(int(zone)); err == nil {
			to = netip.AddrPortFrom(to.Addr().WithZone(i.Name), to.Port())
		}
	}
	var err error
	switch {
	case p.four != nil && local.Is4():
		_, err = p.four.WriteTo(b, &ipv4.ControlMessage{Src: local.AsSlice()}, net.UDPAddrFromAddrPort(to))
	case p.six != nil && local.Is6():
		_, err = p.six.WriteTo(b, &ipv6.ControlMessage{Src: local.AsSlice()}, net.UDPAddrFromAddrPort(to))
	default:
		_, err = p.socket.conn.WriteToUDPAddrPort(b, to)
	}
	return err
}

// keyOf makes a session's key.
func keyOf(from netip.AddrPort, local netip.Addr) key {
	k := key{client: from.Addr().As16(), port: uint32(from.Port())}
	if zone := from.Addr().Zone(); zone != "" {
		if i, err := net.InterfaceByName(zone); err == nil {
			k.zone = uint32(i.Index)
		}
	}
	if local.IsValid() {
		k.local = local.As16()
	}
	return k
}

// portableLink is a flow's socket and its goroutine.
type portableLink struct{ conn *net.UDPConn }

func (p *portable) open(f *flow) (link, error) {
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(f.dest.Addr()))
	if err != nil {
		return nil, err
	}
	p.running.Go(func() { p.answers(c, f) })
	return &portableLink{c}, nil
}

func (l *portableLink) send(b []byte, _ int) error {
	_, err := l.conn.Write(b)
	return err
}

func (l *portableLink) close() { _ = l.conn.Close() }

// answers carries what the endpoint sends. It costs a buffer of the largest size for each session, because package net waits and reads in one.
func (p *portable) answers(c *net.UDPConn, f *flow) {
	k, x := p.socket, f.session
	buf, _ := p.buffers.Get().(*[largest]byte)
	defer p.buffers.Put(buf)
	for {
		n, err := c.Read(buf[:])
		if err == nil {
			f.heard(k.server.now())
			if err := p.write(buf[:n], x); err == nil {
				x.answeredWith(n, 0)
			} else {
				k.failed(x, err)
			}
		}
		switch {
		case err == nil:
		case errors.Is(err, net.ErrClosed):
			return
		case unreachable(err) || errors.Is(err, syscall.ECONNRESET): // as Windows says it
			f.lost(err)
		}
	}
}
