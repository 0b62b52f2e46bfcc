//go:build !linux

// Where there is no raw transport.

package wire

func newRaw(*conn) transport { return nil }

// watches is what the sweeper watches clients with.
type watches struct{}

func newWatches() *watches { return &watches{} }

func (*watches) collect() {}
func (*watches) forget()  {}
func (*watches) close()   {}
