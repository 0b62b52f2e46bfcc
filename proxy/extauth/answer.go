// The answer. It is read strictly, because a misread answer lets somebody in: what is known may come once, has its wire type, and can be carried out; what is
// not known is passed over, as protocol buffers are meant to grow.

package extauth

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/wicketgate/wicketgate/message"
)

// Limits of an answer. What is longer is an error.
const (
	// MaxAnswer is the most bytes of a frame.
	MaxAnswer = 1 << 20
	// MaxChanges is how many fields it may set and remove.
	MaxChanges = 256
	// MaxFields is the most bytes of those.
	MaxFields = 64 << 10
)

// Action is what to do with a field.
type Action uint8

// The actions of HeaderValueOption.
const (
	Set      Action = iota // replace what there is, or add
	Add                    // beside what there is
	Complete               // only where there is none
	Replace                // only where there is one
)

// Change is a field to set.
type Change struct {
	message.Field // valid ones
	Action        Action
}

// Answer is a CheckResponse. Its bytes are those of the frame that it was made from.
type Answer struct {
	Allowed bool
	// Remove are names that a request that may pass loses, and Request are fields that it gets after that.
	Remove  [][]byte
	Request []Change
	// Response are fields that the response to such a request gets.
	Response []Change
	// Status is that of the response to a request that may not pass, 0 if the service does not say; Denied are its fields, to be added whatever
	// their Action is, and Body is its content.
	Status int
	Denied []Change
	Body   []byte
}

var (
	errFrame     = errors.New("the answer is not one uncompressed gRPC message")
	errTruncated = errors.New("the answer ends in the middle of a field")
	errTwice     = errors.New("a field of the answer comes twice")
	errType      = errors.New("a field of the answer has the wrong type")
	errTooMany   = fmt.Errorf("the answer has more than %d fields of headers, or %d bytes", MaxChanges, MaxFields)
	errSilent    = errors.New("the answer says neither yes nor no")
	errOwn       = errors.New("the authorization service says that it failed")
	errQuery     = errors.New("the answer asks for changes of the query, which are not made: let the service set a header")
)

// ParseFrame reads a CheckResponse in its frame. A request may pass if the status is OK and there is no denied_response; an answer with neither
// a status nor an ok_response says nothing, and is an error.
func ParseFrame(frame []byte) (*Answer, error) {
	if len(frame) > MaxAnswer {
		return nil, fmt.Errorf("the answer is longer than %d bytes", MaxAnswer)
	}
	if len(frame) < frameHead || frame[0] != 0 || int64(binary.BigEndian.Uint32(frame[1:])) != int64(len(frame)-frameHead) {
		return nil, errFrame
	}
	var p parser
	if err := each(frame[frameHead:], p.response); err != nil {
		return nil, err
	}
	switch {
	case p.denied:
		return &p.answer, nil
	case !p.status && !p.ok:
		return nil, errSilent
	case p.code != 0: // without a denied_response, the changes of an ok_response are void
		return &Answer{}, nil
	}
	p.answer.Allowed = true
	return &p.answer, nil
}

// parser is what was read so far.
type parser struct {
	answer             Answer
	status, denied, ok bool // there is one
	code               uint64
	changes, size      int
}

// field is one of a message: a number, or bytes.
type field struct {
	number  uint64
	kind    uint64 // the wire type
	value   uint64
	content []byte
}

// each calls f for each field of a message.
func each(b []byte, f func(field) error) error {
	for len(b) > 0 {
		tag, n := binary.Uvarint(b)
		if n <= 0 || tag>>3 == 0 || tag > math.MaxUint32 {
			return errTruncated
		}
		b = b[n:]
		x := field{number: tag >> 3, kind: tag & 7}
		switch x.kind {
		case wireVarint:
			if x.value, n = binary.Uvarint(b); n <= 0 {
				return errTruncated
			}
		case wireFixed64:
			n = 8
		case wireFixed32:
			n = 4
		case wireBytes:
			length, head := binary.Uvarint(b)
			if head <= 0 || length > uint64(len(b)-head) {
				return errTruncated
			}
			n = head + int(length)
			x.content = b[head:n:n]
		default:
			return errType
		}
		if n > len(b) {
			return errTruncated
		}
		b = b[n:]
		if err := f(x); err != nil {
			return err
		}
	}
	return nil
}

// once notes that a field has been seen, which must be of this kind and the first.
func once(seen *bool, x field, kind uint64) error {
	if x.kind != kind {
		return errType
	}
	if *seen {
		return errTwice
	}
	*seen = true
	return nil
}

func (p *parser) response(x field) error {
	switch x.number {
	case 1:
		if err := once(&p.status, x, wireBytes); err != nil {
			return err
		}
		return each(x.content, numberOf(1, &p.code))
	case 2, 3:
		// Either is there, or none: two would contradict one another.
		if p.denied || p.ok {
			return errTwice
		}
		if x.number == 2 {
			if err := once(&p.denied, x, wireBytes); err != nil {
				return err
			}
			return p.denial(x.content)
		}
		if err := once(&p.ok, x, wireBytes); err != nil {
			return err
		}
		return each(x.content, p.permission)
	case 5:
		return errOwn
	}
	return nil
}

// numberOf reads the one number of a message that matters.
func numberOf(number uint64, to *uint64) func(field) error {
	var seen bool
	return func(x field) error {
		if x.number != number {
			return nil
		}
		*to = x.value
		return once(&seen, x, wireVarint)
	}
}

// denial reads a DeniedHttpResponse.
func (p *parser) denial(b []byte) error {
	var status, body bool
	var code uint64
	err := each(b, func(x field) error {
		switch x.number {
		case 1:
			if err := once(&status, x, wireBytes); err != nil {
				return err
			}
			return each(x.content, numberOf(1, &code))
		case 2:
			return p.change(x, Set, &p.answer.Denied)
		case 3:
			p.answer.Body = x.content
			return once(&body, x, wireBytes)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if code != 0 && (code < 200 || code > 599) {
		return fmt.Errorf("status %d of the answer is not one of a final response", code)
	}
	p.answer.Status = int(code)
	return nil
}

// permission reads a field of an OkHttpResponse.
func (p *parser) permission(x field) error {
	switch x.number {
	case 2:
		return p.change(x, Set, &p.answer.Request)
	case 5:
		if x.kind != wireBytes {
			return errType
		}
		if err := p.count(len(x.content)); err != nil {
			return err
		}
		if bytes.HasPrefix(x.content, []byte(":")) {
			return nil // nothing without which a request is none is removed
		}
		if !message.ValidFieldName(x.content) {
			return fmt.Errorf("the answer has the name of a header %q", clip(x.content))
		}
		p.answer.Remove = append(p.answer.Remove, x.content)
	case 6:
		return p.change(x, Add, &p.answer.Response)
	case 7, 8:
		return errQuery
	}
	return nil
}

// count sees to the limits.
func (p *parser) count(size int) error {
	p.changes++
	p.size += size
	if p.changes > MaxChanges || p.size > MaxFields {
		return errTooMany
	}
	return nil
}

// change reads a HeaderValueOption. The action is that of one that names none.
func (p *parser) change(x field, action Action, to *[]Change) error {
	if x.kind != wireBytes {
		return errType
	}
	if err := p.count(len(x.content)); err != nil {
		return err
	}
	c := Change{Action: action}
	var header, appends, acts bool
	var appended, acted uint64
	err := each(x.content, func(x field) error {
		switch x.number {
		case 1:
			if err := once(&header, x, wireBytes); err != nil {
				return err
			}
			return c.read(x.content)
		case 2:
			if err := once(&appends, x, wireBytes); err != nil {
				return err
			}
			return each(x.content, numberOf(1, &appended))
		case 3:
			acted = x.value
			return once(&acts, x, wireVarint)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if acted > 3 {
		return fmt.Errorf("append_action %d of the answer is not known", acted)
	}
	switch {
	case appends && appended != 0:
		c.Action = Add
	case appends:
		c.Action = Set
	case acts:
		c.Action = [...]Action{Add, Complete, Set, Replace}[acted]
	}
	return c.keep(to)
}

// keep adds the change to a list, if it is one that HTTP admits.
func (c *Change) keep(to *[]Change) error {
	if !message.ValidFieldName(c.Name) || !message.ValidFieldValue(c.Value) {
		return fmt.Errorf("the answer has a header %q that HTTP does not admit", clip(c.Name))
	}
	*to = append(*to, *c)
	return nil
}

// read reads a HeaderValue.
func (c *Change) read(b []byte) error {
	var key, value, raw bool
	err := each(b, func(x field) error {
		switch x.number {
		case 1:
			c.Name = x.content
			return once(&key, x, wireBytes)
		case 2, 3:
			seen := &value
			if x.number == 3 {
				seen = &raw
			}
			if len(x.content) > 0 {
				c.Value = x.content
			}
			return once(seen, x, wireBytes)
		}
		return nil
	})
	c.Value = message.TrimSpace(c.Value)
	return err
}

// clip is the beginning of what somebody else wrote, for errors.
func clip(b []byte) string { return strings.ToValidUTF8(string(b[:min(len(b), 64)]), "?") }
