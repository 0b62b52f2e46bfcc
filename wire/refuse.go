// Answers to requests that never reach the handler.

package wire

import (
	"errors"
	"strconv"

	"github.com/wicketgate/wicketgate/message"
)

// Answer is what a client is told of it, in any version of HTTP.
func (e *ParseError) Answer() (*message.Head, message.Text) {
	text := message.Text(strconv.Itoa(e.Status) + " " + StatusText(e.Status) + ": " + e.Why + "\n")
	h := &message.Head{Status: e.Status, Length: int64(len(text))}
	h.Fields.Add([]byte("Content-Type"), []byte("text/plain; charset=utf-8"))
	return h, text
}

// refuse answers what cannot be understood or exceeds a limit, and has the connection closed: where one message ends and the next begins is not
// known any more.
func (c *conn) refuse(why error) {
	var p *ParseError
	if !errors.As(why, &p) {
		p = &ParseError{Status: 400, Why: why.Error()}
	}
	c.begin(phaseServing, c.s.clock.Load())
	h, text := p.Answer()
	out := appendResponseHead(nil, h, Framing{Body: BodyLength, Length: h.Length}, 1, c.s.dateLine())
	status := p.Status
	if err := c.transport.send(append(out, text...), nil, nil); err != nil {
		status = 0
	}
	c.lingers = true
	c.s.handler.Refused(&c.peer, status, p)
}
