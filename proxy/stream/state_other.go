//go:build !linux

package stream

const canSeeResets = false

func hasReset(uintptr) bool { return false }
