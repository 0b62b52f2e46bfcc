//go:build !linux

package wire

// sendLast sends bytes and the end of the stream right behind them.
func (c *client) sendLast(s string) {
	c.t.Helper()
	c.send(s)
	_ = c.CloseWrite()
}
