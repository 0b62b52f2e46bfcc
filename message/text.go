// Text: content that is all there.

package message

import "io"

// Text is a Body that is all in hand and has no trailers, as an answer of our own has. What is read of it is cut off: assign the bytes again
// to send them again. The zero Text is empty.
type Text []byte

var _ Body = (*Text)(nil)

// InHand returns what is left.
func (t *Text) InHand() ([]byte, bool) { return *t, true }

// Next returns what is left, once.
func (t *Text) Next() ([]byte, error) {
	p := *t
	*t = nil
	if len(p) == 0 {
		return nil, io.EOF
	}
	return p, nil
}

// Trailers returns nil.
func (t *Text) Trailers() *Fields { return nil }

// Stop does nothing: whoever reads a Text never waits.
func (t *Text) Stop(Reason) {}
