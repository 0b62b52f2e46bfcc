// What only the raw transport can tell of a client's leaving.

package wire

import (
	"testing"
	"time"

	"github.com/wicketgate/wicketgate/message"
)

// TestClientLeavesEarly: a client that leaves before its request was slow enough to be watched is not taken for one that half-closed together
// with it.
func TestClientLeavesEarly(t *testing.T) {
	begun, served, cancelled := make(chan struct{}), make(chan struct{}), make(waiting, 1)
	s := serve(t, Raw, Limits{}, func(x Exchange) {
		x.Watch(cancelled)
		close(begun)
		if r := receive(t, cancelled, "Cancel"); r != message.ClientGone {
			t.Errorf("cancelled for %v", r)
		}
		x.Abort(message.ClientGone)
		close(served)
	})
	k := s.dial()
	k.send(get)
	receive(t, begun, "request")
	time.Sleep(aloneTime * 3 / 2) // the end must not belong to the request; whether the watch has begun by then is no matter
	_ = k.Close()
	receive(t, served, "end of the exchange")
}
