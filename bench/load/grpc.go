//go:build linux

// gRPC over h2c: calls with a message of 128 bytes, on as many streams of a connection as there are slots.

package main

import (
	"fmt"

	"github.com/wicketgate/wicketgate/bench/poll"
)

// grpcSession is one connection.
type grpcSession struct {
	streaming bool // messages count, not answers
	plain     bool // no gRPC: a GET without a body, answered without trailers
	in        []byte
	next      uint32
	slots     map[uint32]int // by stream
	head      []byte
	received  int // bytes of DATA that the server has no credit back for
	message   int // bytes of a message that is not there as a whole
}

// messageLength is a message's with its prefix.
const messageLength = 5 + 128

// credit is what the server may send before it needs more, of the connection and of each stream.
const credit = 1 << 24

func newGRPC(streaming bool) *grpcSession {
	// :method POST and :scheme http are entries 3 and 6 of HPACK's static table.
	head := []byte{0x83, 0x86}
	for _, f := range [][2]string{
		{":path", "/bench.Bench/Call"},
		{":authority", "bench.example.com"},
		{"content-type", "application/grpc"},
		{"te", "trailers"},
	} {
		head = poll.AppendField(head, f[0], f[1])
	}
	return &grpcSession{streaming: streaming, next: 1, slots: map[uint32]int{}, head: head}
}

// newGET is for connections whose requests are not what is measured. Entry 2 of the static table is :method GET, 4 is :path /.
func newGET() *grpcSession {
	head := poll.AppendField([]byte{0x82, 0x84, 0x86}, ":authority", "bench.example.com")
	return &grpcSession{plain: true, next: 1, slots: map[uint32]int{}, head: head}
}

func (s *grpcSession) hello() []byte {
	return poll.AppendWindow(poll.AppendSetting([]byte(poll.Preface), poll.InitialWindow, credit), 0, credit)
}

func (s *grpcSession) request(slot int, out []byte) []byte {
	id := s.next
	s.next += 2
	s.slots[id] = slot
	if s.plain {
		return poll.AppendFrame(out, poll.Frame{
			Type: poll.Headers, Flags: poll.EndHeaders | poll.EndStream, Stream: id, Payload: s.head,
		})
	}
	out = poll.AppendFrame(out, poll.Frame{Type: poll.Headers, Flags: poll.EndHeaders, Stream: id, Payload: s.head})
	var message [messageLength]byte
	message[4] = 128
	return poll.AppendFrame(out, poll.Frame{Type: poll.Data, Flags: poll.EndStream, Stream: id, Payload: message[:]})
}

func (s *grpcSession) receive(p, out []byte, e *events) ([]byte, error) {
	s.in = append(s.in, p...)
	done := 0
	for {
		f, n := poll.NextFrame(s.in[done:])
		if n == 0 {
			break
		}
		done += n
		var err error
		if out, err = s.frame(f, out, e); err != nil {
			return out, err
		}
	}
	s.in = append(s.in[:0], s.in[done:]...)
	if s.received > credit/2 {
		out = poll.AppendWindow(out, 0, uint32(s.received))
		s.received = 0
	}
	return out, nil
}

func (s *grpcSession) frame(f poll.Frame, out []byte, e *events) ([]byte, error) {
	slot, open := s.slots[f.Stream]
	asks := f.Flags&poll.Ack == 0
	switch {
	case f.Type == poll.Settings && asks:
		e.ready = true
		return poll.AppendFrame(out, poll.Frame{Type: poll.Settings, Flags: poll.Ack}), nil
	case f.Type == poll.Ping && asks:
		return poll.AppendFrame(out, poll.Frame{Type: poll.Ping, Flags: poll.Ack, Payload: f.Payload}), nil
	case f.Type == poll.GoAway:
		return out, fmt.Errorf("the connection is going away: %q", f.Payload)
	case f.Type == poll.Reset && open:
		return out, fmt.Errorf("a stream was reset: %x", f.Payload)
	case f.Type == poll.Data:
		s.count(len(f.Payload), e)
	}
	if !open || f.Type > poll.Headers || f.Flags&poll.EndStream == 0 {
		return out, nil
	}
	if f.Type == poll.Data && !s.plain {
		return out, fmt.Errorf("stream %d ended without trailers", f.Stream)
	}
	delete(s.slots, f.Stream)
	e.done = append(e.done, slot)
	return out, nil
}

// count counts messages by their bytes, for proxies may cut them into frames as they like.
func (s *grpcSession) count(n int, e *events) {
	s.received += n
	if !s.streaming {
		return
	}
	for s.message += n; s.message >= messageLength; s.message -= messageLength {
		e.units++
	}
}
