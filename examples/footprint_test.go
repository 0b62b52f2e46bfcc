//go:build linux

// The gateway stays small: its memory with the quickstart has a bound. (The binary's size is `make size`.)

package examples

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
)

// maxResident is what the process may hold, in KiB.
const maxResident = 60_000_000 / 1024

var resident = regexp.MustCompile(`VmHWM:\s+(\d+) kB`)

func TestMemoryWithTheQuickstart(t *testing.T) {
	admin := "127.0.0.1:" + freePort(t)
	c := exec.Command(gateway, "run", "--config", "quickstart", "--admin", admin, "--state-dir", t.TempDir(), "--port-map", "8080="+freePort(t))
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	c.Stderr = log
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = c.Process.Signal(os.Interrupt)
		_ = c.Wait()
	}()
	await(t, "http://"+admin+"/readyz")
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", c.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	m := resident.FindSubmatch(text)
	if m == nil {
		t.Fatalf("no VmHWM in\n%s", text)
	}
	if kib, err := strconv.Atoi(string(m[1])); err != nil || kib > maxResident {
		t.Errorf("the process held %s KiB, and may hold %d (%v)", m[1], maxResident, err)
	}
}
