//go:build !linux

// Where there is no raw transport.

package wire

import "syscall"

func newRaw(*conn) transport { return nil }

// watches is what the sweeper watches clients with.
type watches struct{}

func newWatches() *watches { return &watches{} }

func (*watches) collect() {}
func (*watches) forget()  {}
func (*watches) close()   {}

// sleepers let nobody sleep: each connection keeps its goroutine.
type sleepers struct{}

func newSleepers() *sleepers { return nil }

func (*sleepers) enter(*conn, syscall.RawConn) (uint64, bool) { return 0, false }
func (*sleepers) leave(uint64, syscall.RawConn)               {}
func (*sleepers) close()                                      {}
