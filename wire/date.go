// The Date field (RFC 9110 section 6.6.1), formatted once a second for all responses.

package wire

import "time"

// dateField is a field line for one second.
type dateField struct {
	second int64
	line   []byte
}

func (s *Server) setDate(now time.Time) {
	if d := s.date.Load(); d != nil && d.second == now.Unix() {
		return
	}
	line := now.UTC().AppendFormat([]byte("Date: "), "Mon, 02 Jan 2006 15:04:05 GMT")
	s.date.Store(&dateField{second: now.Unix(), line: append(line, '\r', '\n')})
}

// dateLine is the field line for now. There is one as long as there are connections.
func (s *Server) dateLine() []byte { return s.date.Load().line }
