//go:build !race

// The program under test is built without the race detector if the test is.

package cli

const raceEnabled = false
