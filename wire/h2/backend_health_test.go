// The clock of connections to backends: what is asked, and what is closed, and when.

package h2

import (
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"

	"github.com/wicketgate/wicketgate/message"
	"github.com/wicketgate/wicketgate/wire"
)

// silent is a backend that reads, notes PINGs with the time at which they came, and answers them or not.
type silent struct {
	framer *http2.Framer
	began  time.Time
	pings  []time.Duration
	ended  chan struct{}
}

func newSilent(t *testing.T, idle time.Duration, answers bool) (*BackendConn, *silent) {
	t.Helper()
	near, far := net.Pipe()
	c := NewBackendConn(near, BackendOptions{Idle: idle})
	s := &silent{framer: http2.NewFramer(far, far), began: time.Now(), ended: make(chan struct{})}
	go func() {
		defer close(s.ended)
		defer far.Close()
		if _, err := io.ReadFull(far, make([]byte, len(Preface))); err != nil {
			return
		}
		answer := make(chan [8]byte, 16)
		defer close(answer)
		go func() {
			_ = s.framer.WriteSettings()
			for data := range answer {
				_ = s.framer.WritePing(true, data)
			}
		}()
		for {
			f, err := s.framer.ReadFrame()
			if err != nil {
				return
			}
			if f, ok := f.(*http2.PingFrame); ok {
				s.pings = append(s.pings, time.Since(s.began).Round(time.Second))
				if answers {
					answer <- f.Data
				}
			}
		}
	}()
	if err := c.Ready(nil); err != nil {
		t.Fatal(err)
	}
	return c, s
}

func TestBackendPing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, s := newSilent(t, 0, false)
		_, _, _, err := do(c, request("GET", "/"), nil)
		f, ok := errors.AsType[*wire.BackendError](err)
		if took := time.Since(s.began); !ok || f.Kind != wire.BackendBroken || !errors.Is(f, errNoPing) || took > 25*time.Second {
			t.Errorf("%v after %v, want %v", err, took, errNoPing)
		}
		c.Close()
		<-s.ended
		if len(s.pings) != 1 || s.pings[0] < pingAfter*time.Second {
			t.Errorf("PINGs at %v", s.pings)
		}
	})
}

// A backend that is there is not asked all the time: gRPC servers end connections for that.
func TestBackendPingIsRare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, s := newSilent(t, 0, true)
		c.Reserve()
		var res message.Head
		_, failure := c.Do(nil, request("GET", "/"), nil, time.Now().Add(13*time.Minute), &res)
		if failure == nil || failure.Kind != wire.BackendTimeout {
			t.Errorf("%v", failure)
		}
		c.Close()
		<-s.ended
		if n := len(s.pings); n < 2 || n > 4 {
			t.Errorf("PINGs at %v", s.pings)
		}
	})
}

func TestBackendIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, s := newSilent(t, time.Minute, true)
		<-s.ended
		if took := time.Since(s.began); took < time.Minute || took > time.Minute+3*time.Second || c.Reserve() || len(s.pings) > 0 {
			t.Errorf("closed after %v, PINGs at %v", took, s.pings)
		}
		c.Close()
	})
}

// A request that times out on a connection that has gone silent makes the next ones find that out soon.
func TestBackendTimeoutAsks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, s := newSilent(t, 0, false)
		for range 3 {
			c.Reserve()
			var res message.Head
			if _, failure := c.Do(nil, request("GET", "/"), nil, time.Now().Add(4*time.Second), &res); failure == nil || failure.Kind != wire.BackendTimeout {
				t.Errorf("%v", failure)
			}
		}
		_, _, _, err := do(c, request("GET", "/"), nil)
		if took := time.Since(s.began); !errors.Is(err, errNoPing) || took > 17*time.Second {
			t.Errorf("%v after %v", err, took)
		}
		c.Close()
		<-s.ended
	})
}
