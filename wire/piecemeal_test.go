// Heads that arrive in pieces of awkward sizes.

package wire

import (
	"strings"
	"testing"
	"time"
)

// TestHeadFillsItsBufferExactly: a last small piece without a line's end fills the memory for the head, which must grow all the same, or
// the head be refused.
func TestHeadFillsItsBufferExactly(t *testing.T) {
	const begin = "GET / HTTP/1.1\r\nHost: a\r\nX: "
	run(t, func(t *testing.T, mode Transport) {
		for name, c := range map[string]struct {
			size int // of the memory that is filled
			want string
		}{
			"the first":           {headBuffer, "HTTP/1.1 200 OK\r\n"},
			"the largest allowed": {64 << 10, "HTTP/1.1 431 "},
		} {
			t.Run(name, func(t *testing.T) {
				s := serve(t, mode, Limits{}, answering(2))
				k := s.dial()
				k.send(begin + strings.Repeat("y", c.size-len(begin)-100))
				time.Sleep(tick) // so that the rest is read apart
				k.send(strings.Repeat("y", 100))
				time.Sleep(tick)
				k.send("y\r\n\r\n")
				k.expect(c.want)
			})
		}
	})
}
