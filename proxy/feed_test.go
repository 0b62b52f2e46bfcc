// The ring between a request's body and a mirror.

package proxy

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/wicketgate/wicketgate/message"
)

func TestFeedKeepsOrder(t *testing.T) {
	f := newFeed()
	random := rand.New(rand.NewPCG(1, 2))
	var in, out []byte
	for len(in) < 20*mirrorBuffer {
		p := make([]byte, random.IntN(mirrorBuffer/8))
		for i := range p {
			p[i] = byte(random.Uint32())
		}
		if !f.write(p) {
			t.Fatalf("%d bytes do not fit", len(p))
		}
		in = append(in, p...)
		for len(in)-len(out) > mirrorBuffer/4 {
			held, _ := f.InHand()
			held = append([]byte(nil), held...)
			p, err := f.Next()
			if err != nil || len(out) == 0 && !bytes.Equal(p, held) {
				t.Fatalf("Next: %v", err)
			}
			out = append(out, p...)
		}
	}
	f.end(nil)
	for {
		p, err := f.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		out = append(out, p...)
	}
	if !bytes.Equal(in, out) {
		t.Errorf("%d bytes came out as %d others", len(in), len(out))
	}
}

func TestFeedDropsWhatDoesNotFit(t *testing.T) {
	f := newFeed()
	if !f.write(make([]byte, mirrorBuffer)) {
		t.Fatal("the buffer is smaller than it is")
	}
	if f.write([]byte("x")) {
		t.Error("more fits than there is room for")
	}
	if _, err := f.Next(); !errors.Is(err, errMirrorSlow) {
		t.Errorf("Next after the overrun: %v", err)
	}
	if !f.write([]byte("x")) || f.fail() {
		t.Error("the overrun is told twice")
	}
}

func TestFeedHasAWholeBodyInHand(t *testing.T) {
	f := newFeed()
	var trailers message.Fields
	trailers.Add([]byte("X-Sum"), []byte("1"))
	if !f.whole([]byte("all"), &trailers) {
		t.Fatal("three bytes do not fit")
	}
	if p, all := f.InHand(); string(p) != "all" || !all {
		t.Errorf("in hand: %q, %v", p, all)
	}
	if got := f.Trailers(); got == nil || string(got.Get("x-sum")) != "1" {
		t.Error("the trailers are lost")
	}
	if newFeed().whole(make([]byte, mirrorBuffer+1), nil) {
		t.Error("a body larger than the buffer was kept")
	}
	f.Stop(message.Drain)
	if _, err := f.Next(); !errors.Is(err, errMirrorDone) {
		t.Errorf("Next after Stop: %v", err)
	}
}

func TestTeeIsReadToItsEnd(t *testing.T) {
	p := fakeMirror(t, func() {})
	defer p.Close()
	r := &reflection{mirror: &mirror{}, proxy: p, body: newFeed()}
	content := message.Text("what arrived between the mirror's turn and the backend's")
	body := &tee{Body: &content, mirrors: []*reflection{r}}
	if p, all := body.InHand(); string(p) != string(content) || all {
		t.Errorf("in hand: %q, all: %v: nobody would read on, and the mirror would get nothing", p, all)
	}
	want := string(content)
	for {
		p, err := body.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil || string(p) != want {
			t.Fatalf("Next: %q, %v", p, err)
		}
		if _, all := body.InHand(); all {
			t.Error("all is in hand before the mirror knows of the end")
		}
	}
	if p, all := r.body.InHand(); string(p) != want || !all {
		t.Errorf("the mirror has %q in hand, all: %v", p, all)
	}
}
