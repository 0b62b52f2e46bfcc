// TLS to endpoints.

package backend

import (
	"crypto/tls"
	"fmt"
	"net"

	"github.com/wicketgate/wicketgate/wire"
)

// session is the configuration for one endpoint. Sessions are resumed with the endpoint that they were begun with: others of the same
// name have other keys for their tickets.
func (t *TLS) session() *tls.Config {
	config := t.Config.Clone()
	config.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	return config
}

// secure does the handshake on a connection that was dialled. Nothing of a request has been sent yet, so that another endpoint may be
// tried when it fails.
func (a *attempt) secure(e *endpoint, c net.Conn) (net.Conn, error) {
	ctx, cancel := a.context(a.b.registry.opt.HandshakeTimeout)
	defer cancel()
	secured, err := wire.SecureBackend(ctx, c, e.tls)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", a.b.tls.Policy, err)
	}
	return secured, nil
}
