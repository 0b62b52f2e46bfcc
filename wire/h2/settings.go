// SETTINGS (RFC 9113 section 6.5, RFC 8441 section 3).

package h2

import "encoding/binary"

// The identifiers of settings.
const (
	settingHeaderTableSize      = 0x1
	settingEnablePush           = 0x2
	settingMaxConcurrentStreams = 0x3
	settingInitialWindowSize    = 0x4
	settingMaxFrameSize         = 0x5
	settingMaxHeaderListSize    = 0x6
	settingEnableConnect        = 0x8
	settingNoPriorities         = 0x9

	settingSize = 6
)

// Settings are what one side of a connection tells the other.
type Settings struct {
	HeaderTableSize uint32
	EnablePush      bool
	// MaxConcurrentStreams: how many streams the other side may have open.
	MaxConcurrentStreams uint32
	// InitialWindowSize is every new stream's window, for what the other side sends.
	InitialWindowSize uint32
	MaxFrameSize      uint32
	// MaxHeaderListSize is how large a header may be, as RFC 9113 section 6.5.2 counts.
	MaxHeaderListSize uint32
	// EnableConnect: the extended CONNECT of RFC 8441 is understood.
	EnableConnect bool
}

// DefaultSettings are what holds until the peer's SETTINGS have come.
func DefaultSettings() Settings {
	return Settings{
		HeaderTableSize: DefaultHeaderSize, EnablePush: true, MaxConcurrentStreams: 1<<32 - 1, InitialWindowSize: DefaultWindow,
		MaxFrameSize: DefaultFrameSize, MaxHeaderListSize: 1<<32 - 1,
	}
}

// Apply changes s by the payload of a SETTINGS frame that ParseFrame returned. Unknown settings are ignored. An error is a *ConnError.
func (s *Settings) Apply(payload []byte) error {
	for p := payload; len(p) >= settingSize; p = p[settingSize:] {
		if err := s.set(binary.BigEndian.Uint16(p), binary.BigEndian.Uint32(p[2:])); err != nil {
			return err
		}
	}
	return nil
}

func (s *Settings) set(id uint16, v uint32) error {
	switch id {
	case settingHeaderTableSize:
		s.HeaderTableSize = v
	case settingEnablePush:
		if v > 1 {
			return protocolError("SETTINGS_ENABLE_PUSH is neither 0 nor 1")
		}
		s.EnablePush = v == 1
	case settingMaxConcurrentStreams:
		s.MaxConcurrentStreams = v
	case settingInitialWindowSize:
		if v > MaxWindow {
			return &ConnError{FlowControlError, "SETTINGS_INITIAL_WINDOW_SIZE is beyond what a window can be"}
		}
		s.InitialWindowSize = v
	case settingMaxFrameSize:
		if v < DefaultFrameSize || v > 1<<24-1 {
			return protocolError("SETTINGS_MAX_FRAME_SIZE is out of range")
		}
		s.MaxFrameSize = v
	case settingMaxHeaderListSize:
		s.MaxHeaderListSize = v
	case settingEnableConnect:
		if v > 1 || s.EnableConnect && v == 0 {
			return protocolError("SETTINGS_ENABLE_CONNECT_PROTOCOL is neither 0 nor 1, or was taken back")
		}
		s.EnableConnect = v == 1
	}
	return nil
}

// Append appends a SETTINGS frame with what in s differs from what the peer assumes anyway. server says which side sends it: a client
// announces besides that it wants no pushes, a server that it ignores the priorities of RFC 7540 (RFC 9218 section 2.1).
func (s *Settings) Append(dst []byte, server bool) []byte {
	start := len(dst)
	dst = AppendFrameHead(dst, 0, FrameSettings, 0, 0)
	d := DefaultSettings()
	put := func(differs bool, id uint16, v uint32) {
		if differs {
			dst = binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint16(dst, id), v)
		}
	}
	put(s.HeaderTableSize != d.HeaderTableSize, settingHeaderTableSize, s.HeaderTableSize)
	put(!server, settingEnablePush, 0)
	put(s.MaxConcurrentStreams != d.MaxConcurrentStreams, settingMaxConcurrentStreams, s.MaxConcurrentStreams)
	put(s.InitialWindowSize != d.InitialWindowSize, settingInitialWindowSize, s.InitialWindowSize)
	put(s.MaxFrameSize != d.MaxFrameSize, settingMaxFrameSize, s.MaxFrameSize)
	put(s.MaxHeaderListSize != d.MaxHeaderListSize, settingMaxHeaderListSize, s.MaxHeaderListSize)
	put(s.EnableConnect, settingEnableConnect, 1)
	put(server, settingNoPriorities, 1)
	dst[start+2] = byte(len(dst) - start - FrameHead)
	return dst
}

// AppendSettingsAck appends the acknowledgement of a SETTINGS frame.
func AppendSettingsAck(dst []byte) []byte { return AppendFrameHead(dst, 0, FrameSettings, FlagAck, 0) }
