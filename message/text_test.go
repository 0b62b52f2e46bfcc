// A body that is all there.

package message

import (
	"errors"
	"io"
	"testing"
)

func TestTextIsReadOnce(t *testing.T) {
	var b Body = new(Text)
	if p, all := b.InHand(); len(p) != 0 || !all {
		t.Errorf("the empty Text has %q in hand, all: %t", p, all)
	}
	if _, err := b.Next(); !errors.Is(err, io.EOF) {
		t.Errorf("the empty Text ends with %v", err)
	}
	text := Text("hello")
	b = &text
	if p, all := b.InHand(); string(p) != "hello" || !all {
		t.Errorf("%q in hand, all: %t", p, all)
	}
	if p, err := b.Next(); string(p) != "hello" || err != nil {
		t.Errorf("Next: %q, %v", p, err)
	}
	if p, all := b.InHand(); len(p) != 0 || !all {
		t.Errorf("%q in hand behind the end, all: %t", p, all)
	}
	if _, err := b.Next(); !errors.Is(err, io.EOF) {
		t.Errorf("behind the end: %v", err)
	}
	if b.Trailers() != nil {
		t.Error("a Text has trailers")
	}
}
