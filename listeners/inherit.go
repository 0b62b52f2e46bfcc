//go:build unix

// Sockets that somebody else has opened: systemd's socket activation (sd_listen_fds(3)).
//
// A service manager that opens the sockets lets the gateway run without any privilege, keeps connections waiting while it restarts, and
// starts it with the first of them. The protocol: LISTEN_PID names the process that is meant, LISTEN_FDS says how many descriptors there
// are, from 3 on. With LISTEN_FDS=2, descriptors 3 and 4 may be sockets bound to [::]:80 and [::]:443; the listeners of the
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

// Inherited are the TCP sockets that the process was started with. Its methods may be called concurrently.
type Inherited struct {
	mu    sync.Mutex
	files map[netip.AddrPort]*os.File
	taken map[netip.AddrPort]bool
}

// Inherit takes the sockets that the environment announces, and nil if there are none for this process. It must be called once, before
// the process opens descriptors that it could mistake for them. An error means that something was announced that is no listening
// TCP socket; it is not among what is inherited then, the others are.
//
// The environment stays as it is: children see a LISTEN_PID that is not theirs.
func Inherit(getenv func(string) string, pid int) (*Inherited, error) {
	count, err := announced(getenv, pid)
	if count == 0 || err != nil {
		return nil, err
	}
	in := &Inherited{files: map[netip.AddrPort]*os.File{}, taken: map[netip.AddrPort]bool{}}
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

// add takes a descriptor if it is a listening TCP socket, and closes it otherwise.
func (in *Inherited) add(f *os.File) error {
	if f == nil {
		return errors.New("is not open")
	}
	l, err := net.FileListener(f)
	if err != nil {
		_ = f.Close() // nothing was written to it
		return fmt.Errorf("is no listening socket: %w", err)
	}
	addr, ok := l.Addr().(*net.TCPAddr)
	_ = l.Close() // a duplicate; the descriptor stays
	if !ok {
		_ = f.Close()
		return fmt.Errorf("listens on %s: only TCP sockets can be used (ListenStream= with a port)", l.Addr())
	}
	at := key(addr.AddrPort())
	if in.files[at] != nil {
		_ = f.Close()
		return fmt.Errorf("listens on %s, as another one does", at)
	}
	in.files[at] = f
	return nil
}

// key is an address as it is looked up: all wildcards of a port are one, and IPv4 is IPv4.
func key(a netip.AddrPort) netip.AddrPort {
	addr := a.Addr().Unmap()
	if addr.IsUnspecified() {
		addr = netip.IPv6Unspecified()
	}
	return netip.AddrPortFrom(addr, a.Port())
}

// Listen is a function for Options: the inherited socket if there is one for that address, else a new one. A socket that was closed because no
// listener wanted it can be had again: the descriptor stays open, and what connects meanwhile waits in the kernel's queue, as it does while
// the service is stopped.
func (in *Inherited) Listen(ctx context.Context, addr netip.AddrPort) (net.Listener, error) {
	if in == nil {
		return ListenTCP(ctx, addr)
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	f := in.files[key(addr)]
	if f == nil {
		return ListenTCP(ctx, addr)
	}
	l, err := net.FileListener(f)
	if err != nil {
		return nil, fmt.Errorf("using the inherited socket: %w", err)
	}
	in.taken[key(addr)] = true
	return l, nil
}

// Unused lists the inherited sockets that nobody has asked for, in no order: connections to them wait in vain.
func (in *Inherited) Unused() []netip.AddrPort {
	if in == nil {
		return nil
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	var list []netip.AddrPort
	for at := range in.files {
		if !in.taken[at] {
			list = append(list, at)
		}
	}
	return list
}
