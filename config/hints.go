// Hints: which files notifications tell of, so that a load need not look at all others.
//
//	watch -> hints -> Update
//
// A hint is a name and never what became of it. Whatever is more than the write, making, replacement or removal of a regular file is a hint at everything:
// directories, links, lost events.

package config

import "sync"

// maxHints is how many files are told apart.
const maxHints = 1000

// hints are those since the last load. Its methods may be called concurrently.
type hints struct {
	mu sync.Mutex
	// trusted: whatever changes where notifications come from is told.
	trusted    bool
	everything bool
	files      map[string][]dirPlace // by resolved name: what its directory is to a load
	// doubts, of capacity 1, has a value after a change that was not told: perhaps the wrong directories are watched.
	doubts chan struct{}
}

// file tells of a file.
func (h *hints) file(name string, places []dirPlace) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.files == nil {
		h.files = map[string][]dirPlace{}
	}
	if h.files[name] = places; len(h.files) > maxHints {
		h.files, h.everything = nil, true
	}
}

// all tells that anything may have changed.
func (h *hints) all() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.everything = true
}

// trust says whether from now on everything is told.
func (h *hints) trust(trusted bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.everything = h.everything || !h.trusted
	h.trusted = trusted
}

// take returns the files that were told of, and forgets them. It returns nil if anything else may have changed, too.
func (h *hints) take() map[string][]dirPlace {
	h.mu.Lock()
	defer h.mu.Unlock()
	files := h.files
	switch {
	case !h.trusted || h.everything:
		files = nil
	case files == nil:
		files = map[string][]dirPlace{}
	}
	h.files, h.everything = nil, false
	return files
}
