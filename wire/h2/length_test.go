// Content against content-length, and what Active counts.

package h2

import (
	"errors"
	"io"
	"testing"

	"github.com/wicketgate/wicketgate/message"
	"github.com/wicketgate/wicketgate/wire"
)

func TestContentLengthIsHeld(t *testing.T) {
	ended := make(chan error, 1)
	h := start(t, wire.Limits{}, func(x wire.Exchange) {
		_, err := readBody(x.Body())
		ended <- err
		x.Abort(message.ClientGone)
	})
	c := h.dial()
	for i, pieces := range [][]string{{"abcd"}, {"ab", "cd"}, {"ab", ""}} {
		id := uint32(2*i + 1)
		c.request(id, "POST", "/", false, "content-length: 3")
		for j, p := range pieces {
			c.send(AppendData(nil, id, []byte(p), j == len(pieces)-1))
		}
		if f := c.await(FrameResetStream, id); ErrCode(f.Uint32()) != ProtocolError {
			t.Errorf("%q: stream reset with %v", pieces, ErrCode(f.Uint32()))
		}
		if err := <-ended; !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%q: the handler read %v", pieces, err)
		}
	}
}

// Content where none is announced makes a request malformed, whether it comes with the header or later; a frame without content does not.
func TestContentWhereNoneIsAnnounced(t *testing.T) {
	began, goOn := make(chan struct{}), make(chan struct{})
	h := start(t, wire.Limits{}, func(x wire.Exchange) {
		if x.Body() != nil {
			t.Error("the request has a body")
		}
		began <- struct{}{}
		select {
		case <-goOn:
		case <-x.Context().Done():
		}
		answer(x, 200, "done")
	})
	c := h.dial()
	post := []string{":method: POST", ":scheme: http", ":authority: a", ":path: /", "content-length: 0"}
	c.send(AppendData(c.headers(1, false, post...), 1, []byte("x"), true))
	<-began
	if f := c.await(FrameResetStream, 1); ErrCode(f.Uint32()) != ProtocolError {
		t.Errorf("together: stream reset with %v", ErrCode(f.Uint32()))
	}
	c.send(c.headers(3, false, post...))
	<-began
	c.send(AppendData(nil, 3, []byte("x"), false))
	if f := c.await(FrameResetStream, 3); ErrCode(f.Uint32()) != ProtocolError {
		t.Errorf("later: stream reset with %v", ErrCode(f.Uint32()))
	}
	c.send(AppendData(c.headers(5, false, post...), 5, nil, true))
	<-began
	close(goOn)
	if f := c.await(FrameData, 5); string(f.Payload) != "done" {
		t.Errorf("got %q", f.Payload)
	}
}

func TestActive(t *testing.T) {
	began, goOn := make(chan struct{}), make(chan struct{})
	h := start(t, wire.Limits{}, func(x wire.Exchange) {
		began <- struct{}{}
		<-goOn
		answer(x, 200, "done")
	})
	c := h.dial()
	c.request(1, "GET", "/", true)
	c.request(3, "GET", "/", true)
	<-began
	<-began
	if connections, streams := h.server.Active(); connections != 1 || streams != 2 {
		t.Errorf("%d connections with %d streams, want 1 with 2", connections, streams)
	}
	close(goOn)
}
