// Certificates that are obtained on demand: at the first handshake for a name that a listener serves without naming it.

package tls

import (
	"context"
	"crypto/tls"
	"slices"
	"strings"
)

// OnDemand gives the certificate for a name, in lower case, that clients may ask for. Where there is none yet it may have one obtained, and if wait is
// set hold up the handshake until that is there. Nil: there is none, and the handshake is refused.
type OnDemand func(ctx context.Context, name string, wait bool) *tls.Certificate

// certificate picks the certificate for a client: one of the listener's, or, for names that it has on demand alone, what demand gives.
func (cr *credentials) certificate(info *tls.ClientHelloInfo, demand OnDemand, wait bool) *tls.Certificate {
	if cr == nil || cr.onDemand == nil || demand == nil || info.ServerName == "" || isChallenge(info) {
		return cr.choose(info)
	}
	name := strings.ToLower(info.ServerName)
	if !cr.onDemand.Covers(name) {
		return cr.choose(info)
	}
	return demand(info.Context(), name, wait)
}

// isChallenge says whether a certificate authority asks, or somebody who wants to pass for one: nothing is obtained for them.
func isChallenge(info *tls.ClientHelloInfo) bool {
	return slices.Contains(info.SupportedProtos, challengeProtocol)
}
