//go:build !linux && !darwin

package cli

func openFiles() int64 { return 0 }
