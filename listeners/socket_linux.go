// What Linux knows about sockets: inherited keep-alive options, and who holds a port.

package listeners

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// keepAlive leaves accepted connections alone: they inherit the probes from the listening socket.
var keepAlive = net.KeepAliveConfig{Enable: false}

// control sets keep-alive probes on a listening socket: the first after 60 s of silence, a connection is given up after three
// more 15 s apart.
func control(_, _ string, c syscall.RawConn) error {
	var failed error
	err := c.Control(func(fd uintptr) {
		for _, o := range [...][3]int{
			{syscall.SOL_SOCKET, syscall.SO_KEEPALIVE, 1},
			{syscall.IPPROTO_TCP, syscall.TCP_KEEPIDLE, 60},
			{syscall.IPPROTO_TCP, syscall.TCP_KEEPINTVL, 15},
			{syscall.IPPROTO_TCP, syscall.TCP_KEEPCNT, 3},
		} {
			if failed = syscall.SetsockoptInt(int(fd), o[0], o[1], o[2]); failed != nil {
				return
			}
		}
	})
	if err != nil {
		return err
	}
	return failed
}

// packetBuffer is the size of a UDP socket's buffers: enough for what comes in the milliseconds in which nobody reads. The system gives so much to
// privileged processes alone; others get what net.core.rmem_max and wmem_max allow.
const packetBuffer = 4 << 20

// packetControl sets what a UDP socket needs before it is bound, so that no datagram comes without.
func packetControl(network, address string, c syscall.RawConn) error {
	at, err := netip.ParseAddrPort(address)
	wildcard := err != nil || at.Addr().IsUnspecified()
	return c.Control(func(fd uintptr) {
		for _, o := range [...][2]int{{syscall.SO_RCVBUF, syscall.SO_RCVBUFFORCE}, {syscall.SO_SNDBUF, syscall.SO_SNDBUFFORCE}} {
			if syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, o[1], packetBuffer) != nil {
				_ = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, o[0], packetBuffer) // what there is is what there is
			}
		}
		if !wildcard {
			return
		}
		// Of one that fails replies come from the address that the system chooses.
		if network == "udp4" {
			_ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_IP, syscall.IP_PKTINFO, 1)
			return
		}
		_ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_IPV6, syscall.IPV6_RECVPKTINFO, 1)
	})
}

// owner names the program that listens on a port, as far as /proc shows it to us: "nginx (pid 812)". Empty if unknown. What it
// says is advice for a person: a program that ends meanwhile makes it wrong.
func owner(addr netip.AddrPort, udp bool) string {
	inodes := map[string]bool{}
	tables, state := [...]string{"/proc/net/tcp", "/proc/net/tcp6"}, "0A" // LISTEN
	if udp {
		tables, state = [...]string{"/proc/net/udp", "/proc/net/udp6"}, "07" // not connected
	}
	for _, table := range tables {
		listening(table, addr.Port(), state, inodes)
	}
	if len(inodes) == 0 {
		return ""
	}
	links, _ := filepath.Glob("/proc/[0-9]*/fd/*") // the pattern is well-formed
	for _, link := range links {
		target, err := os.Readlink(link)
		if err != nil || !inodes[target] {
			continue
		}
		pid := strings.Split(link, "/")[2]
		if pid == strconv.Itoa(os.Getpid()) {
			return "this process (another listener, or --admin)"
		}
		name, err := os.ReadFile("/proc/" + pid + "/comm")
		if err != nil {
			continue
		}
		return fmt.Sprintf("%s (pid %s)", bytes.TrimSpace(name), pid)
	}
	return ""
}

// listening adds the sockets that listen on port, as the target of a descriptor's link ("socket:[123]"), from one of the kernel's tables.
// A row is: number, local address (hexadecimal, ':' port), remote address, state, ..., and the inode in tenth place.
func listening(table string, port uint16, state string, inodes map[string]bool) {
	f, err := os.Open(table)
	if err != nil {
		return
	}
	defer f.Close()
	suffix := fmt.Sprintf(":%04X", port)
	for rows := bufio.NewScanner(f); rows.Scan(); {
		col := strings.Fields(rows.Text())
		if len(col) > 9 && strings.HasSuffix(col[1], suffix) && col[3] == state {
			inodes["socket:["+col[9]+"]"] = true
		}
	}
}
