// A request that comes alone is served without waking any goroutine: by whoever reads the connection.
//
// To hand a request over to another goroutine has the runtime wake a thread that looks for work, finds none, and sleeps again; with one request under way at
// a time that costs more than the request. So the handler of a request that is all there is of a read, and is complete, runs as a coroutine (package
// iter's): the goroutine that reads the client's connection enters it, and goes on reading when it waits for its backend; the goroutine
// that reads the backend's connection enters it again when the answer is all that it has read, and it responds. A call of gRPC, from top to bottom:
//
//	client's reader       reads HEADERS, DATA and enters the coroutine
//	  coroutine           finds the rule, writes the request to the backend, waits: the reader goes on
//	backend's reader      reads HEADERS, DATA, HEADERS and enters the coroutine
//	  coroutine           writes the response to the client, ends: the reader goes on
//
// Meanwhile nobody reads that connection, so whatever else a handler may wait for (a dial, another service, a slow client) it must not wait for in
// there: it calls Block before, and is a goroutine of its own from then on. Streams that come together have goroutines from the beginning.

package h2

import (
	"iter"
	"sync/atomic"
)

// coroutine serves one stream at a time. One goroutine is in it, or none: who enters it has taken it from the idle ones, or has set state
// from suspended to running.
type coroutine struct {
	s     *Server
	of    *stream
	enter func() (stop, bool) // until the coroutine stops
	end   func()
	pause func(stop) bool // of the coroutine
	state atomic.Uint32
	own   bool // only workers enter it, who may block
}

// stop is why a coroutine lets the goroutine go that is in it.
type stop uint8

const (
	stopServed  stop = iota // the stream is over
	stopWaits               // for what wake tells
	stopMayWait             // for anything else
)

// What state says.
const (
	stateOver      uint32 = iota // there is no stream
	stateRunning                 // somebody is in it
	stateWoken                   // somebody is in it, and does not wait when it comes to that
	stateSuspended               // nobody is in it
)

func (s *Server) newCoroutine() *coroutine {
	if k, ok := s.coroutines.take(); ok {
		return k
	}
	k := &coroutine{s: s}
	k.enter, k.end = iter.Pull(func(pause func(stop) bool) {
		k.pause = pause
		for again := true; again; again = pause(stopServed) {
			k.of.ride()
		}
	})
	return k
}

// carry serves s on the calling goroutine, as far as that can be, and reports whether that was far enough to be worth it: up to where it is to be
// woken by what it waits for.
func (s *stream) carry() bool {
	k := s.c.s.newCoroutine()
	s.coroutine, k.of = k, s
	k.own = false
	k.state.Store(stateRunning)
	return k.proceed()
}

// run is the job of a worker, whose goroutine the coroutine has for its own.
func (k *coroutine) run() { k.proceed() }

// proceed enters the coroutine, and returns when it can do without the calling goroutine: because it has ended or waits for wake, or else because
// it goes on with another one, which is reported as false.
func (k *coroutine) proceed() bool {
	for {
		switch why, _ := k.enter(); why {
		case stopWaits:
			if k.state.CompareAndSwap(stateRunning, stateSuspended) {
				return true
			}
			k.state.Store(stateRunning) // woken meanwhile
		case stopMayWait:
			k.s.workers.start(k)
			return false
		case stopServed:
			k.of = nil
			k.state.Store(stateOver)
			if !k.s.coroutines.keep(k) {
				k.end()
			}
			return true
		}
	}
}

// wait returns after wake was called, or for no reason. Only the coroutine itself calls it.
func (k *coroutine) wait() { k.pause(stopWaits) }

// finish ends a coroutine that serves nothing.
func (k *coroutine) finish() { k.end() }

// block makes a goroutine of the coroutine, until its stream is over. Only the coroutine itself calls it.
func (k *coroutine) block() {
	k.own = true
	k.pause(stopMayWait)
}

// wake lets the coroutine go on if it waits, or soon will. If it can, that is here, before wake returns; the caller must hold no lock then.
// A coroutine may be woken too often, or when its stream is another one.
func (k *coroutine) wake(here bool) {
	for {
		switch k.state.Load() {
		case stateSuspended:
			if !k.state.CompareAndSwap(stateSuspended, stateRunning) {
				continue
			}
			if here && !k.own {
				k.proceed()
			} else {
				k.s.workers.start(k)
			}
			return
		case stateRunning:
			if k.state.CompareAndSwap(stateRunning, stateWoken) {
				return
			}
		default:
			return
		}
	}
}
