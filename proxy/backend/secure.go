// TLS to endpoints.

package backend

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"

	"github.com/wicketgate/wicketgate/wire"
)

// session is the configuration for one endpoint. Sessions are resumed with the endpoint that they were begun with: others of the same
// name have other keys for their tickets.
func (t *TLS) session(offer ...string) *tls.Config {
	config := t.Config.Clone()
	config.NextProtos = offer
	config.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	return config
}

// secure does the handshake on a connection that was dialled. Nothing of a request has been sent yet, so that another endpoint may be
// tried when it fails.
func (e *endpoint) secure(ctx context.Context, c net.Conn, config *tls.Config) (net.Conn, error) {
	secured, err := wire.SecureBackend(ctx, c, config)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", e.backend.tls.Policy, err)
	}
	return secured, nil
}
