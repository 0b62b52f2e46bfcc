// What is to be broken off when a client leaves while its request waits for something else.

package wire

import (
	"context"
	"errors"

	"github.com/wicketgate/wicketgate/message"
)

// Causes with which an exchange's context is cancelled.
var (
	ErrClientGone = errors.New("client has left")
	ErrShutdown   = errors.New("connection is shut down")
	errServed     = errors.New("exchange is over")
)

// watch is guarded by conn.mu, under which Cancel is called, too: once set(nil) has returned, no call is under way.
type watch struct {
	canceller Canceller
	told      bool
	armed     bool // the client is being watched
	over      bool // the exchange is to be broken off
	reason    message.Reason
	ctx       context.Context
	cancel    context.CancelCauseFunc
}

func (w *watch) set(k Canceller) { w.canceller, w.told = k, false }

func (w *watch) context() context.Context {
	if w.ctx == nil {
		w.ctx, w.cancel = context.WithCancelCause(context.Background())
		if w.over {
			w.cancel(cause(w.reason))
		}
	}
	return w.ctx
}

// wanted reports whether anybody wants to know of the client's leaving.
func (w *watch) wanted() bool { return w.canceller != nil || w.ctx != nil }

// leave is called when the client has left.
func (w *watch) leave() {
	if w.wanted() {
		w.breakOff(message.ClientGone)
	}
}

// breakOff breaks off what is being watched over, and what will be.
func (w *watch) breakOff(r message.Reason) {
	if !w.over {
		w.over, w.reason = true, r
	}
	if w.canceller != nil && !w.told {
		w.told = true
		w.canceller.Cancel(w.reason)
	}
	if w.cancel != nil {
		w.cancel(cause(w.reason))
	}
}

func cause(r message.Reason) error {
	if r == message.ClientGone {
		return ErrClientGone
	}
	return ErrShutdown
}

// endWatch ends what an exchange had watched, and reports whether it was broken off.
func (c *conn) endWatch() bool {
	c.transport.stop()
	c.mu.Lock()
	defer c.mu.Unlock()
	w := &c.watch
	if w.cancel != nil {
		w.cancel(errServed)
	}
	gone := w.over
	*w = watch{over: gone, reason: w.reason}
	return gone
}
