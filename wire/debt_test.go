// Debts grow with what a peer does for nothing, and shrink with time and work.

package wire

import (
	"testing"
	"time"
)

func TestDebts(t *testing.T) {
	const excess = -1
	for _, c := range []struct {
		name     string
		a        Allowance
		each     time.Duration // time between two
		worked   int64         // useful work between two
		at       int           // charge that is too much; excess: none of 10000
		untimely bool
	}{
		{name: "at once", a: Allowance{Burst: 500, Second: 100}, at: 501},
		{name: "none is allowed", a: Allowance{}, at: 1},
		{name: "as fast as time pays", a: Allowance{Burst: 50, Second: 100}, each: 10 * time.Millisecond, at: excess},
		{name: "twice as fast as time pays", a: Allowance{Burst: 100, Second: 100}, each: 5 * time.Millisecond, at: 200},
		{name: "work pays", a: Allowance{Burst: 50, Second: 1, Worked: true}, worked: 1, at: excess},
		{name: "work does not pay for everything", a: Allowance{Burst: 50}, worked: 1, at: 51},
		{name: "time does not pay in advance", a: Allowance{Burst: 10, Second: 10}, at: 11, untimely: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			var d Debt
			var now time.Duration
			if c.untimely {
				now = time.Hour
			}
			for i := 1; i <= 10000; i++ {
				if d.Charge(&c.a, now+time.Duration(i)*c.each, int64(i)*c.worked) {
					if i != c.at {
						t.Errorf("the %d. is too much, want %d", i, c.at)
					}
					return
				}
			}
			if c.at != excess {
				t.Errorf("none is too much, want the %d.", c.at)
			}
		})
	}
}
