//go:build !race

// Built without the race detector.

package backend

const raceEnabled = false
