// Stamps: telling by what the file system says of a file that its content is still the one that was read.

package config

import (
	"os"
	"time"
)

// stamp is what the file system said of a file when it was read.
type stamp struct {
	info    os.FileInfo
	changed int64 // the inode's time of change, in ns, where the system has one
	// old: the last change was so long ago that a further one cannot have the same time. Without it a stamp proves nothing.
	old bool
}

// stampAge is longer than the coarsest steps of time that file systems count in.
const stampAge = 2 * time.Second

// stampOf makes the stamp of a file that is being read at this time. A time of change in the future comes from another clock, or the clock was
// turned back: it proves nothing.
func stampOf(info os.FileInfo, now time.Time) stamp {
	changed := changeTime(info)
	last := info.ModTime()
	if c := time.Unix(0, changed); changed != 0 && c.After(last) {
		last = c
	}
	return stamp{info: info, changed: changed, old: now.Sub(last) > stampAge}
}

// proves reports whether a file of which the system now says this has the content that it had.
func (s stamp) proves(info os.FileInfo) bool {
	return s.old && info.Mode().IsRegular() && info.Size() == s.info.Size() && info.ModTime().Equal(s.info.ModTime()) &&
		changeTime(info) == s.changed && os.SameFile(info, s.info)
}
