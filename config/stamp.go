// Stamps: telling by what the file system says of a file or directory that it is still what was read.

package config

import (
	"os"
	"time"
)

// facts are what the file system says. Those of a file that nobody wrote to or replaced are the same.
type facts struct {
	mode          os.FileMode
	size          int64
	modified      int64       // in ns since 1970
	changed       int64       // the inode's time of change, in ns, where the system has one
	device, inode uint64      // where the system has them
	info          os.FileInfo // where it has not
	shared        bool        // it has other names, or may have
}

// stamp is what the file system said when something was read.
type stamp struct {
	facts
	// old: the last change was so long ago that a further one cannot have the same time. Without it a stamp proves nothing.
	old bool
}

// stampAge is longer than the coarsest steps of time that file systems count in.
const stampAge = 2 * time.Second

// stampOf makes the stamp of what is read at this time. A time of change in the future comes from another clock, or the clock was
// turned back: it proves nothing.
func stampOf(f facts, now time.Time) stamp {
	return stamp{facts: f, old: now.Sub(time.Unix(0, max(f.modified, f.changed))) > stampAge}
}

// proves reports whether that of which the system now says this is what it was.
func (s *stamp) proves(now facts) bool {
	if s.info != nil && now.info != nil && !os.SameFile(s.info, now.info) {
		return false
	}
	was := s.facts
	was.info, now.info = nil, nil
	return s.old && was == now
}
