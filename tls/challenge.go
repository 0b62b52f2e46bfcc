// Handshakes that prove control of a name to a certificate authority (TLS-ALPN-01, RFC 8737).

package tls

import (
	"crypto/tls"
	"errors"
)

// challengeProtocol is what such a client offers, and nothing beside it.
const challengeProtocol = "acme-tls/1"

// errChallenge ends a handshake whose only purpose was to show a certificate.
var errChallenge = errors.New("the handshake was an authority's challenge")

// challengeConfig is the configuration for a handshake that asks for the answer to a challenge, or nil: the handshake is then like any other.
func (s *Server) challengeConfig(info *tls.ClientHelloInfo) *tls.Config {
	if s.challenge == nil || len(info.SupportedProtos) != 1 || info.SupportedProtos[0] != challengeProtocol {
		return nil
	}
	answer := s.challenge(info.Context(), info.ServerName)
	if answer == nil {
		return nil
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS12, NextProtos: []string{challengeProtocol}, Certificates: []tls.Certificate{*answer}, SessionTicketsDisabled: true,
	}
}
