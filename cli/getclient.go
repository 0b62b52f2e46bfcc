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

// fetch gets a path and returns the status of the answer, whatever it is, and the content.
func (c *adminClient) fetch(ctx context.Context, path, accept string) (status int, body []byte, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base+path, http.NoBody)
	if err != nil {
		return 0, nil, fmt.Errorf("--admin: %w", err)
	}
	r.Header.Set("Accept", accept)
	if c.token != "" {
		r.Header.Set("Authorization", "Bearer "+c.token)
	}
	res, err := c.http.Do(r)
	if errors.Is(err, syscall.ECONNREFUSED) {
		return 0, nil, fmt.Errorf("no gateway answers at %s: is `wicketgate run` running, and with the same --admin?", c.base)
	}
	if err != nil {
		return 0, nil, fmt.Errorf("asking the gateway: %w", err)
	}
	defer res.Body.Close()
	body, err = io.ReadAll(res.Body)
	if err != nil {
		return 0, nil, fmt.Errorf("asking the gateway: %w", err)
	}
	return res.StatusCode, body, nil
}

// ready returns what the gateway says of itself, or as an error why it is not ready.
func (c *adminClient) ready(ctx context.Context) (string, error) {
	status, body, err := c.fetch(ctx, "/readyz", "text/plain")
	if err != nil {
		return "", err
	}
	said := strings.TrimSpace(string(body))
	if status != http.StatusOK {
		return "", fmt.Errorf("the gateway at %s is %s", c.base, said) // "not ready: ..."
	}
	return said, nil
}

// get fetches a path and decodes the answer.
func (c *adminClient) get(ctx context.Context, path, accept string, into any) error {
	status, body, err := c.fetch(ctx, path, accept)
	if err != nil {
		return err
	}
	if status != http.StatusOK {
		var why metav1.Status
		if json.Unmarshal(body, &why) == nil && why.Message != "" {
			if why.Reason == metav1.StatusReasonNotFound {
				return fmt.Errorf("%w: %s", errNotFound, why.Message)
			}
			return fmt.Errorf("from server (%s): %s", why.Reason, why.Message)
		}
		return fmt.Errorf("the gateway at %s answered %d %s", c.base, status, http.StatusText(status))
	}
	if err := json.Unmarshal(body, into); err != nil {
		return fmt.Errorf("%s does not answer as a gateway's administrative interface does: %w", c.base, err)
	}
	return nil
}
