//go:build linux

// The engine: connections of one protocol around one epoll descriptor, each with slots for requests in flight.

package main

import (
	"errors"
	"fmt"
	"slices"
	"syscall"
	"time"

	"github.com/wicketgate/wicketgate/bench/poll"
)

// session is one connection's protocol.
type session interface {
	// hello is what is sent first; requests wait until receive says ready.
	hello() []byte
	// request appends the next request, which occupies the slot.
	request(slot int, out []byte) []byte
	// receive consumes bytes, appends what is to be sent because of them, and calls the engine back for each answer. It keeps what is no whole answer.
	receive(p []byte, out []byte, e *events) ([]byte, error)
}

// events is what a session saw in the bytes it was given.
type events struct {
	ready bool  // requests may be sent from now on
	done  []int // slots that were answered
	units int   // what counts, where it is not answers
}

// protocol says how a session is made and what it does.
type protocol struct {
	open    func() session
	once    bool // a connection is for one request
	endless bool // answers never end, units count
}

// conn is a connection of the load.
type conn struct {
	session session
	fd      int
	out     []byte
	waits   bool
	ready   bool
	started []time.Time // by slot, when what occupies it was due
}

// place is a slot of a connection.
type place struct {
	c    *conn
	slot int
}

type driver struct {
	*poll.Loop
	settings
	protocol
	byFD      map[int]*conn
	idle      []place // a queue: the longest idle first
	begin     time.Time
	sent      int // requests, of which the n-th falls due at begin + n/rate
	latencies []time.Duration
	result    Result
	buffer    [1 << 18]byte
}

// drive runs a protocol for a window.
func drive(s settings, p *protocol) (Result, error) {
	l, err := poll.New()
	if err != nil {
		return Result{}, err
	}
	defer l.Close()
	d := &driver{Loop: l, settings: s, protocol: *p, byFD: map[int]*conn{}, begin: time.Now()}
	defer d.closeAll()
	for range s.conns {
		if err := d.connect(d.open()); err != nil {
			return Result{}, err
		}
	}
	end := d.begin.Add(s.window)
	for now := d.begin; now.Before(end); now = time.Now() {
		d.send(now)
		events, err := d.Wait(d.pause(now, end))
		if err != nil {
			return Result{}, err
		}
		for _, e := range events {
			if c := d.byFD[int(e.Fd)]; c != nil {
				d.handle(c)
			}
		}
		if d.result.Errors > 100*s.conns {
			break // nothing works
		}
	}
	return d.finish(time.Since(d.begin))
}

// due is when the next request is to be sent.
func (d *driver) due(now time.Time) time.Time {
	if d.rate == 0 {
		return now
	}
	return d.begin.Add(time.Duration(float64(d.sent) / d.rate * float64(time.Second)))
}

// pause is how long there is nothing to do unless something arrives.
func (d *driver) pause(now, end time.Time) time.Duration {
	until := end
	if due := d.due(now); d.rate > 0 && len(d.idle) > 0 && due.Before(end) {
		until = due
	}
	return max(0, until.Sub(now))
}

// send gives every request that is due to an idle slot, as long as there are any.
func (d *driver) send(now time.Time) {
	n := 0
	var c *conn
	for ; n < len(d.idle); n++ {
		due := d.due(now)
		if due.After(now) {
			break
		}
		p := d.idle[n]
		if c != nil && c != p.c {
			d.flush(c)
		}
		c = p.c
		d.sent++
		c.started[p.slot] = due
		c.out = c.session.request(p.slot, c.out)
	}
	d.idle = slices.Delete(d.idle, 0, n)
	if c != nil {
		d.flush(c)
	}
}

// connect opens a connection for a session.
func (d *driver) connect(s session) error {
	fd, err := poll.Connect(d.to)
	if err != nil {
		return err
	}
	c := &conn{session: s, fd: fd, started: make([]time.Time, d.streams)}
	if err := d.Add(fd, false); err != nil {
		return err
	}
	d.byFD[fd] = c
	c.out = append(c.out, s.hello()...)
	if len(c.out) == 0 {
		d.becomeReady(c)
	}
	d.flush(c)
	return nil
}

func (d *driver) becomeReady(c *conn) {
	c.ready = true
	for slot := range d.streams {
		d.idle = append(d.idle, place{c, slot})
	}
}

func (d *driver) handle(c *conn) {
	if c.waits {
		d.flush(c)
	}
	n, errno := poll.Read(c.fd, d.buffer[:])
	if errno == syscall.EAGAIN {
		return
	}
	if n == 0 {
		d.fail(c, fmt.Errorf("the connection ended (%w)", errno))
		return
	}
	var e events
	var err error
	if c.out, err = c.session.receive(d.buffer[:n], c.out, &e); err != nil {
		d.fail(c, err)
		return
	}
	if e.ready && !c.ready {
		d.becomeReady(c)
	}
	d.result.Requests += e.units
	now := time.Now()
	for _, slot := range e.done {
		d.latencies = append(d.latencies, now.Sub(c.started[slot]))
		if d.once {
			d.again(c)
			return
		}
		d.idle = append(d.idle, place{c, slot})
	}
	d.flush(c)
}

// fail counts an error and puts a new connection into the place of the one that failed.
func (d *driver) fail(c *conn, err error) {
	d.result.Errors++
	d.result.LastError = err.Error()
	d.again(c)
}

func (d *driver) again(c *conn) {
	d.idle = slices.DeleteFunc(d.idle, func(p place) bool { return p.c == c })
	delete(d.byFD, c.fd)
	_ = syscall.Close(c.fd)
	if err := d.connect(d.open()); err != nil {
		d.result.Errors++
		d.result.LastError = err.Error()
	}
}

// flush sends what is to be sent, as far as it goes. An error shows in the next read.
func (d *driver) flush(c *conn) {
	if len(c.out) == 0 && !c.waits {
		return
	}
	n, _ := poll.Write(c.fd, c.out)
	c.out = slices.Delete(c.out, 0, n)
	if write := len(c.out) > 0; write != c.waits {
		c.waits = write
		_ = d.Change(c.fd, write)
	}
}

func (d *driver) closeAll() {
	for fd := range d.byFD {
		_ = syscall.Close(fd)
	}
}

// finish makes the result.
func (d *driver) finish(took time.Duration) (Result, error) {
	r := d.result
	if !d.endless {
		r.Requests = max(r.Requests, len(d.latencies))
	}
	r.summarise(d.latencies, took)
	if r.Requests == 0 {
		return r, errors.Join(errors.New("not one request was answered"), errors.New(r.LastError))
	}
	return r, nil
}

// summarise fills in rate and percentiles.
func (r *Result) summarise(latencies []time.Duration, took time.Duration) {
	r.PerSecond = float64(r.Requests) / took.Seconds()
	if len(latencies) == 0 {
		return
	}
	slices.Sort(latencies)
	at := func(q float64) time.Duration { return latencies[int(q*float64(len(latencies)-1))] }
	r.P50, r.P99, r.P999 = at(0.5), at(0.99), at(0.999)
}
