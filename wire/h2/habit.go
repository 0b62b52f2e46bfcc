// Whether what costs a little, and often saves more, has been worth it lately.

package h2

const (
	// inVain is after how many times in a row that it brought nothing it is left out, and leftOut for how many times.
	inVain  = 16
	leftOut = 64
)

// habit remembers whether something paid. For example to let others go first before a write: where they have something to send, too, one system
// call for all is cheaper, but in a process that is idle otherwise the runtime wakes a thread for nothing. With 17 times in vain the next 64 are left out,
// then one is tried, and so on until one pays. Whoever has one guards it.
type habit struct{ vain, skip uint8 }

// try reports whether to do it this time; paid is to be called afterwards.
func (h *habit) try() bool {
	if h.skip > 0 {
		h.skip--
		return false
	}
	return true
}

// paid says whether it brought anything.
func (h *habit) paid(something bool) {
	switch {
	case something:
		h.vain = 0
	case h.vain < inVain:
		h.vain++
	default:
		h.skip = leftOut
	}
}
