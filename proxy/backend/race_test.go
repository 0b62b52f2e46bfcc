//go:build race

// Built with the race detector.

package backend

const raceEnabled = true
