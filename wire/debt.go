// What a peer may do too often. Nothing forbids a client to open and reset streams all day, or to send frames that mean nothing: each costs the
// client less than it costs us. So each kind is a debt that a connection runs up, and that time and useful work pay off; beyond its allowance
// the connection is ended. Allowances are far beyond what clients do that mean well.
//
// With {Burst: 500, Second: 100}, 500 may come at once. A connection that sends 150 a second owes 50 more each second, and is ended after ten.

package wire

import "time"

// Allowance says how often a thing may be done.
type Allowance struct {
	// Name is that of the kind, in metrics.
	Name string
	// Burst may come at once, and Second more each second.
	Burst, Second int
	// Worked says that useful work pays, too: as many as a connection has requests, say, may come beside them.
	Worked bool
}

// Debt is how much of one kind a connection owes. The zero Debt is none. It belongs to one goroutine at a time.
type Debt struct {
	owed    int
	paid    time.Duration // when time paid last
	settled int64         // useful work that has paid
}

// Charge adds one, and reports whether that is too much. now is the time since any moment, and useful how much useful work there was since the
// connection began.
func (d *Debt) Charge(a *Allowance, now time.Duration, useful int64) (excess bool) {
	if d.owed == 0 {
		d.paid, d.settled = now, useful // there was nothing to pay before
	}
	if d.owed++; d.owed <= a.Burst {
		return false
	}
	if n := int64(min(now-d.paid, time.Hour)) * int64(a.Second) / int64(time.Second); n > 0 {
		d.paid += time.Duration(n * int64(time.Second) / int64(a.Second))
		d.pay(n)
	}
	if a.Worked {
		d.pay(useful - d.settled)
		d.settled = useful
	}
	return d.owed > a.Burst
}

func (d *Debt) pay(n int64) { d.owed = int(max(int64(d.owed)-n, 0)) }
