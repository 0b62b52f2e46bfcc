//go:build unix

// Sockets that somebody else has opened: systemd's socket activation (sd_listen_fds(3)).
//
// A service manager that opens the sockets lets the gateway run without any privilege, keeps connections waiting while it restarts, and
// starts it with the first of them. The protocol: LISTEN_PID names the process that is meant, LISTEN_FDS says how many descriptors there
// are, from 3 on. With LISTEN_FDS=3, descriptors 3, 4 and 5 may be sockets bound to [::]:80, [::]:443 and, of UDP, [::]:443; the listeners of the
// Gateways that want these addresses take them, and everything else is opened as usual.

package listeners

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"sync"
	"syscall"
)

// firstInherited is SD_LISTEN_FDS_START.
const firstInherited = 3

// maxInherited bounds what LISTEN_FDS may claim: more descriptors than that are a mistake.
const maxInherited = 1024

// Inherited are the sockets that the process was started with. Its methods may be called concurrently.
type Inherited struct {
	mu    sync.Mutex
	files map[place]*os.File
	taken map[place]bool
}

// place is an address of TCP or UDP, as it is looked up: all wildcards of a port are one, and IPv4 is IPv4.
type place struct {
	netip.AddrPort
	udp bool
}

func placeOf(a netip.AddrPort, udp bool) place {
	addr := a.Addr().Unmap()
	if addr.IsUnspecified() {
		addr = netip.IPv6Unspecified()
	}
	return place{netip.AddrPortFrom(addr, a.Port()), udp}
}

// Inherit takes the sockets that the environment announces, and nil if there are none for this process. It must be called once, before
// the process opens descriptors that it could mistake for them. An error means that something was announced that is neither a listening
// TCP socket nor a UDP socket; it is not among what is inherited then, the others are.
//
// The environment stays as it is: children see a LISTEN_PID that is not theirs.
func Inherit(getenv func(string) string, pid int) (*Inherited, error) {
	count, err := announced(getenv, pid)
	if count == 0 || err != nil {
		return nil, err
	}
	in := &Inherited{files: map[place]*os.File{}, taken: map[place]bool{}}
	var failed []error
	for fd := firstInherited; fd < firstInherited+count; fd++ {
		syscall.CloseOnExec(fd) // ours, and no child's
		if err := in.add(os.NewFile(uintptr(fd), "inherited-"+strconv.Itoa(fd))); err != nil {
			failed = append(failed, fmt.Errorf("descriptor %d: %w", fd, err))
		}
	}
	return in, errors.Join(failed...)
}

// announced reads LISTEN_PID and LISTEN_FDS.
func announced(getenv func(string) string, pid int) (int, error) {
	if getenv("LISTEN_PID") != strconv.Itoa(pid) {
		return 0, nil
	}
	count, err := strconv.Atoi(getenv("LISTEN_FDS"))
	if err != nil || count < 0 || count > maxInherited {
		return 0, fmt.Errorf("LISTEN_FDS=%q is no number of descriptors from 0 to %d", getenv("LISTEN_FDS"), maxInherited)
	}
	return count, nil
}

// add takes a descriptor if it is a listening TCP socket or a UDP socket, and closes it otherwise.
func (in *Inherited) add(f *os.File) error {
	if f == nil {
		return errors.New("is not open")
	}
	at, err := boundTo(f)
	if err == nil && in.files[at] != nil {
		err = fmt.Errorf("is bound to %s, as another one is", at.AddrPort)
	}
	if err != nil {
		_ = f.Close() // nothing was written to it
		return err
	}
	in.files[at] = f
	return nil
}

// boundTo says where a socket is. It works on duplicates of the descriptor.
func boundTo(f *os.File) (place, error) {
	if c, err := net.FilePacketConn(f); err == nil {
		_ = c.Close()
		if addr, ok := c.LocalAddr().(*net.UDPAddr); ok {
			return placeOf(addr.AddrPort(), true), nil
		}
		return place{}, fmt.Errorf("is bound to %s: of those for datagrams only UDP sockets can be used (ListenDatagram= with a port)", c.LocalAddr())
	}
	l, err := net.FileListener(f)
	if err != nil {
		return place{}, fmt.Errorf("is no listening socket: %w", err)
	}
	_ = l.Close()
	if addr, ok := l.Addr().(*net.TCPAddr); ok {
		return placeOf(addr.AddrPort(), false), nil
	}
	return place{}, fmt.Errorf("listens on %s: only TCP sockets can be used (ListenStream= with a port)", l.Addr())
}

// take returns the inherited socket for an address; nil: there is none.
func (in *Inherited) take(addr netip.AddrPort, udp bool) *os.File {
	if in == nil {
		return nil
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	at := placeOf(addr, udp)
	f := in.files[at]
	if f != nil {
		in.taken[at] = true
	}
	return f
}

// Listen is a function for Options: the inherited socket if there is one for that address, else a new one. A socket that was closed because no
// listener wanted it can be had again: the descriptor stays open, and what connects meanwhile waits in the kernel's queue, as it does while
// the service is stopped.
func (in *Inherited) Listen(ctx context.Context, addr netip.AddrPort) (net.Listener, error) {
	f := in.take(addr, false)
	if f == nil {
		return ListenTCP(ctx, addr)
	}
	l, err := net.FileListener(f)
	if err != nil {
		return nil, fmt.Errorf("using the inherited socket: %w", err)
	}
	return l, nil
}

// ListenUDP is the same for UDP sockets: datagrams wait as connections do, as many as the socket's buffer holds.
func (in *Inherited) ListenUDP(ctx context.Context, addr netip.AddrPort) (*net.UDPConn, error) {
	f := in.take(addr, true)
	if f == nil {
		return ListenUDP(ctx, addr)
	}
	c, err := net.FilePacketConn(f)
	if err != nil {
		return nil, fmt.Errorf("using the inherited socket: %w", err)
	}
	return prepared(c)
}

// prepared gives a UDP socket that somebody else has bound what ListenUDP gives its own.
func prepared(c net.PacketConn) (*net.UDPConn, error) {
	conn, ok := c.(*net.UDPConn)
	if !ok {
		return nil, errors.Join(fmt.Errorf("a socket of type %T", c), c.Close())
	}
	raw, err := conn.SyscallConn()
	if err == nil {
		network := "udp6"
		at, _ := conn.LocalAddr().(*net.UDPAddr) // of a UDPConn it is nothing else
		if at.IP.To4() != nil {
			network = "udp4"
		}
		err = packetControl(network, at.String(), raw)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("using the inherited socket: %w", err), conn.Close())
	}
	return conn, nil
}

// Unused lists the inherited sockets that nobody has asked for, in no order: clients wait there in vain.
func (in *Inherited) Unused() (tcp, udp []netip.AddrPort) {
	if in == nil {
		return nil, nil
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	for at := range in.files {
		switch {
		case in.taken[at]:
		case at.udp:
			udp = append(udp, at.AddrPort)
		default:
			tcp = append(tcp, at.AddrPort)
		}
	}
	return tcp, udp
}
