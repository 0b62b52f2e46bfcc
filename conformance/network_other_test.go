//go:build !linux

// Other systems have no network namespaces: the suite uses the machine's network.

package conformance

func runIsolated() (code int, ok bool) { return 0, false }

func loopbackUp() error { return nil }
