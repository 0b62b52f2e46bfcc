//go:build linux

// UDP: each flow is a socket of its own, with some datagrams in flight. A datagram that has not come back after a while is lost, and its
// place is given to a new one.

package main

import (
	"encoding/binary"
	"errors"
	"syscall"
	"time"

	"github.com/wicketgate/wicketgate/bench/poll"
)

// patience is how long a datagram may take before it counts as lost.
const patience = 300 * time.Millisecond

// flow is one socket.
type flow struct {
	fd      int
	pending map[uint32]time.Time // when what is in flight was sent, by number
}

// datagramLength is that of a small question, such as DNS has.
const datagramLength = 64

type datagramDriver struct {
	settings
	flows     map[int]*flow
	late      map[uint32]int // whose flows' descriptors what was given up for lost may still come to
	number    uint32
	latencies []time.Duration
	result    Result
}

// datagrams exchanges datagrams for a window.
func datagrams(s settings) (Result, error) {
	l, err := poll.New()
	if err != nil {
		return Result{}, err
	}
	defer l.Close()
	d := &datagramDriver{settings: s, flows: map[int]*flow{}, late: map[uint32]int{}}
	defer func() {
		for fd := range d.flows {
			_ = syscall.Close(fd)
		}
	}()
	for range s.conns {
		fd, err := poll.Datagrams(s.to, true)
		if err != nil {
			return Result{}, err
		}
		d.flows[fd] = &flow{fd: fd, pending: map[uint32]time.Time{}}
		if err := l.Add(fd, false); err != nil {
			return Result{}, err
		}
		for range s.streams {
			d.send(d.flows[fd], time.Now())
		}
	}
	begin, looked := time.Now(), time.Now()
	for now := begin; now.Sub(begin) < s.window; now = time.Now() {
		events, err := l.Wait(10 * time.Millisecond)
		if err != nil {
			return Result{}, err
		}
		for _, e := range events {
			d.receive(d.flows[int(e.Fd)])
		}
		if now.Sub(looked) > patience/4 {
			looked = now
			d.giveUp(now)
		}
	}
	d.result.Requests = len(d.latencies)
	if d.result.Requests == 0 {
		return d.result, errors.New("not one datagram came back")
	}
	d.result.summarise(d.latencies, time.Since(begin))
	return d.result, nil
}

func (d *datagramDriver) send(f *flow, now time.Time) {
	var p [datagramLength]byte
	d.number++
	binary.BigEndian.PutUint32(p[:], d.number)
	f.pending[d.number] = now
	_, _ = poll.Write(f.fd, p[:]) // what could not be sent is lost, too
}

// receive takes what waits, and sends one datagram for each.
func (d *datagramDriver) receive(f *flow) {
	var p [2 * datagramLength]byte
	for {
		n, errno := poll.Read(f.fd, p[:])
		if errno == syscall.ECONNREFUSED {
			continue
		}
		if errno != 0 {
			return
		}
		now := time.Now()
		number := binary.BigEndian.Uint32(p[:])
		if owner, late := d.late[number]; late && owner == f.fd {
			delete(d.late, number)
			continue
		}
		sent, ok := f.pending[number]
		if n != datagramLength || !ok {
			d.result.Errors++ // another flow's, or one that came twice
			continue
		}
		delete(f.pending, number)
		d.latencies = append(d.latencies, now.Sub(sent))
		d.send(f, now)
	}
}

// giveUp counts what is lost.
func (d *datagramDriver) giveUp(now time.Time) {
	for _, f := range d.flows {
		for number, sent := range f.pending {
			if now.Sub(sent) > patience {
				delete(f.pending, number)
				d.late[number] = f.fd
				d.result.Lost++
				d.send(f, now)
			}
		}
	}
}
