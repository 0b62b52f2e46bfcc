// Sending a request's body to a backend.
//
// What is in hand leaves with the head as far as the windows allow. The rest is sent by a goroutine, which waits for the client (Body.Next), for the
// stream's window, for the connection's, and for room in what gathers for the socket; none of them keeps the response from being read. It is
// stopped when the exchange is over, and when the backend resets the stream: then it does not want the rest (RFC 9113 section 8.1).
//
// Expect: 100-continue is passed on: see wire/backend_upload.go.

package h2

import (
	"errors"
	"fmt"
	"io"

	"github.com/wicketgate/wicketgate/message"
	"github.com/wicketgate/wicketgate/wire"
)

// backendUpload is the sending of what did not leave with the head. Its zero value is complete.
type backendUpload struct {
	s       *BackendStream
	body    message.Body // nil: nothing is left to be sent
	left    int64        // bytes of a body of known length that Next has not given yet
	skip    int          // bytes that Next will give and that were sent already
	gate    wire.Gate    // closed by the backend's 100; nil if it is not waited for
	opened  bool         // the gate; this and halting are of the goroutine that waits for the response
	halting bool         // stopped was closed
	stopped chan struct{}
	ended   chan struct{} // closed when the goroutine has ended; nil: there was none

	halted, wasAsked bool // guarded by c.mu
}

func (u *backendUpload) forget() { *u = backendUpload{s: u.s} }

// inHand returns what there is of a body, and whether that is all. It refuses what is known to be longer or shorter than the head says.
func inHand(req *message.Head, body message.Body) (p []byte, all bool, err error) {
	if body == nil || req.Length == message.LengthNone || req.Length == 0 {
		if body == nil && req.Length > 0 {
			return nil, false, errors.New("the request's body is missing")
		}
		return nil, true, nil
	}
	p, all = body.InHand()
	if n := int64(len(p)); req.Length >= 0 && (n > req.Length || all && n < req.Length) {
		return nil, false, fmt.Errorf("the request's body is not %d bytes long as its head says", req.Length)
	}
	return p, all, nil
}

// compose puts the request into c.out, and prepares the sending of what does not go with it. c.mu is held.
func (s *BackendStream) compose(req *message.Head, body message.Body, p []byte, all bool, trailers *message.Fields) {
	c := s.c
	if len(req.Upgrade) > 0 {
		c.appendRequest(s.id, req, false, false)
		return
	}
	expect := req.ExpectContinue && len(p) == 0 && !all
	s.sent = all && len(p) == 0 && trailers == nil
	c.appendRequest(s.id, req, expect, s.sent)
	n := 0
	for k := s.take(len(p)); k > 0; k = s.take(len(p) - n) {
		n += k
		s.sent = all && n == len(p) && trailers == nil
		c.out = AppendData(c.out, s.id, p[n-k:n], s.sent)
	}
	switch {
	case !all || n < len(p):
		s.up.body, s.up.left, s.up.skip = body, req.Length, n
		if expect {
			s.up.gate = make(wire.Gate)
		}
	case !s.sent:
		c.appendTrailers(s.id, trailers)
		s.sent = true
	}
}

// take takes what may be sent now of n bytes of content: no more than one frame's, the windows' and what there is room for. c.mu is held.
func (s *BackendStream) take(n int) int {
	return Take(&s.window, &s.c.window, min(n, int(s.c.peer.MaxFrameSize), s.c.spaceLeft()))
}

// begin starts the goroutine, if there is something left to be sent.
func (u *backendUpload) begin() {
	if u.body != nil {
		u.stopped, u.ended = make(chan struct{}), make(chan struct{})
		go u.run()
	}
}

func (u *backendUpload) run() {
	defer close(u.ended)
	if !u.gate.Await(u.stopped) || !u.ask() {
		return
	}
	complete, err := u.pump()
	if complete {
		return
	}
	u.body.Stop(message.Drain)
	if err != nil {
		c := u.s.c
		c.mu.Lock()
		defer c.mu.Unlock()
		u.s.breakOff(&wire.BackendError{Kind: wire.BackendRequest, Err: err})
	}
}

// ask reports whether the body may be asked for: from then on the request cannot be sent again.
func (u *backendUpload) ask() bool {
	c := u.s.c
	c.mu.Lock()
	defer c.mu.Unlock()
	if u.halted || u.s.over() {
		return false
	}
	u.wasAsked = true
	return true
}

// over reports whether nothing can be sent on the stream any more. c.mu is held.
func (s *BackendStream) over() bool { return s.failure != nil || s.reset || s.c.failure != nil }

// asked reports whether the body was asked for.
func (u *backendUpload) asked() bool {
	u.s.c.mu.Lock()
	defer u.s.c.mu.Unlock()
	return u.wasAsked
}

// pump sends the body and reports whether it came to its end. An error is the body's fault. A backend that does not take it is no error here.
func (u *backendUpload) pump() (complete bool, err error) {
	for {
		p, err := u.body.Next()
		if errors.Is(err, io.EOF) {
			if u.left > 0 {
				return false, errors.New("the request's body is shorter than its head says")
			}
			return u.conclude(), nil
		}
		if err != nil {
			if u.isHalted() {
				err = nil
			}
			return false, wrap("reading the request's body", err)
		}
		if u.left >= 0 {
			if u.left -= int64(len(p)); u.left < 0 {
				return false, errors.New("the request's body is longer than its head says")
			}
		}
		skip := min(u.skip, len(p))
		u.skip -= skip
		if p = p[skip:]; len(p) == 0 {
			continue
		}
		// The last piece says that it is the last, if that is known.
		rest, all := u.body.InHand()
		if !u.s.send(p, all && len(rest) == 0 && u.left <= 0 && u.body.Trailers() == nil) {
			return false, nil
		}
	}
}

func wrap(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", what, err)
}

func (u *backendUpload) isHalted() bool {
	u.s.c.mu.Lock()
	defer u.s.c.mu.Unlock()
	return u.halted || u.s.over()
}

// conclude ends the body on the wire, unless its last piece has done so.
func (u *backendUpload) conclude() bool {
	s := u.s
	c := s.c
	t := u.body.Trailers() // before c.mu is held: see Do
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.sent {
		return true
	}
	if s.over() || u.halted {
		return false
	}
	before := len(c.out)
	if t != nil {
		c.appendTrailers(s.id, t)
	} else {
		c.out = AppendData(c.out, s.id, nil, true)
	}
	s.sent = true
	c.flush(before)
	return true
}

// send puts p into c.out as windows and room allow, and waits for them. It reports whether all of it is there.
func (s *BackendStream) send(p []byte, end bool) bool {
	c := s.c
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		if s.over() || s.up.halted {
			return false
		}
		if n := s.take(len(p)); n > 0 {
			before := len(c.out)
			s.sent = end && n == len(p)
			c.out = AppendData(c.out, s.id, p[:n], s.sent)
			c.quiet = 0
			c.flush(before)
			if p = p[n:]; len(p) == 0 {
				return true
			}
			continue
		}
		if s.window > 0 && !s.blocked {
			s.blocked = true
			c.blocked = append(c.blocked, s)
		}
		c.mu.Unlock()
		<-s.grant
		c.mu.Lock()
	}
}

// open lets the body go: the backend sent 100.
func (u *backendUpload) open() {
	if u.gate != nil && !u.opened {
		u.opened = true
		close(u.gate)
	}
}

// answered leaves the body with the client if the backend has answered its expectation otherwise than with 100. c.mu is held.
func (u *backendUpload) answered() {
	if u.gate != nil && !u.wasAsked {
		u.halted = true
	}
}

// halt stops the goroutine and waits for its end.
func (u *backendUpload) halt() {
	if u.ended == nil {
		return
	}
	c := u.s.c
	c.mu.Lock()
	u.halted = true
	asked := u.wasAsked
	c.mu.Unlock()
	if !u.halting {
		u.halting = true
		close(u.stopped)
	}
	signal(u.s.grant)
	select {
	case <-u.ended:
		return
	default:
	}
	if asked {
		u.body.Stop(message.Drain)
	}
	<-u.ended
}
