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

// owner names the program that listens on a port, as far as /proc shows it to us: "nginx (pid 812)". Empty if unknown. What it
// says is advice for a person: a program that ends meanwhile makes it wrong.
func owner(addr netip.AddrPort) string {
	inodes := map[string]bool{}
	for _, table := range [...]string{"/proc/net/tcp", "/proc/net/tcp6"} {
		listening(table, addr.Port(), inodes)
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
			return "another listener of this process"
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
// A row is: number, local address (hexadecimal, ':' port), remote address, state (0A is LISTEN), ..., and the inode in tenth place.
func listening(table string, port uint16, inodes map[string]bool) {
	f, err := os.Open(table)
	if err != nil {
		return
	}
	defer f.Close()
	suffix := fmt.Sprintf(":%04X", port)
	for rows := bufio.NewScanner(f); rows.Scan(); {
		col := strings.Fields(rows.Text())
		if len(col) > 9 && strings.HasSuffix(col[1], suffix) && col[3] == "0A" {
			inodes["socket:["+col[9]+"]"] = true
		}
	}
}
