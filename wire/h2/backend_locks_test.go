// The order of locks between a client's connection and a backend's.

package h2

import (
	"testing"
	"time"

	"github.com/wicketgate/wicketgate/message"
)

// suspicious is a body that watches whether it is asked for anything by somebody who holds the backend connection's lock: a client's body takes
// its own connection's, under which Cancel is called, which takes the backend's.
type suspicious struct {
	*pieces
	t *testing.T
	c *BackendConn
}

// check fails if the lock is never free while the caller waits.
func (b *suspicious) check(what string) {
	for end := time.Now().Add(5 * time.Second); !b.c.mu.TryLock(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			b.t.Errorf("%s is asked for under the lock of the backend's connection", what)
			return
		}
	}
	b.c.mu.Unlock()
}

func (b *suspicious) InHand() ([]byte, bool) {
	b.check("what is in hand")
	return b.pieces.InHand()
}

func (b *suspicious) Next() ([]byte, error) {
	b.check("the next piece")
	return b.pieces.Next()
}

func (b *suspicious) Trailers() *message.Fields {
	b.check("the trailers")
	return b.pieces.Trailers()
}

func (b *suspicious) Stop(r message.Reason) {
	b.check("the end")
	b.pieces.Stop(r)
}

func TestBackendAsksNothingOfAClientUnderItsLock(t *testing.T) {
	c := standard(t, mirrorHandler)
	for _, whole := range []bool{true, false} {
		p := newPieces("some", " content")
		p.whole, p.trailers = whole, &message.Fields{}
		p.trailers.Add([]byte("x-sum"), []byte("1"))
		req := request("POST", "/")
		req.Length = message.LengthUnknown
		if _, _, _, err := do(c, req, &suspicious{pieces: p, t: t, c: c}); err != nil {
			t.Error(err)
		}
	}
}
