//go:build race

// The program under test is built with the race detector if the test is.

package cli

const raceEnabled = true
