// DNS-01: providers of DNS by their modules.

package obtain

import (
	"errors"

	"github.com/wicketgate/wicketgate/certmanager"
	"github.com/wicketgate/wicketgate/tls/issue"
)

// dnsSolver makes the solver for a provider.
func (e *Engine) dnsSolver(*issue.Issuer, *certmanager.DNS01) (solver, error) {
	return nil, errors.New("DNS-01 is not served yet")
}
