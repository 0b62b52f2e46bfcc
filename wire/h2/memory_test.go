// Tests of what connections hold while they wait.

package h2

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"
	"unsafe"

	"github.com/wicketgate/wicketgate/message"
	"github.com/wicketgate/wicketgate/wire"
)

func TestAWaitingConnectionHoldsNoBuffer(t *testing.T) {
	near, far := net.Pipe()
	defer near.Close()
	defer far.Close()
	c := newConn(NewServer(Options{}), near, netip.AddrPort{}, nil)
	defer c.release()
	holds := func(when string, want int) {
		t.Helper()
		got := 0
		if c.small != nil {
			got += int(unsafe.Sizeof(*c.small))
		}
		if c.big != nil {
			got += int(unsafe.Sizeof(*c.big))
		}
		if got != want {
			t.Fatalf("%s it holds %d bytes, not %d", when, got, want)
		}
	}
	room := func(when string, want int) {
		t.Helper()
		if got := len(c.space()); got != want {
			t.Fatalf("%s there is room for %d bytes, not %d", when, got, want)
		}
	}
	holds("from the beginning", 0)
	room("at first", smallBuffer)
	c.pause()
	holds("after a pause", 0)

	room("again", smallBuffer)
	c.n = copy(c.in, "a_part of a frame")
	c.pause()
	holds("with a part of a frame in hand", smallBuffer)
	room("behind that", smallBuffer-c.n)
	c.n, c.filled = len(c.in), true
	c.in[1] = 'b'
	room("behind a full buffer", readBuffer-smallBuffer)
	holds("behind a full buffer", readBuffer)
	if got := string(c.in[:6]); got != "abpart" {
		t.Fatalf("what was in hand is now %q", got)
	}

	c.n, c.filled, c.running = 0, false, 1
	c.pause()
	holds("while a body is arriving", 0)
	room("for the next part of a body", readBuffer)
	c.pause()
	c.running = 0
	room("for what comes after the body", readBuffer)
	c.filled = false
	c.pause()
	holds("at rest", 0)
	room("after that", smallBuffer)
}

// TestNobodyReadsWhatWasGivenBack sends requests over connections of ours on both sides. At every step somebody else takes the buffers that were given
// back, and fills them: whoever still points there reads that, or is caught by the race detector.
func TestNobodyReadsWhatWasGivenBack(t *testing.T) {
	h := start(t, wire.Limits{}, func(x wire.Exchange) {
		head := x.Request()
		seize()
		body, err := readBody(x.Body())
		if err != nil {
			t.Error(err)
		}
		seize()
		res := &message.Head{Status: 200, Length: message.LengthUnknown}
		res.Fields.Add([]byte("x-target"), head.Target)
		res.Fields.Add([]byte("x-back"), head.Fields.Get("x-there"))
		_ = x.Respond(res, &content{pieces: [][]byte{body[:len(body)/2], body[len(body)/2:]}, trailers: x.Body().Trailers()})
	})
	nc, err := net.Dial("tcp", h.addr)
	if err != nil {
		t.Fatal(err)
	}
	c := NewBackendConn(nc, BackendOptions{})
	defer c.Close()
	if err := c.Ready(nil); err != nil {
		t.Fatal(err)
	}
	var clients sync.WaitGroup
	for k := range 4 {
		clients.Go(func() {
			for i := 0; i < 25 && !t.Failed(); i++ {
				echoed(t, c, fmt.Sprint(k, ".", i))
			}
		})
	}
	clients.Wait()
}

// echoed sends a request that says name in all of its parts, and looks for it in all parts of the response.
func echoed(t *testing.T, c *BackendConn, name string) {
	if !c.Reserve() {
		t.Error("there is no stream")
		return
	}
	body := newPieces(strings.Repeat(name, rand.IntN(100)), strings.Repeat(name, rand.IntN(20_000)), name)
	body.trailers = &message.Fields{}
	body.trailers.Add([]byte("x-sum"), []byte(name))
	want := string(bytes.Join(body.list, nil))
	req := request("POST", "/"+name, "x-there", name)
	req.Length = message.LengthUnknown
	var res message.Head
	s, failure := c.Do(nil, req, body, time.Time{}, &res)
	if failure != nil {
		t.Error(failure)
		return
	}
	defer s.Finish()
	seize()
	got, trailers, err := readAll(s)
	seize()
	switch {
	case err != nil:
		t.Error(err)
	case got != want:
		t.Errorf("%s: other content came back (%d bytes) than was sent (%d)", name, len(got), len(want))
	case string(res.Fields.Get("x-target")) != "/"+name, string(res.Fields.Get("x-back")) != name:
		t.Errorf("%s: the response is about %s, %s", name, res.Fields.Get("x-target"), res.Fields.Get("x-back"))
	case trailers == nil || string(trailers.Get("x-sum")) != name:
		t.Errorf("%s: other trailers", name)
	}
}

// seize takes buffers that connections have given back, fills them, and puts them back.
func seize() {
	var small [4]*[smallBuffer]byte
	var big [4]*[readBuffer]byte
	var backends [4]*[backendRead]byte
	for i := range small {
		small[i], big[i] = smallBuffers.Get().(*[smallBuffer]byte), readBuffers.Get().(*[readBuffer]byte)
		backends[i] = backendBuffers.Get().(*[backendRead]byte)
		for _, p := range [][]byte{small[i][:], big[i][:], backends[i][:]} {
			p[0] = '?'
			for n := 1; n < len(p); n *= 2 {
				copy(p[n:], p[:n])
			}
		}
	}
	for i := range small {
		smallBuffers.Put(small[i])
		readBuffers.Put(big[i])
		backendBuffers.Put(backends[i])
	}
}
