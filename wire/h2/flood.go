// What a client may do too often: see wire.Debt. Beyond its allowance the connection is ended with ENHANCE_YOUR_CALM.

package h2

import (
	"time"

	"github.com/wicketgate/wicketgate/wire"
)

// flood is a kind of thing that may be done too often.
type flood uint8

const (
	floodReset    flood = iota // streams that the client resets while they are served (CVE-2023-44487)
	floodError                 // streams that we have to reset because of what the client does on them (CVE-2025-8671)
	floodRefused               // streams beyond SETTINGS_MAX_CONCURRENT_STREAMS
	floodClosed                // frames on streams that are over
	floodSettings              // SETTINGS
	floodPing                  // PING
	floodEmpty                 // frames of a body or header without content
	floodWindow                // WINDOW_UPDATEs of a few bytes
	floodOther                 // PRIORITY, and frames of unknown types
	floodHeader                // headers far beyond their limit: one is enough
	floodUnread                // answers to frames that the client does not read: so many bytes are enough
	floods
)

// allowances are what is allowed of each kind. They are never written to.
var allowances = [floods]wire.Allowance{
	floodReset:    {Name: "reset", Burst: 200, Second: 50, Worked: true},
	floodError:    {Name: "error", Burst: 100, Second: 10},
	floodRefused:  {Name: "refused", Burst: 500, Second: 100, Worked: true},
	floodClosed:   {Name: "closed", Burst: 1000, Second: 100, Worked: true},
	floodSettings: {Name: "settings", Burst: 100, Second: 10},
	floodPing:     {Name: "ping", Burst: 500, Second: 100, Worked: true},
	floodEmpty:    {Name: "empty", Burst: 500, Second: 100, Worked: true},
	floodWindow:   {Name: "window", Burst: 2000, Second: 500, Worked: true},
	floodOther:    {Name: "other", Burst: 2000, Second: 500, Worked: true},
	floodHeader:   {Name: "header"},
	floodUnread:   {Name: "unread"},
}

// Floods are the kinds that Options.Flood is told of.
func Floods() []string {
	var names []string
	for _, a := range allowances {
		names = append(names, a.Name)
	}
	return names
}

// FloodError ends a connection whose client floods us. It is a ConnError with ENHANCE_YOUR_CALM.
type FloodError struct{ Kind string }

func (e *FloodError) Error() string { return "client floods the connection: " + e.Kind }

// Unwrap makes a *ConnError of it.
func (e *FloodError) Unwrap() error { return &ConnError{EnhanceYourCalm, e.Error()} }

// ledger is what a connection owes. It belongs to the goroutine that reads the connection.
type ledger [floods]wire.Debt

// charge adds to a debt, and returns an error if that is too much.
func (c *conn) charge(k flood) error {
	if c.ledger[k].Charge(&allowances[k], time.Duration(c.s.now()), c.useful.Load()) {
		return &FloodError{allowances[k].Name}
	}
	return nil
}
