//go:build linux

// gRPC over h2c: every call is answered with as many messages of 128 bytes as the server was started for. Request heads are not
// decoded, and answers need no state of HPACK, so that a call costs little more than its bytes.

package main

import (
	"encoding/binary"
	"errors"
	"maps"
	"slices"

	"github.com/wicketgate/wicketgate/bench/poll"
)

// call is a stream whose answer is not complete.
type call struct {
	window int // bytes of DATA that may still be sent
	asked  bool
	left   int // messages to send
}

// grpcSession is one connection.
type grpcSession struct {
	messages       int // in an answer
	greeted        bool
	window         int // of the connection
	initial        int // of new streams
	received       int // bytes of DATA that the client has no credit back for
	calls          map[uint32]*call
	head, trailers []byte
	message        []byte
}

// credit is what the client gets anew for the connection whenever it has used half of it.
const credit = 1 << 30

func newGRPC(messages int) func() session {
	head := poll.AppendField([]byte{0x88}, "content-type", "application/grpc")
	trailers := poll.AppendField(nil, "grpc-status", "0")
	message := make([]byte, 5+128)
	message[4] = 128
	return func() session {
		return &grpcSession{
			messages: messages, window: 65535, initial: 65535, calls: map[uint32]*call{},
			head: head, trailers: trailers, message: message,
		}
	}
}

func (*grpcSession) more(*writer) {}

func (s *grpcSession) receive(p []byte, w *writer) (int, error) {
	var out []byte
	done := 0
	if !s.greeted {
		if len(p) < len(poll.Preface) {
			return 0, nil
		}
		if string(p[:len(poll.Preface)]) != poll.Preface {
			return 0, errors.New("not HTTP/2")
		}
		s.greeted, done = true, len(poll.Preface)
		out = poll.AppendSetting(out, poll.InitialWindow, 1<<20)
		out = poll.AppendWindow(out, 0, credit)
	}
	for {
		f, n := poll.NextFrame(p[done:])
		if n == 0 {
			break
		}
		done += n
		out = s.frame(f, out)
	}
	if s.received > credit/2 {
		out = poll.AppendWindow(out, 0, uint32(s.received))
		s.received = 0
	}
	if len(out) > 0 {
		w.send(out)
	}
	return done, nil
}

// frame takes in a frame and appends what it has for an answer.
func (s *grpcSession) frame(f poll.Frame, out []byte) []byte {
	switch f.Type {
	case poll.Headers:
		s.calls[f.Stream] = &call{window: s.initial, left: s.messages}
	case poll.Data:
		s.received += len(f.Payload)
	case poll.Reset:
		delete(s.calls, f.Stream)
	case poll.Ping:
		if f.Flags&poll.Ack == 0 {
			return poll.AppendFrame(out, poll.Frame{Type: poll.Ping, Flags: poll.Ack, Payload: f.Payload})
		}
	case poll.Settings:
		if f.Flags&poll.Ack == 0 {
			return s.settings(f.Payload, out)
		}
	case poll.WindowUpdate:
		n := int(binary.BigEndian.Uint32(f.Payload))
		if f.Stream == 0 {
			s.window += n
			return s.resume(out)
		}
		if c := s.calls[f.Stream]; c != nil {
			c.window += n
			return s.answer(f.Stream, c, out)
		}
	}
	if c := s.calls[f.Stream]; c != nil && f.Type <= poll.Headers && f.Flags&poll.EndStream != 0 {
		c.asked = true
		out = poll.AppendFrame(out, poll.Frame{Type: poll.Headers, Flags: poll.EndHeaders, Stream: f.Stream, Payload: s.head})
		return s.answer(f.Stream, c, out)
	}
	return out
}

func (s *grpcSession) settings(p, out []byte) []byte {
	if v, ok := poll.ReadSetting(p, poll.InitialWindow); ok {
		for _, c := range s.calls {
			c.window += int(v) - s.initial
		}
		s.initial = int(v)
	}
	return s.resume(poll.AppendFrame(out, poll.Frame{Type: poll.Settings, Flags: poll.Ack}))
}

// resume goes on with all calls, the oldest first.
func (s *grpcSession) resume(out []byte) []byte {
	for _, id := range slices.Sorted(maps.Keys(s.calls)) {
		out = s.answer(id, s.calls[id], out)
	}
	return out
}

// answer sends a call's messages as far as the windows go, and its end.
func (s *grpcSession) answer(id uint32, c *call, out []byte) []byte {
	if !c.asked {
		return out
	}
	for ; c.left > 0; c.left-- {
		if min(s.window, c.window) < len(s.message) {
			return out
		}
		s.window -= len(s.message)
		c.window -= len(s.message)
		out = poll.AppendFrame(out, poll.Frame{Type: poll.Data, Stream: id, Payload: s.message})
	}
	delete(s.calls, id)
	return poll.AppendFrame(out, poll.Frame{Type: poll.Headers, Flags: poll.EndHeaders | poll.EndStream, Stream: id, Payload: s.trailers})
}
