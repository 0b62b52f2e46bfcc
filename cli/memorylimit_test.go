// Limits of control groups, as they are found in files of either version.

package cli

import (
	"log/slog"
	"math"
	"runtime/debug"
	"testing"
	"testing/fstest"
)

func files(content map[string]string) fstest.MapFS {
	root := fstest.MapFS{}
	for name, text := range content {
		root[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return root
}

func TestMemoryOfTheControlGroupIsFound(t *testing.T) {
	const gb = 1 << 30
	for name, c := range map[string]struct {
		files map[string]string
		want  int64
	}{
		"not Linux": {nil, 0},
		"no limit":  {map[string]string{"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "max\n"}, 0},
		"a container, version 2": {map[string]string{
			"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "1073741824\n",
		}, gb},
		"a unit, limited by its slice": {map[string]string{
			"proc/self/cgroup": "0::/a.slice/b.service\n", "sys/fs/cgroup/a.slice/memory.max": "1073741824\n", "sys/fs/cgroup/a.slice/b.service/memory.max": "max\n",
		}, gb},
		"the least counts": {map[string]string{
			"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/memory.max": "2147483648\n", "sys/fs/cgroup/a/b/memory.max": "1073741824\n",
		}, gb},
		"a container, version 1, under the host's path": {map[string]string{
			"proc/self/cgroup":                           "5:cpu,cpuacct:/docker/3a86\n4:memory:/docker/3a86\n0::/\n",
			"sys/fs/cgroup/memory/memory.limit_in_bytes": "1073741824\n",
		}, gb},
		"version 1 without a limit": {map[string]string{
			"proc/self/cgroup": "4:memory:/\n", "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
		}, 0},
		"garbage": {map[string]string{"proc/self/cgroup": "::\n0\n0::/../..\n", "sys/fs/cgroup/memory.max": "-7"}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			if got := groupMemory(files(c.files)); got != c.want {
				t.Errorf("got %d, want %d", got, c.want)
			}
		})
	}
}

func TestMemoryLimitIsToldToTheRuntime(t *testing.T) {
	before := debug.SetMemoryLimit(-1)
	t.Cleanup(func() { debug.SetMemoryLimit(before) })
	debug.SetMemoryLimit(math.MaxInt64)
	root := files(map[string]string{"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "10000000000\n"})
	applyMemoryLimit(root, func(string) string { return "20GiB" }, slog.New(slog.DiscardHandler))
	if got := debug.SetMemoryLimit(-1); got != math.MaxInt64 {
		t.Errorf("with GOMEMLIMIT the limit became %d", got)
	}
	applyMemoryLimit(root, func(string) string { return "" }, slog.New(slog.DiscardHandler))
	if got := debug.SetMemoryLimit(-1); got != 9000000000 {
		t.Errorf("the limit is %d", got)
	}
}
