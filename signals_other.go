//go:build !unix

// Systems without a signal for the rotation of logs.

package main

import "os"

func reopenSignals() []os.Signal { return nil }
