// The way of a datagram, to the endpoint and back.

package datagram

import (
	"errors"
	"syscall"
)

// maxTries is how many endpoints a datagram is tried with of which the system knows that nobody listens there.
const maxTries = 3

// deliver sends on what a client has sent: one datagram, or, with a segment that is not 0, several of that size in a row. mu is held.
func (k *Socket) deliver(t *Table, from *key, p []byte, segment int, now int64) {
	x := k.sessions[*from]
	if x != nil && (x.table != t || x.flow.dest.Gone()) && !k.refit(x, t) {
		x = nil
	}
	if x == nil {
		if x = k.admit(t, from, now); x == nil {
			return
		}
	} else {
		k.touch(x, now)
	}
	k.send(x, p, segment)
}

// send sends to the session's endpoint, or to another one if nobody listens there. An error of a connected socket is about an earlier datagram; this one has not
// been sent then.
func (k *Socket) send(x *session, p []byte, segment int) {
	for range maxTries {
		if x.flow.refused.Load() && !k.connect(x, x.flow.dest) {
			return
		}
		err := x.flow.link.send(p, segment)
		if err == nil {
			n := datagrams(len(p), segment)
			x.in.Add(int64(len(p)))
			x.counting().Counts.received(n, len(p))
			return
		}
		if !unreachable(err) {
			why := BackendFailed
			if errors.Is(err, syscall.EMSGSIZE) {
				why = TooLarge
			}
			k.drop(x.counting(), x.route, why, &x.key, err)
			return
		}
		x.flow.lost(err)
	}
	k.drop(x.counting(), x.route, BackendRefused, &x.key, syscall.ECONNREFUSED)
}

// lost notes that nobody listens at the endpoint. It needs no lock.
func (f *flow) lost(err error) {
	if !f.refused.Swap(true) {
		f.dest.Failed(err)
	}
}

// unreachable reports whether an error tells that nobody listens at an endpoint (ICMP port unreachable), or that there is no way to it.
func unreachable(err error) bool {
	for _, no := range []syscall.Errno{syscall.ECONNREFUSED, syscall.EHOSTUNREACH, syscall.ENETUNREACH, syscall.EHOSTDOWN} {
		if errors.Is(err, no) {
			return true
		}
	}
	return false
}

// heard notes an answer. It needs no lock.
func (f *flow) heard(now int64) {
	if f.session.heard.Load() != now {
		f.session.heard.Store(now)
	}
	if !f.answered.Load() {
		f.answered.Store(true)
		f.dest.Answered()
	}
}

// answeredWith counts an answer that was sent to the client.
func (x *session) answeredWith(p, segment int) {
	x.out.Add(int64(p))
	if s := x.counting(); s != nil { // an answer to nothing, before the session is complete
		s.Counts.sent(datagrams(p, segment), p)
	}
}

// datagrams is how many datagrams n bytes are.
func datagrams(n, segment int) int {
	if segment == 0 || n == 0 {
		return 1
	}
	return (n + segment - 1) / segment
}

// failed counts an answer that could not be sent to the client. It needs no lock.
func (k *Socket) failed(x *session, err error) {
	if s := x.counting(); s != nil {
		k.drop(s, &Route{}, ClientFailed, &x.key, err)
	}
}
