// A request's body that can be sent again: what a retry needs of a body that comes from the client as it is read.
//
// What an attempt reads is kept, up to a limit. An attempt that ends early (a backend may answer before it has the whole body) does not end
// the client's body: the next one gets what was kept, and goes on reading where the last one stopped. So nothing waits for the
// end of the body before it is sent, and a body longer than the limit streams as it would without retries; only then it cannot be
// sent again. With a limit of 8:
//
//	client     first attempt                second attempt
//	"abc"      "abc"
//	"def"      waits, is stopped: 503       "abc" "def"
//	"ghi"                                   "ghi": the ninth byte does not fit, no third attempt
//
// While content is kept, the client is read by a goroutine of the replay's own, one piece at a time and only when it is asked for, because an
// attempt must not be kept waiting for a client that sends nothing, and stopping the client's body would end it for all attempts.

package backend

import (
	"errors"
	"io"
	"sync"

	"github.com/wicketgate/wicketgate/message"
)

// ReplayBytes is how much of a request's body is kept for another attempt.
const ReplayBytes = 64 << 10

var errAttemptOver = errors.New("the attempt that the body was sent in is over")

// Replay is a message.Body for one attempt after another. An attempt has ended when RoundTrip has failed or Response.Finish has
// returned; between attempts Reserve and Rewind are called, and Close after the last.
type Replay struct {
	source message.Body
	limit  int

	mu      sync.Mutex
	changed sync.Cond
	kept    []byte // all that was read of source, unless it is spent
	rest    []byte // the piece behind it that did not fit, lent by source
	at      int    // how much of kept this attempt has had
	err     error  // why source gives no more, io.EOF at its end
	reading bool   // a goroutine is in source.Next
	stopped bool   // this attempt's Stop was called
	spent   bool   // more was handed out than is kept: source is read directly
}

var _ message.Body = (*Replay)(nil)

// NewReplay makes body repeatable. length is its head's: of a body that will not fit anyway, nothing is kept.
func NewReplay(body message.Body, length int64) *Replay {
	r := &Replay{source: body, limit: ReplayBytes}
	if length > ReplayBytes {
		r.limit = 0
	}
	r.changed.L = &r.mu
	return r
}

// Reserve reports whether there can be another attempt: not if the body was longer than what is kept and more has been handed out, nor if
// reading it failed. If there can, the present attempt, which may still be sending, gets nothing more.
func (r *Replay) Reserve() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.spent || r.err != nil && !errors.Is(r.err, io.EOF) {
		return false
	}
	r.stopped = true
	r.changed.Broadcast()
	return true
}

// Rewind goes back to the beginning for another attempt, after Reserve.
func (r *Replay) Rewind() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.at, r.stopped = 0, false
}

// Close ends the last attempt's use of the body and waits until nobody reads it any more.
func (r *Replay) Close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stopped = true
	if !r.reading {
		return
	}
	r.mu.Unlock()
	r.source.Stop(message.Drain)
	r.mu.Lock()
	for r.reading {
		r.changed.Wait()
	}
}

// InHand implements message.Body.
func (r *Replay) InHand() ([]byte, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case len(r.kept) > 0 || r.err != nil:
		return r.kept, errors.Is(r.err, io.EOF)
	case r.reading || r.rest != nil || r.spent:
		return nil, false
	}
	return r.source.InHand()
}

// Next implements message.Body.
func (r *Replay) Next() ([]byte, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for {
		switch {
		case r.stopped:
			return nil, errAttemptOver
		case r.at < len(r.kept):
			p := r.kept[r.at:]
			r.at = len(r.kept)
			return p, nil
		case r.rest != nil:
			p := r.rest
			r.kept, r.rest, r.at, r.spent = nil, nil, 0, true
			return p, nil
		case r.spent:
			r.mu.Unlock()
			p, err := r.source.Next()
			r.mu.Lock()
			return p, err
		case r.err != nil:
			return nil, r.err
		case !r.reading:
			r.reading = true
			go r.read()
		}
		r.changed.Wait()
	}
}

// read gets one piece of the client's body and keeps it, if it fits.
func (r *Replay) read() {
	p, err := r.source.Next()
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case err != nil:
		r.err = err
	case len(r.kept)+len(p) > r.limit:
		r.rest = p
	default:
		r.kept = append(r.kept, p...)
	}
	r.reading = false
	r.changed.Broadcast()
}

// Trailers implements message.Body.
func (r *Replay) Trailers() *message.Fields { return r.source.Trailers() }

// Stop implements message.Body. It ends this attempt; the client's body only if there can be no other.
func (r *Replay) Stop(why message.Reason) {
	r.mu.Lock()
	r.stopped = true
	spent := r.spent
	r.changed.Broadcast()
	r.mu.Unlock()
	if spent {
		r.source.Stop(why)
	}
}
