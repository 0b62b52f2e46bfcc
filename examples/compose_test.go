//go:build linux

// The container image and examples/compose, on a real Docker engine.

package examples

import (
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// maxImage bounds the compressed image, in bytes.
const maxImage = 30e6

func TestToolsCompose(t *testing.T) {
	if os.Getenv("WICKETGATE_TEST_TOOLS") == "" {
		t.Skip("needs Docker, docker-compose and the port 8080: make test-all")
	}
	c := exec.CommandContext(t.Context(), "sh", "examples/testdata/compose.sh", t.TempDir())
	c.Dir = ".."
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	got := string(out)
	for _, want := range []string{
		"user: 65532:65532",
		"both services answer by their names",
		"gateway.gateway.networking.k8s.io/web",
		"an edit on the host is served",
		"the gateway is healthy",
		"it stops when it is told to",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is missing in\n%s", want, got)
		}
	}
	size := regexp.MustCompile(`compressed: (\d+) bytes`).FindStringSubmatch(got)
	if size == nil {
		t.Fatalf("no size in\n%s", got)
	}
	if n, err := strconv.Atoi(size[1]); err != nil || n > maxImage {
		t.Errorf("the image has %s bytes, compressed", size[1])
	}
}
