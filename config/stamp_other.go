//go:build !linux

// What other systems say of files: their time of an inode's last change is not asked for.

package config

import "os"

const openForReading = os.O_RDONLY

func factsOf(info os.FileInfo) facts {
	return facts{mode: info.Mode(), size: info.Size(), modified: info.ModTime().UnixNano(), info: info, shared: true}
}

// factsAt follows symlinks. ok is false for all but regular files.
func factsAt(name string) (f facts, ok bool) {
	info, err := os.Stat(name)
	if err != nil {
		return facts{}, false
	}
	return factsOf(info), info.Mode().IsRegular()
}
