//go:build race

// Whether the race detector watches.

package h3

const raceEnabled = true
