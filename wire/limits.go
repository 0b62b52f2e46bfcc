// Limits of what a peer may make us hold or wait for.

package wire

import (
	"math"
	"time"
)

// DefaultLimits are the limits of a server that is told nothing else.
func DefaultLimits() Limits {
	return Limits{
		HeadBytes:   64 << 10,
		Fields:      100,
		TargetBytes: 8 << 10,
		Streams:     128,
		HeadTime:    10 * time.Second,
		KeepAlive:   75 * time.Second,
		WriteStall:  60 * time.Second,
	}
}

// WithDefaults replaces what is zero by its default and what is negative by a bound that is never reached. The parsers take the result.
func (l Limits) WithDefaults() Limits {
	d := DefaultLimits()
	return Limits{
		HeadBytes:   int(bound(int64(l.HeadBytes), int64(d.HeadBytes), math.MaxInt32)),
		Fields:      int(bound(int64(l.Fields), int64(d.Fields), math.MaxInt32)),
		TargetBytes: int(bound(int64(l.TargetBytes), int64(d.TargetBytes), math.MaxInt32)),
		Streams:     int(bound(int64(l.Streams), int64(d.Streams), math.MaxInt32)),
		HeadTime:    time.Duration(bound(int64(l.HeadTime), int64(d.HeadTime), math.MaxInt64)),
		KeepAlive:   time.Duration(bound(int64(l.KeepAlive), int64(d.KeepAlive), math.MaxInt64)),
		WriteStall:  time.Duration(bound(int64(l.WriteStall), int64(d.WriteStall), math.MaxInt64)),
	}
}

func bound(value, zero, negative int64) int64 {
	switch {
	case value == 0:
		return zero
	case value < 0:
		return negative
	}
	return value
}
