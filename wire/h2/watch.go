// What is to be broken off when a client leaves: it resets the stream, or its connection is lost.

package h2

import (
	"context"
	"errors"
	"sync"

	"github.com/wicketgate/wicketgate/message"
	"github.com/wicketgate/wicketgate/wire"
)

var errServed = errors.New("exchange is over")

// watch is what an exchange wants to be told of. Cancel is called with mu held: once set(nil) has returned, no call is under way.
type watch struct {
	mu        sync.Mutex
	canceller wire.Canceller
	told      bool
	ctx       context.Context
	cancel    context.CancelCauseFunc
	over      bool
	reason    message.Reason
}

func (w *watch) set(k wire.Canceller) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.canceller, w.told = k, false
	if w.over && k != nil {
		go w.tell(k) // the caller may hold what Cancel needs
	}
}

// tell cancels k if it is still to be told.
func (w *watch) tell(k wire.Canceller) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.canceller == k && w.over && !w.told {
		w.told = true
		k.Cancel(w.reason)
	}
}

func (w *watch) context() context.Context {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ctx == nil {
		w.ctx, w.cancel = context.WithCancelCause(context.Background())
		if w.over {
			w.cancel(cause(w.reason))
		}
	}
	return w.ctx
}

// breakOff breaks off what is being watched over, and what will be, as long as s is still the stream it was.
func (w *watch) breakOff(s *stream, r message.Reason) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s.c.mu.Lock()
	gone := s.gone
	s.c.mu.Unlock()
	if !gone {
		return // used again meanwhile
	}
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

// end ends what was watched.
func (w *watch) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.cancel != nil {
		w.cancel(errServed)
	}
	w.canceller, w.told, w.ctx, w.cancel, w.over, w.reason = nil, false, nil, nil, false, 0
}

func cause(r message.Reason) error {
	if r == message.ClientGone {
		return wire.ErrClientGone
	}
	return wire.ErrShutdown
}
