// Many datagrams in one system call: recvmmsg(2) and sendmmsg(2), with what is said beside a datagram (cmsg(3)): the address that it was sent to, and
// the size of the datagrams that the kernel has put together into one (UDP_GRO), or shall take apart again (UDP_SEGMENT).

package datagram

import (
	"encoding/binary"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// slot is the size of a message's buffer: no datagram is larger, nor are those that the kernel has put together. Pages that nothing was read into cost
// nothing.
const slot = 1 << 16

// controlSize is room for an address, a segment size, and their heads.
const controlSize = 96

// message is struct mmsghdr.
type message struct {
	head unix.Msghdr
	n    uint32
}

// control is aligned as struct cmsghdr wants it.
type control [controlSize / 8]uint64

func (c *control) bytes() []byte { return unsafe.Slice((*byte)(unsafe.Pointer(c)), controlSize) }

// batch is messages and what they point to. Its owner is one goroutine.
type batch struct {
	messages []message
	pieces   []unix.Iovec
	names    []unix.RawSockaddrInet6 // the larger of the two
	controls []control
	buffers  []byte
}

// newBatch makes n messages with buffers, if they are to be read into.
func newBatch(n int, buffers bool) *batch {
	b := &batch{
		messages: make([]message, n), pieces: make([]unix.Iovec, n), names: make([]unix.RawSockaddrInet6, n), controls: make([]control, n),
	}
	if buffers {
		b.buffers = make([]byte, n*slot)
	}
	for i := range b.messages {
		h := &b.messages[i].head
		h.Iov = &b.pieces[i]
		h.SetIovlen(1)
		if buffers {
			b.pieces[i].Base = &b.buffers[i*slot]
		}
	}
	return b
}

// bytes are those of message i that was read.
func (b *batch) bytes(i int) []byte { return b.buffers[i*slot:][:b.messages[i].n] }

// receive reads messages from a socket into those from at on, at most limit, and returns how many. named asks for their senders.
func (b *batch) receive(fd, at, limit int, named bool) (int, syscall.Errno) {
	for i := at; i < at+limit; i++ {
		h := &b.messages[i].head
		b.pieces[i].SetLen(slot)
		h.Control = (*byte)(unsafe.Pointer(&b.controls[i]))
		h.SetControllen(controlSize)
		if named {
			h.Name, h.Namelen = (*byte)(unsafe.Pointer(&b.names[i])), unix.SizeofSockaddrInet6
		}
	}
	return transfer(unix.SYS_RECVMMSG, fd, &b.messages[at], limit)
}

// send sends messages from at on, and returns how many were sent before one failed.
func (b *batch) send(fd, at, n int) (int, syscall.Errno) {
	return transfer(unix.SYS_SENDMMSG, fd, &b.messages[at], n)
}

// transfer does not tell the scheduler of a system call that does not wait.
func transfer(trap uintptr, fd int, first *message, n int) (int, syscall.Errno) {
	for {
		done, _, no := syscall.RawSyscall6(trap, uintptr(fd), uintptr(unsafe.Pointer(first)), uintptr(n), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, 0, 0)
		if no == syscall.EINTR {
			continue
		}
		if no != 0 {
			return 0, no
		}
		return int(done), 0
	}
}

// sender reads the name of message i: where it came from.
func (b *batch) sender(i int, k *key) bool {
	name := &b.names[i]
	switch {
	case name.Family == unix.AF_INET:
		four := (*unix.RawSockaddrInet4)(unsafe.Pointer(name))
		k.client = mapped(four.Addr)
		k.port, k.zone = networkOrder(four.Port), 0
	case name.Family == unix.AF_INET6:
		k.client, k.port, k.zone = name.Addr, networkOrder(name.Port), name.Scope_id
	default:
		return false
	}
	return true
}

// mapped is an IPv4 address in IPv6's notation (RFC 4291 section 2.5.5.2).
func mapped(a [4]byte) (m [16]byte) {
	m[10], m[11] = 0xff, 0xff
	copy(m[12:], a[:])
	return m
}

// networkOrder turns a port as it lies in memory into a number, and back.
func networkOrder(p uint16) uint32 {
	return uint32(binary.BigEndian.Uint16(binary.NativeEndian.AppendUint16(make([]byte, 0, 2), p)))
}

// beside reads what is said beside message i: the address that it was sent to, if that is said, and the size of its segments, 0 if it is one datagram.
func (b *batch) beside(i int, local *[16]byte) (segment int) {
	h := &b.messages[i].head
	rest := b.controls[i].bytes()[:min(int(h.Controllen), controlSize)]
	for len(rest) >= unix.SizeofCmsghdr {
		c, data, more, err := unix.ParseOneSocketControlMessage(rest)
		if err != nil {
			break
		}
		switch {
		case c.Level == unix.IPPROTO_IP && c.Type == unix.IP_PKTINFO && len(data) >= unix.SizeofInet4Pktinfo:
			*local = mapped([4]byte(data[4:8])) // the local address, also of a broadcast
		case c.Level == unix.IPPROTO_IPV6 && c.Type == unix.IPV6_PKTINFO && len(data) >= unix.SizeofInet6Pktinfo:
			*local = [16]byte(data[:16])
		case c.Level == unix.SOL_UDP && c.Type == unix.UDP_GRO && len(data) >= 4:
			segment = int(binary.NativeEndian.Uint32(data))
		}
		rest = more
	}
	if segment >= int(b.messages[i].n) {
		segment = 0
	}
	return segment
}

// from appends to what is said beside a message that it is to be sent from an address. Interface 0 leaves that choice to the system.
func appendFrom(p []byte, four bool, local [16]byte, zone uint32) []byte {
	if four {
		info := make([]byte, unix.SizeofInet4Pktinfo)
		copy(info[4:8], local[12:])
		return appendControl(p, unix.IPPROTO_IP, unix.IP_PKTINFO, info)
	}
	info := binary.NativeEndian.AppendUint32(append(make([]byte, 0, unix.SizeofInet6Pktinfo), local[:]...), zone)
	return appendControl(p, unix.IPPROTO_IPV6, unix.IPV6_PKTINFO, info)
}

// appendSegment appends that a message is to be taken apart.
func appendSegment(p []byte, size int) []byte {
	return appendControl(p, unix.SOL_UDP, unix.UDP_SEGMENT, binary.NativeEndian.AppendUint16(nil, uint16(size)))
}

// appendControl appends one control message, padded.
func appendControl(p []byte, level, kind int32, data []byte) []byte {
	at := len(p)
	p = append(p, make([]byte, unix.CmsgSpace(len(data)))...)
	h := unix.Cmsghdr{Level: level, Type: kind}
	h.SetLen(unix.CmsgLen(len(data)))
	copy(p[at:], unsafe.Slice((*byte)(unsafe.Pointer(&h)), unix.SizeofCmsghdr))
	copy(p[at+unix.CmsgLen(0):], data)
	return p
}
