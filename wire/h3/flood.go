// What a client may do too often: see wire.Debt. Beyond its allowance the connection is closed with H3_EXCESSIVE_LOAD.

package h3

import (
	"time"

	"github.com/wicketgate/wicketgate/wire"
)

// flood is a kind of thing that may be done too often.
type flood uint8

const (
	floodReset flood = iota // requests that the client breaks off, or has broken off by what it sends: see restless
	floodEmpty              // DATA frames without content
	floodOther              // frames of unknown types, frames that mean nothing to us, and streams of unknown types
	floods
)

// allowances are what is allowed of each kind. They are never written to.
var allowances = [floods]wire.Allowance{
	floodReset: {Name: "reset"},
	floodEmpty: {Name: "empty", Burst: 500, Second: 100, Worked: true},
	floodOther: {Name: "other", Burst: 2000, Second: 500, Worked: true},
}

// Floods are the kinds that Options.Flood is told of.
func Floods() []string {
	var names []string
	for _, a := range allowances {
		names = append(names, a.Name)
	}
	return names
}

// charge adds to what the connection owes, and returns a *ConnError once that is too much.
func (c *conn) charge(k flood) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.ledger[k].Charge(&allowances[k], time.Since(c.began), int64(c.requests)) {
		return nil
	}
	c.floods(k)
	return &ConnError{ExcessiveLoad, "client floods the connection: " + allowances[k].Name}
}

// floods notes, once, that the connection ends because of what its client does. The caller holds mu.
func (c *conn) floods(k flood) {
	if !c.flooded {
		c.flooded = true
		c.s.flood(allowances[k].Name)
	}
}
