// What a client may do too often. Nothing in HTTP/2 forbids a client to open and reset streams all day, or to send frames that mean
// nothing: each costs the client less than it costs us. So each kind is a debt that a connection runs up, and that time and useful work
// pay off; beyond its limit the connection is ended with ENHANCE_YOUR_CALM. The limits are far beyond what clients do that mean well.

package h2

import "time"

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

// allowances say, for each kind, how many may come at once, and how many more each second. They are never written to.
var allowances = [floods]struct {
	name          string
	burst, second int
}{
	floodReset:    {"reset", 200, 50},
	floodError:    {"error", 100, 10},
	floodRefused:  {"refused", 500, 100},
	floodClosed:   {"closed", 1000, 100},
	floodSettings: {"settings", 100, 10},
	floodPing:     {"ping", 500, 100},
	floodEmpty:    {"empty", 500, 100},
	floodWindow:   {"window", 2000, 500},
	floodOther:    {"other", 2000, 500},
	floodHeader:   {"header", 0, 0},
	floodUnread:   {"unread", 0, 0},
}

// Floods are the kinds that Options.Flood is told of.
func Floods() []string {
	var names []string
	for _, a := range allowances {
		names = append(names, a.name)
	}
	return names
}

// FloodError ends a connection whose client floods us. It is a ConnError with ENHANCE_YOUR_CALM.
type FloodError struct{ Kind string }

func (e *FloodError) Error() string { return "client floods the connection: " + e.Kind }

// Unwrap makes a *ConnError of it.
func (e *FloodError) Unwrap() error { return &ConnError{EnhanceYourCalm, e.Error()} }

// ledger is what a connection owes. It belongs to the goroutine that reads the connection.
type ledger struct {
	debt [floods]int
	paid int64 // when it was paid off last
}

// charge adds to a debt, and returns an error if that is too much.
func (c *conn) charge(k flood) error {
	l := &c.ledger
	l.debt[k]++
	if l.debt[k] <= allowances[k].burst/2 {
		return nil
	}
	l.pay(c.s.now(), int(c.useful.Swap(0)))
	if l.debt[k] > allowances[k].burst {
		return &FloodError{allowances[k].name}
	}
	return nil
}

// pay pays off what has become due. Useful work stands for as many frames that it may have taken.
func (l *ledger) pay(now int64, useful int) {
	elapsed := time.Duration(now - l.paid)
	if elapsed >= tick {
		l.paid = now
	}
	for k := range l.debt {
		if elapsed >= tick {
			l.debt[k] -= int(min(elapsed, time.Hour) * time.Duration(allowances[k].second) / time.Second)
		}
		if flood(k) != floodError && flood(k) != floodSettings {
			l.debt[k] -= useful
		}
		l.debt[k] = max(l.debt[k], 0)
	}
}
