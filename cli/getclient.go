// Asking the administrative interface of a running gateway.

package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"syscall"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

type adminClient struct {
	http  *http.Client
	base  string
	token string
}

// newAdminClient makes a client for IP:PORT, HOST:PORT or a URL.
func newAdminClient(address, tokenFile string) (*adminClient, error) {
	c := &adminClient{http: &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{Proxy: nil}}, base: address}
	if !strings.Contains(address, "://") {
		c.base = "http://" + address
	}
	c.base = strings.TrimSuffix(c.base, "/")
	if tokenFile != "" {
		b, err := os.ReadFile(tokenFile)
		if err != nil {
			return nil, fmt.Errorf("reading the admin token: %w", err)
		}
		c.token = strings.TrimSpace(string(b))
	}
	return c, nil
}

// errNotFound is why one object could not be had while others perhaps can.
var errNotFound = errors.New("from server (NotFound)")

// get fetches a path and decodes the answer.
func (c *adminClient) get(ctx context.Context, path, accept string, into any) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base+path, http.NoBody)
	if err != nil {
		return fmt.Errorf("--admin: %w", err)
	}
	r.Header.Set("Accept", accept)
	if c.token != "" {
		r.Header.Set("Authorization", "Bearer "+c.token)
	}
	res, err := c.http.Do(r)
	if errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("no gateway answers at %s: is `wicketgate run` running, and with the same --admin?", c.base)
	}
	if err != nil {
		return fmt.Errorf("asking the gateway: %w", err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return fmt.Errorf("asking the gateway: %w", err)
	}
	if res.StatusCode != http.StatusOK {
		var status metav1.Status
		if json.Unmarshal(body, &status) == nil && status.Message != "" {
			if status.Reason == metav1.StatusReasonNotFound {
				return fmt.Errorf("%w: %s", errNotFound, status.Message)
			}
			return fmt.Errorf("from server (%s): %s", status.Reason, status.Message)
		}
		return fmt.Errorf("the gateway at %s answered %s", c.base, res.Status)
	}
	if err := json.Unmarshal(body, into); err != nil {
		return fmt.Errorf("%s does not answer as a gateway's administrative interface does: %w", c.base, err)
	}
	return nil
}
