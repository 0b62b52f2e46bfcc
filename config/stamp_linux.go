// What Linux says of files, the time of an inode's last change included, which no program can set.

package config

import (
	"os"
	"syscall"
)

// openForReading does not wait for somebody who writes, should a pipe have taken the place of a file.
const openForReading = os.O_RDONLY | syscall.O_NONBLOCK

func factsOf(info os.FileInfo) facts {
	s, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return facts{mode: info.Mode(), size: info.Size(), modified: info.ModTime().UnixNano(), info: info, shared: true}
	}
	return factsIn(s)
}

// factsAt follows symlinks. It allocates nothing but the name for the system call. ok is false for all but regular files.
func factsAt(name string) (f facts, ok bool) {
	var s syscall.Stat_t
	for {
		switch err := syscall.Stat(name, &s); err {
		case nil:
			return factsIn(&s), s.Mode&syscall.S_IFMT == syscall.S_IFREG
		case syscall.EINTR:
		default:
			return facts{}, false
		}
	}
}

func factsIn(s *syscall.Stat_t) facts {
	return facts{
		mode: os.FileMode(s.Mode), size: s.Size, modified: s.Mtim.Nano(), changed: s.Ctim.Nano(), device: uint64(s.Dev), inode: s.Ino, shared: s.Nlink > 1, //nolint:unconvert // on other processors
	}
}
