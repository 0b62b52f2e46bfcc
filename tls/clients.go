// Certificates of clients: asked for where the listener of the server name demands it (GEP-91).
//
// Sessions are resumed across listeners and reloads, since their tickets are the process's. What that must not do is bring in a client that a
// full handshake would refuse. crypto/tls sees to it: a ticket carries the chains by which the client's certificate was verified, and it is
// passed over, in favour of a full handshake, unless one of them still ends in an authority of the configuration that the new handshake
// chose.

package tls

import (
	"crypto/tls"
	"errors"
	"strings"
)

// configFor is the GetConfigForClient of every handshake. Nil stands for the Server's own configuration.
func (s *Server) configFor(info *tls.ClientHelloInfo) (*tls.Config, error) {
	if config := s.challengeConfig(info); config != nil {
		return config, nil
	}
	h, ok := info.Context().Value(helloKey{}).(*hello)
	if !ok || h.names == nil {
		return nil, nil // certificate refuses it
	}
	cr := h.names.listener(info.ServerName)
	special := cr != nil && (cr.clients != nil || cr.options != nil)
	if !special && !h.foreign {
		return nil, nil
	}
	// Tickets are made with the keys of the Server's configuration, not of the copy.
	config := s.config.Clone()
	if special {
		apply(cr.options, config)
		cr.demand(config)
	}
	if h.foreign {
		config.NextProtos = h.protocols
	}
	return config, nil
}

// demand has a handshake ask for the client's certificate if the listener demands one.
func (cr *credentials) demand(config *tls.Config) {
	if cr.clients == nil {
		return
	}
	config.ClientCAs = cr.clients.Roots // also tells clients which of their certificates to choose
	config.ClientAuth = tls.RequireAndVerifyClientCert
	if cr.clients.InsecureFallback {
		config.ClientAuth = tls.RequestClientCert
	}
}

// badClient says whether a handshake failed because of the client's certificate. crypto/tls has no type for a missing one.
func badClient(err error) bool {
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return true
	}
	return strings.Contains(err.Error(), "client didn't provide a certificate")
}
