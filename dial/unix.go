// Unix sockets: dialled only below one directory, which a flag names. What is below it is decided at the dial, symbolic links followed, so
// that neither a ".." nor a link that somebody puts there leads out of it.

package dial

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"time"
)

// UnixDialer opens connections to Unix sockets below Dir. It is safe for concurrent use once its fields are set.
type UnixDialer struct {
	// Dir is the directory; "" allows no socket at all.
	Dir string
	// Timeout bounds a dial; zero means DefaultTimeout.
	Timeout time.Duration
}

var errNoUnixDir = errors.New("refused to connect to a Unix socket: no directory of sockets is configured")

// Dial connects to the socket at path.
func (d *UnixDialer) Dial(ctx context.Context, path string) (net.Conn, error) {
	if d.Dir == "" {
		return nil, errNoUnixDir
	}
	root, err := filepath.EvalSymlinks(d.Dir)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	target, err := filepath.EvalSymlinks(path)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	if !strings.HasPrefix(target, strings.TrimSuffix(root, string(filepath.Separator))+string(filepath.Separator)) {
		return nil, fmt.Errorf("refused to connect to %s: it is %s, which is not below %s", path, target, root)
	}
	timeout := d.Timeout
	if timeout == 0 {
		timeout = DefaultTimeout
	}
	conn, err := (&net.Dialer{Timeout: timeout}).DialContext(ctx, "unix", target)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	return conn, nil
}
