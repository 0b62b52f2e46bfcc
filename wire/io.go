// Input and output for wires that read a connection all the time, whatever they are writing meanwhile (HTTP/2).

package wire

import "net"

// IO moves the bytes of one connection. One goroutine may receive while another writes; deadlines of the connection end what waits. To close the
// connection waits for what runs within Receive.
//
// On Linux, those of plain connections are system calls that the scheduler is not told of: telling it costs more than some of them do, and in a
// process that is idle between any two requests it wakes the runtime's monitor each time, which costs more than all of them.
type IO interface {
	// Receive reads into what space returns, which is not empty, tells received how many bytes came, and goes on until that reports false (nil is
	// returned then) or reading fails. Where it can, it calls pause before it waits: what space returned last is not needed any more then, as space
	// is asked again afterwards. None of them may wait for bytes of this connection.
	Receive(space func() []byte, received func(n int) bool, pause func()) error
	// Write writes all of p.
	Write(p []byte) (int, error)
	// TryWrite writes what leaves of p without waiting, and returns how much that was. Where it cannot tell, it writes nothing.
	TryWrite(p []byte) (int, error)
}

// NewIO returns what moves the bytes of c.
func NewIO(c net.Conn) IO {
	if raw := newRawIO(c); raw != nil {
		return raw
	}
	return &portableIO{c}
}

// portableIO is by c's own methods: under TLS, and on other systems.
type portableIO struct{ net.Conn }

// Receive never calls pause: what it waits in wants to have memory meanwhile.
func (p *portableIO) Receive(space func() []byte, received func(n int) bool, _ func()) error {
	for {
		n, err := p.Read(space())
		if n > 0 && !received(n) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (p *portableIO) TryWrite([]byte) (int, error) { return 0, nil }
