// Tests of frames, settings and windows.

package h2

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"golang.org/x/net/http2"
)

func TestParseFrame(t *testing.T) {
	conn := func(code ErrCode) error { return &ConnError{Code: code} }
	stream := func(code ErrCode) error { return &StreamError{Code: code} }
	for _, c := range []struct {
		name    string
		in      []byte
		payload string
		err     error
	}{
		{"data", AppendData(nil, 1, []byte("abc"), true), "abc", nil},
		{"data, padded", append(AppendFrameHead(nil, 6, FrameData, FlagPadded, 1), "\x02abc\x00\x00"...), "abc", nil},
		{"data, all padding", append(AppendFrameHead(nil, 2, FrameData, FlagPadded, 1), "\x01\x00"...), "", nil},
		{"data, too much padding", append(AppendFrameHead(nil, 2, FrameData, FlagPadded, 1), "\x02\x00"...), "", conn(ProtocolError)},
		{"data, no padding length", AppendFrameHead(nil, 0, FrameData, FlagPadded, 1), "", conn(FrameSizeError)},
		{"data on stream 0", AppendData(nil, 0, nil, true), "", conn(ProtocolError)},
		{"headers with priority", append(AppendFrameHead(nil, 6, FrameHeaders, FlagPriority, 3), "\x00\x00\x00\x01\x10x"...), "x", nil},
		{"headers that depend on themselves", append(AppendFrameHead(nil, 5, FrameHeaders, FlagPriority, 3), "\x80\x00\x00\x03\x10"...), "", conn(ProtocolError)},
		{"a priority on itself", append(AppendFrameHead(nil, 5, FramePriority, 0, 3), "\x80\x00\x00\x03\x10"...), "", stream(ProtocolError)},
		{"headers without room for priority", append(AppendFrameHead(nil, 4, FrameHeaders, FlagPriority, 3), "\x00\x00\x00\x01"...), "", conn(FrameSizeError)},
		{"priority of 4 bytes", append(AppendFrameHead(nil, 4, FramePriority, 0, 3), "\x00\x00\x00\x01"...), "", stream(FrameSizeError)},
		{"reset of 3 bytes", append(AppendFrameHead(nil, 3, FrameResetStream, 0, 3), "\x00\x00\x01"...), "", conn(FrameSizeError)},
		{"settings of 5 bytes", append(AppendFrameHead(nil, 5, FrameSettings, 0, 0), "\x00\x00\x00\x00\x01"...), "", conn(FrameSizeError)},
		{"settings on a stream", AppendFrameHead(nil, 0, FrameSettings, 0, 1), "", conn(ProtocolError)},
		{"settings acknowledged with content", append(AppendFrameHead(nil, 6, FrameSettings, FlagAck, 0), "\x00\x03\x00\x00\x00\x01"...), "", conn(FrameSizeError)},
		{"ping of 7 bytes", append(AppendFrameHead(nil, 7, FramePing, 0, 0), "1234567"...), "", conn(FrameSizeError)},
		{"ping on a stream", append(AppendFrameHead(nil, 8, FramePing, 0, 1), "12345678"...), "", conn(ProtocolError)},
		{"goaway of 7 bytes", append(AppendFrameHead(nil, 7, FrameGoAway, 0, 0), "1234567"...), "", conn(FrameSizeError)},
		{"window update of 5 bytes", append(AppendFrameHead(nil, 5, FrameWindowUpdate, 0, 0), "12345"...), "", conn(FrameSizeError)},
		{"unknown type", append(AppendFrameHead(nil, 1, 0xfa, 0xff, 0), 'x'), "x", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			for cut := range len(c.in) {
				if _, n, err := ParseFrame(c.in[:cut], DefaultFrameSize); n != 0 || err != nil {
					t.Fatalf("%d bytes of %d: %d, %v", cut, len(c.in), n, err)
				}
			}
			f, n, err := ParseFrame(c.in, DefaultFrameSize)
			if n != len(c.in) || !sameCode(err, c.err) || err == nil && string(f.Payload) != c.payload {
				t.Errorf("got %q, %d, %v; want %q, %v", f.Payload, n, err, c.payload, c.err)
			}
		})
	}
	if _, _, err := ParseFrame(AppendFrameHead(nil, DefaultFrameSize+1, 0xfa, 0, 0), DefaultFrameSize); !sameCode(err, conn(FrameSizeError)) {
		t.Errorf("a frame that is too large: %v", err)
	}
}

// sameCode compares kinds and codes of errors.
func sameCode(got, want error) bool {
	if w, ok := errors.AsType[*ConnError](want); ok {
		g, ok := errors.AsType[*ConnError](got)
		return ok && g.Code == w.Code
	}
	if w, ok := errors.AsType[*StreamError](want); ok {
		g, ok := errors.AsType[*StreamError](got)
		return ok && g.Code == w.Code
	}
	return got == nil && want == nil
}

// TestFramesAreUnderstood reads with another implementation what is appended here.
func TestFramesAreUnderstood(t *testing.T) {
	s := Settings{
		HeaderTableSize: 1, MaxConcurrentStreams: 2, InitialWindowSize: 3, MaxFrameSize: 1 << 20, MaxHeaderListSize: 5, EnableConnect: true,
	}
	b := s.Append(nil, true)
	b = AppendSettingsAck(b)
	b = AppendPing(b, true, [8]byte{1, 2, 3, 4, 5, 6, 7, 8})
	b = AppendWindowUpdate(b, 5, 77)
	b = AppendResetStream(b, 5, Cancel)
	b = AppendGoAway(b, 9, EnhanceYourCalm, "why")
	r := http2.NewFramer(io.Discard, bytes.NewReader(b))
	next := func() http2.Frame {
		f, err := r.ReadFrame()
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	settings := next().(*http2.SettingsFrame)
	for id, want := range map[http2.SettingID]uint32{1: 1, 3: 2, 4: 3, 5: 1 << 20, 6: 5, 8: 1, 9: 1} {
		if v, ok := settings.Value(id); !ok || v != want {
			t.Errorf("setting %v is %d, want %d", id, v, want)
		}
	}
	if f := next().(*http2.SettingsFrame); !f.IsAck() {
		t.Error("not an acknowledgement")
	}
	if f := next().(*http2.PingFrame); !f.IsAck() || f.Data[7] != 8 {
		t.Error("ping is wrong")
	}
	if f := next().(*http2.WindowUpdateFrame); f.StreamID != 5 || f.Increment != 77 {
		t.Error("window update is wrong")
	}
	if f := next().(*http2.RSTStreamFrame); f.StreamID != 5 || f.ErrCode != http2.ErrCodeCancel {
		t.Error("reset is wrong")
	}
	if f := next().(*http2.GoAwayFrame); f.LastStreamID != 9 || f.ErrCode != http2.ErrCodeEnhanceYourCalm || string(f.DebugData()) != "why" {
		t.Error("goaway is wrong")
	}
	back := DefaultSettings()
	f, _, _ := ParseFrame(s.Append(nil, true), DefaultFrameSize)
	if err := back.Apply(f.Payload); err != nil || back != (Settings{1, true, 2, 3, 1 << 20, 5, true}) {
		t.Errorf("settings read back are %+v, %v", back, err)
	}
}

func TestSettingsOutOfRange(t *testing.T) {
	for name, c := range map[string]struct {
		payload string
		code    ErrCode
	}{
		"push":         {"\x00\x02\x00\x00\x00\x02", ProtocolError},
		"window":       {"\x00\x04\x80\x00\x00\x00", FlowControlError},
		"small frames": {"\x00\x05\x00\x00\x3f\xff", ProtocolError},
		"large frames": {"\x00\x05\x01\x00\x00\x00", ProtocolError},
		"connect":      {"\x00\x08\x00\x00\x00\x02", ProtocolError},
		"connect off":  {"\x00\x08\x00\x00\x00\x01\x00\x08\x00\x00\x00\x00", ProtocolError},
	} {
		s := DefaultSettings()
		if err := s.Apply([]byte(c.payload)); !sameCode(err, &ConnError{Code: c.code}) {
			t.Errorf("%s: %v", name, err)
		}
	}
	s := DefaultSettings()
	if err := s.Apply([]byte("\x00\x99\xff\xff\xff\xff")); err != nil || s != DefaultSettings() {
		t.Error("an unknown setting is not ignored")
	}
}

func TestWindows(t *testing.T) {
	stream, conn := SendWindow(10), SendWindow(7)
	if n := Take(&stream, &conn, 100); n != 7 || stream != 3 || conn != 0 {
		t.Errorf("took %d: %d, %d are left", n, stream, conn)
	}
	if !stream.Add(-10) || stream != -7 {
		t.Error("a window cannot become negative")
	}
	conn.Add(50)
	if n := Take(&stream, &conn, 1); n != 0 || conn != 50 {
		t.Error("a negative window gives something")
	}
	if stream.Add(MaxWindow) && stream.Add(8) {
		t.Error("a window that is too large is not noticed")
	}

	w := NewReceiveWindow(100)
	if !w.Arrived(60) || w.Consumed(10) != 0 || w.Consumed(40) != 50 || !w.Arrived(90) || w.Arrived(1) {
		t.Error("a receive window does not follow consumption")
	}
	w = NewReceiveWindow(100)
	if w.Arrived(30); w.Grow(200) != 100 || w.Consumed(49) != 0 || !w.Arrived(170) || w.Arrived(1) || w.Grow(150) != 0 {
		t.Error("a receive window does not grow")
	}
}

func FuzzParseFrame(f *testing.F) {
	s := DefaultSettings()
	f.Add(s.Append(nil, true))
	f.Add(AppendData(AppendGoAway(nil, 1, NoError, "x"), 3, []byte("x"), true))
	f.Add(append(AppendFrameHead(nil, 6, FrameHeaders, FlagPriority|FlagPadded, 3), 0, 0, 0, 0, 1, 16))
	f.Fuzz(func(t *testing.T, b []byte) {
		for len(b) > 0 {
			f, n, err := ParseFrame(b, DefaultFrameSize)
			if _, fatal := errors.AsType[*ConnError](err); n == 0 || fatal {
				return
			}
			switch f.Type {
			case FrameGoAway:
				f.GoAway()
			case FrameResetStream, FrameWindowUpdate:
				f.Uint32()
			case FrameSettings:
				s := DefaultSettings()
				_ = s.Apply(f.Payload)
			}
			b = b[n:]
		}
	})
}
