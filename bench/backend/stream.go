//go:build linux

// Sessions that know no protocol: echo, large answers, and bytes without end. And datagrams, one by one.

package main

import (
	"fmt"
	"net/netip"
	"syscall"

	"github.com/wicketgate/wicketgate/bench/poll"
)

// echo sends back what arrives.
type echo struct{}

func (echo) receive(p []byte, w *writer) (int, error) {
	w.send(append([]byte(nil), p...))
	return len(p), nil
}

func (echo) more(*writer) {}

// large answers every 100 bytes with 64 KiB.
type large struct{ answer []byte }

func newLarge() func() session {
	answer := make([]byte, 64<<10)
	return func() session { return large{answer} }
}

func (l large) receive(p []byte, w *writer) (int, error) {
	for range len(p) / 100 {
		w.send(l.answer)
	}
	return len(p) / 100 * 100, nil
}

func (large) more(*writer) {}

// source sends without end once anything has arrived.
type source struct {
	chunk   []byte
	started bool
}

func newSource() func() session {
	chunk := make([]byte, 256<<10)
	return func() session { return &source{chunk: chunk} }
}

func (s *source) receive(p []byte, _ *writer) (int, error) {
	s.started = true
	return len(p), nil
}

func (s *source) more(w *writer) {
	if s.started {
		w.send(s.chunk)
	}
}

// serveDatagrams sends every datagram back to where it came from.
func serveDatagrams(addr netip.AddrPort) error {
	fd, err := poll.Datagrams(addr, false)
	if err != nil {
		return err
	}
	if err := syscall.SetNonblock(fd, false); err != nil {
		return fmt.Errorf("wait for datagrams: %w", err)
	}
	buffer := make([]byte, 64<<10)
	for {
		n, from, err := syscall.Recvfrom(fd, buffer, 0)
		if err == nil {
			err = syscall.Sendto(fd, buffer[:n], 0, from)
		}
		// ECONNREFUSED tells of an earlier answer that nobody took.
		if err != nil && err != syscall.EINTR && err != syscall.ECONNREFUSED {
			return fmt.Errorf("echo a datagram: %w", err)
		}
	}
}
