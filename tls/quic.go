// Handshakes over QUIC (RFC 9001): the same certificates and the same demands on clients, chosen by the server name.

package tls

import (
	"crypto/tls"
	"net/netip"
)

// HTTP3 is the name of HTTP/3 in handshakes (ALPN, RFC 9114 section 3.1).
const HTTP3 = "h3"

// QUIC is the configuration of all handshakes over QUIC on the socket bound to bind. Certificates are those of the table that is current at each
// handshake; sessions are resumed under the rules of clients.go.
func (s *Server) QUIC(bind netip.AddrPort) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		NextProtos: []string{HTTP3},
		GetConfigForClient: func(info *tls.ClientHelloInfo) (*tls.Config, error) {
			var cr *credentials
			if table := s.current(); table != nil {
				if names := table.at(bind, localAddr(info.Conn)); names != nil {
					cr = names.listener(info.ServerName)
				}
			}
			config := &tls.Config{
				MinVersion: tls.VersionTLS13,
				NextProtos: []string{HTTP3},
				// Without a certificate, nil and no error: the client gets the alert unrecognized_name. It does not wait for one that is obtained
				// on demand, because meanwhile nobody would read its packets: TCP is where clients begin.
				GetCertificate: func(info *tls.ClientHelloInfo) (*tls.Certificate, error) {
					return cr.certificate(info, s.onDemand, false), nil
				},
			}
			if cr != nil {
				apply(cr.options, config)
				cr.demand(config)
			}
			return config, nil
		},
	}
}
