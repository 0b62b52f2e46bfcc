// Running out of descriptors.

package config

import (
	"syscall"
	"testing"
	"time"
)

func TestWithoutDescriptorsEverythingStaysInForce(t *testing.T) {
	d := newDirectory(t).write("a.yaml", route("a", "/1")).write("sub/b.yaml", route("b", "/1"))
	d.expect(d.load(), 0, "a", "b")
	d.write("a.yaml", route("a", "/2"))
	signals := d.loader.Poll(t.Context(), 5*time.Millisecond)
	d.found(signals, "the edit") // what the poller needs is open
	var before syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	none := before
	none.Cur = 0
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &none); err != nil {
		t.Fatal(err)
	}
	r := d.load()
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	d.expect(r, 1, "a stale", "b stale")
	d.expect(d.found(signals, "that there are descriptors again"), 0, "a", "b")
}
