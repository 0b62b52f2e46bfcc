// Package ports gives tests ports to serve on, so that neither two tests, nor two test programs that run at a time, nor an outgoing connection
// gets one that was given to somebody else. A port that is merely found free, and bound a moment later by another process, promises none of that.
//
// The ports from 10000 to 32000, or those of them that the system takes no ports for clients from, are divided into blocks. A program has a block
// for as long as it listens on the block's first port, and gives the others one after the other: with blocks of 250 and two programs, the first
// one gives 17501, 17502, ..., and the second one, which finds 17500 taken, 23001, 23002, ...
package ports

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"sync"
)

const (
	lowest, highest = 10_000, 32_000
	size            = 250 // of a block: more than a test, or all that run at a time, ask for
)

// block is the one of this program.
var block struct {
	mu    sync.Mutex
	guard net.Listener // has the first port as long as the program runs; nobody connects to it
	first int
	given int // how many ports have been given
}

// Free gives a port that nobody has on any address, for TCP and UDP, and that this program is given again only after all others of its block.
// It may be called concurrently.
func Free() (int, error) {
	block.mu.Lock()
	defer block.mu.Unlock()
	if block.guard == nil {
		if err := claim(); err != nil {
			return 0, err
		}
	}
	for range size - 1 {
		port := block.first + 1 + block.given%(size-1)
		block.given++
		if unused(port) {
			return port, nil
		}
	}
	return 0, fmt.Errorf("something listens on every port from %d to %d", block.first+1, block.first+size-1)
}

// claim finds a block that no other program has. The caller has the lock.
func claim() error {
	low, high := between(clients())
	for _, i := range rand.Perm((high - low) / size) {
		first := low + i*size
		l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: first})
		if err == nil {
			block.guard, block.first = l, first
			return nil
		}
	}
	return errors.New("other programs have all blocks of ports")
}

// unused reports whether a port can be bound.
func unused(port int) bool {
	l, err := net.ListenTCP("tcp", &net.TCPAddr{Port: port})
	if err != nil {
		return false
	}
	defer l.Close()
	c, err := net.ListenUDP("udp", &net.UDPAddr{Port: port})
	if err != nil {
		return false
	}
	return c.Close() == nil
}

// clients is the range that the system takes the ports of outgoing connections from; on systems that do not tell, the one that IANA has set apart.
func clients() (first, last int) {
	text, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range")
	if err == nil {
		_, err = fmt.Sscan(string(text), &first, &last)
	}
	if err != nil {
		return 49_152, 65_535
	}
	return first, last
}

// between is where blocks lie, given the range of clients: below it or, if that leaves too little room, above it. Where clients may have
// everything, the usual ports must do.
func between(first, last int) (low, high int) {
	const enough = 8 * size
	switch {
	case first >= lowest+enough:
		return lowest, min(highest, first)
	case last <= 65_536-enough-1:
		return max(lowest, last+1), 65_536
	}
	return lowest, highest
}
