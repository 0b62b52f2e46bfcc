// What tests from outside of this package may see of a connection to a backend.

package wire

import (
	"net"
	"syscall"
	"testing"

	"github.com/wicketgate/wicketgate/internal/patient"
)

// AwaitArrival waits until something waits to be read on the connection.
func (c *BackendConn) AwaitArrival(t testing.TB) {
	t.Helper()
	conn := c.conn
	if secured, ok := conn.(interface{ NetConn() net.Conn }); ok {
		conn = secured.NetConn().(*patientSocket).Conn.(*directConn).Conn
	}
	patient.Arrived(t, conn.(syscall.Conn))
}

// AwaitUpload waits until the request's body has been sent, and its goroutine has seen that. Finish waits for that for a moment only.
func (c *BackendConn) AwaitUpload() {
	if c.upload != nil {
		<-c.upload.ended
	}
}
