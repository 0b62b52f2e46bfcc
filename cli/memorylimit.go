// The limit of memory that the process was given by a control group (a container's, a systemd unit's), told to the garbage collector: near it the
// collector works more, where it would otherwise let garbage grow until the kernel ends the process.

package cli

import (
	"io/fs"
	"log/slog"
	"math"
	"path"
	"runtime/debug"
	"strconv"
	"strings"
)

// applyMemoryLimit sets the runtime's limit to nine tenths of the control group's: the rest is for what the runtime does not count. GOMEMLIMIT, if it is
// set, is left in force. root is the file system.
func applyMemoryLimit(root fs.FS, getenv func(string) string, log *slog.Logger) {
	given := groupMemory(root)
	if given == 0 || getenv("GOMEMLIMIT") != "" {
		return
	}
	limit := given / 10 * 9
	debug.SetMemoryLimit(limit)
	log.Info("memory is limited by a control group", "limit", given, "collected_harder_near", limit)
}

// groupMemory is the least of the limits of the process's control group and of those above it, in bytes; 0: there is none. A path in
// /proc/self/cgroup may be one that only the host sees: then the groups above it, up to the root that is seen here, have the limit.
//
//	0::/system.slice/wicketgate.service    version 2: memory.max below /sys/fs/cgroup
//	4:memory:/docker/3a86                  version 1: memory.limit_in_bytes below /sys/fs/cgroup/memory
func groupMemory(root fs.FS) int64 {
	groups, err := fs.ReadFile(root, "proc/self/cgroup")
	if err != nil {
		return 0 // not Linux
	}
	least := int64(math.MaxInt64)
	for line := range strings.Lines(string(groups)) {
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3)
		switch {
		case len(fields) < 3:
		case fields[0] == "0" && fields[1] == "":
			least = min(least, leastUpwards(root, "sys/fs/cgroup", fields[2], "memory.max"))
		case fields[1] == "memory":
			least = min(least, leastUpwards(root, "sys/fs/cgroup/memory", fields[2], "memory.limit_in_bytes"))
		}
	}
	// Version 1 says "no limit" by a number near the largest.
	if least > math.MaxInt64/2 {
		return 0
	}
	return least
}

// leastUpwards is the least number in the files called name from the group up to the top.
func leastUpwards(root fs.FS, top, group, name string) int64 {
	least := int64(math.MaxInt64)
	for group = path.Clean("/" + group); ; group = path.Dir(group) {
		if text, err := fs.ReadFile(root, path.Join(top, group, name)); err == nil {
			if n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64); err == nil && n > 0 { // it may say "max"
				least = min(least, n)
			}
		}
		if group == "/" {
			return least
		}
	}
}
