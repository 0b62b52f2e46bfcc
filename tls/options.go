// What a listener's tls.options make of a handshake.

package tls

import (
	"crypto/tls"
	"slices"

	"github.com/wicketgate/wicketgate/gateway"
)

// apply gives a handshake what a listener's options, which may be nil, ask for. Of the protocols that the options list those are offered that can be
// spoken here; where there are none nothing can be agreed on, which is an alert to clients that offer any (RFC 7301).
func apply(o *gateway.TLSOptions, config *tls.Config) {
	if o == nil {
		return
	}
	config.MinVersion = max(config.MinVersion, o.MinVersion)
	config.CipherSuites, config.CurvePreferences = o.CipherSuites, o.Curves
	if o.Protocols == nil {
		return
	}
	offered := slices.DeleteFunc(slices.Clone(o.Protocols), func(p string) bool { return !slices.Contains(config.NextProtos, p) })
	if len(offered) == 0 {
		offered = []string{nothing}
	}
	config.NextProtos = offered
}

// nothing is a protocol that no client offers: an empty list would mean that any is accepted.
const nothing = "none"
