// Package pods stands in for what a cluster has around the API server: the controllers that make Pods of Deployments and EndpointSlices
// of Services, and a kubelet that runs the Pods' containers as processes.
//
// All containers of the suite run one image, echo-basic. Each Pod has a loopback address of its own, and the suite's own backend
// program listens there: its sources are compiled unchanged but for the listen addresses, to which POD_IP is put in front.
package pods

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

const images = "sigs.k8s.io/gateway-api-conformance-images"

// listen says what is replaced in which file of the image's sources, and how often it stands there.
var listen = []struct {
	file, old, new string
	times          int
}{
	{"echo-basic.go", `":%s"`, `os.Getenv("POD_IP")+":%s"`, 3},
	{"tcpserver/tcpserver.go", `":%s"`, `os.Getenv("POD_IP")+":%s"`, 2},
	{"grpc/grpc.go", `"0.0.0.0:%d"`, `os.Getenv("POD_IP")+":%d"`, 2},
	{"udpechoserver/udpechoserver.go", `":"+port`, `os.Getenv("POD_IP")+":"+port`, 1},
}

// Build compiles echo-basic into dir, from a copy of its module, and returns the path of the program.
func Build(ctx context.Context, dir string) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", images).Output()
	if err != nil {
		return "", fmt.Errorf("find module %s: %w", images, err)
	}
	source := filepath.Join(dir, "echo-basic-source")
	if err := os.CopyFS(source, os.DirFS(strings.TrimSpace(string(out)))); err != nil {
		return "", err
	}
	for _, l := range listen {
		file := filepath.Join(source, "echo-basic", l.file)
		text, err := os.ReadFile(file)
		if err != nil {
			return "", err
		}
		if n := strings.Count(string(text), l.old); n != l.times {
			return "", fmt.Errorf("%s has %s %d times instead of %d: the image has changed", l.file, l.old, n, l.times)
		}
		// Files of the module cache are read-only, and so are copies of them.
		if err := os.Remove(file); err != nil {
			return "", err
		}
		if err := os.WriteFile(file, []byte(strings.ReplaceAll(string(text), l.old, l.new)), 0o600); err != nil {
			return "", err
		}
	}
	program := filepath.Join(dir, "echo-basic")
	build := exec.CommandContext(ctx, "go", "build", "-o", program, "./echo-basic")
	build.Dir = source
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build echo-basic: %w\n%s", err, out)
	}
	return program, nil
}
