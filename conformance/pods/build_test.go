package pods

import (
	"net"
	"os/exec"
	"testing"
	"time"
)

// Two Pods can listen on one port, because each has an address of its own.
func TestBuildListensOnPodIP(t *testing.T) {
	program, err := Build(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, ip := range []string{"127.101.0.1", "127.101.0.2"} {
		cmd := exec.CommandContext(t.Context(), program)
		cmd.Env = []string{"POD_IP=" + ip, "HTTP_PORT=3000"}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
		for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
			conn, err := net.Dial("tcp", ip+":3000")
			if err == nil {
				_ = conn.Close()
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s: %v", ip, err)
			}
		}
	}
}
