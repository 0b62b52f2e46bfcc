// The time of an inode's last change, which no program can set.

package config

import (
	"os"
	"syscall"
)

// changeTime is the inode's time of change in ns, or 0 if it is not known.
func changeTime(info os.FileInfo) int64 {
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return s.Ctim.Nano()
	}
	return 0
}
