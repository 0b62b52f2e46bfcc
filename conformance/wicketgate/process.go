// Package wicketgate runs the shipped program as a user would: it starts the binary, writes files into its directory, and reads status from
// its admin address. It knows nothing of what the files mean.
package wicketgate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"sync"
	"time"
)

// Gateway is a running Wicketgate and the directory that it follows. Create it with Start.
type Gateway struct {
	directory
	admin  string // http://ADDRESS:PORT
	log    *slog.Logger
	done   chan struct{}
	asking sync.Mutex
	ended  error // why the process ended; read it after done is closed
}

// Start runs the program on an empty directory, with further arguments, and waits until it is ready. The process ends with ctx: it is asked to,
// and killed if it has not within ten seconds. Its log goes to out.
func Start(ctx context.Context, program, dir, admin string, out io.Writer, log *slog.Logger, args ...string) (*Gateway, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	g := &Gateway{path: dir, files: map[string][32]byte{}, admin: "http://" + admin, log: log, done: make(chan struct{})}
	args = append([]string{"run", "--config", dir, "--admin", admin, "--state-dir", "none"}, args...)
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		g.ended = cmd.Wait()
		close(g.done)
	}()
	for {
		code, _, err := g.fetch(ctx, "/readyz")
		if err == nil && code == http.StatusOK {
			return g, nil
		}
		select {
		case <-g.done:
			return nil, fmt.Errorf("%s ended before it was ready: %w", program, g.ended)
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Wait returns when the process has ended.
func (g *Gateway) Wait() { <-g.done }

// Served waits until the gateway serves what is in the directory now, or something newer.
func (g *Gateway) Served(ctx context.Context) error {
	want := g.revision()
	if g.served.Load() >= want {
		return nil
	}
	g.asking.Lock() // one asks for all
	defer g.asking.Unlock()
	for g.served.Load() < want {
		digest, revision := g.digest()
		// Short, because further writes may come before this digest is served, and then it never will be.
		code, body, err := g.fetch(ctx, "/reload?timeout=500ms&wait="+digest)
		if err != nil {
			return err
		}
		switch code {
		case http.StatusOK:
			g.served.Store(revision)
		case http.StatusGatewayTimeout, http.StatusRequestTimeout, http.StatusServiceUnavailable:
			g.log.Debug("not served yet", "digest", digest)
		default:
			return fmt.Errorf("GET /reload: %d: %s", code, body)
		}
	}
	return nil
}

// Object fetches an object from the admin address, or nil if the gateway has none at the path.
func (g *Gateway) Object(ctx context.Context, path string) (map[string]any, error) {
	code, body, err := g.fetch(ctx, path)
	if err != nil {
		return nil, err
	}
	switch code {
	case http.StatusOK:
	case http.StatusNotFound:
		return nil, nil
	default:
		return nil, fmt.Errorf("GET %s: %d: %s", path, code, body)
	}
	var o map[string]any
	if err := json.Unmarshal(body, &o); err != nil {
		return nil, fmt.Errorf("GET %s: %w", path, err)
	}
	return o, nil
}

func (g *Gateway) fetch(ctx context.Context, path string) (int, []byte, error) {
	select {
	case <-g.done:
		return 0, nil, errors.Join(errors.New("the gateway has ended"), g.ended)
	default:
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, g.admin+path, nil)
	if err != nil {
		return 0, nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp.StatusCode, body, err
}
