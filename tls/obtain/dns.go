// DNS-01 solvers of issuers: the seam for providers of DNS. There is none yet, so that names which need one are not ordered.

package obtain

import (
	"errors"

	"github.com/wicketgate/wicketgate/certmanager"
	"github.com/wicketgate/wicketgate/tls/issue"
)

// dnsSolver makes the solver for a provider, or says why there is none; then no authority is asked.
func (e *Engine) dnsSolver(*issue.Issuer, *certmanager.DNS01) (solver, error) {
	return nil, errors.New("dns01 solvers are not served yet: use http01, or --acme-email with --acme-dns-hook")
}
