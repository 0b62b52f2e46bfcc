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

	"github.com/spf13/pflag"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/wicketgate/wicketgate/admin"
)

type adminClient struct {
	http  *http.Client
	base  string
	token string
}

// adminFlags say where the administrative interface is, and how to be let in.
type adminFlags struct {
	address, tokenFile string
	tls                admin.ClientTLS
}

func (a *adminFlags) register(f *pflag.FlagSet) {
	f.StringVar(&a.address, "admin", admin.DefaultAddress, "address of the gateway's administrative interface, IP:PORT or a URL")
	f.StringVar(&a.tls.CA, "admin-ca", "", "certificate authorities, in PEM, to trust when the interface is asked over TLS (default the system's)")
	f.StringVar(&a.tls.Cert, "admin-cert", "", "certificate, in PEM, to show to the interface, where it asks for one")
	f.StringVar(&a.tls.Key, "admin-key", "", "private key, in PEM, of that certificate")
}

// newAdminClient makes a client for IP:PORT, HOST:PORT or a URL. Without a scheme it is https if any of the flags for TLS is given.
func newAdminClient(f adminFlags) (*adminClient, error) {
	config, err := f.tls.Config()
	if err != nil {
		return nil, err
	}
	transport := &http.Transport{Proxy: nil, TLSClientConfig: config}
	c := &adminClient{http: &http.Client{Timeout: 30 * time.Second, Transport: transport}, base: f.address}
	if !strings.Contains(f.address, "://") {
		c.base = "http://" + f.address
		if f.tls.Wanted() {
			c.base = "https://" + f.address
		}
	}
	c.base = strings.TrimSuffix(c.base, "/")
	if f.tokenFile != "" {
		b, err := os.ReadFile(f.tokenFile)
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
	if res.StatusCode == http.StatusBadRequest && strings.Contains(string(body), "HTTP request to an HTTPS server") { // Go's own words
		return 0, nil, fmt.Errorf("%s does not answer in plain HTTP, it speaks TLS: give --admin-ca or an address with https://", c.base)
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
