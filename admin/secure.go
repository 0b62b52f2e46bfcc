// TLS on the administrative interface: the server's certificate, and the authorities of the clients that may ask.
//
// Files are read again for each handshake, so that they can be renewed without a restart. What cannot be read then leaves the last good ones in
// force: a certificate that is being written does not lock anybody out.

package admin

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"sync"
)

// TLS names the files that secure the interface.
type TLS struct {
	Cert, Key string // PEM; both or neither
	// ClientCA has the authorities, in PEM, one of which must have signed a client's certificate. Empty: clients need none.
	ClientCA string
}

// Enabled says whether the interface speaks TLS.
func (t TLS) Enabled() bool { return t.Cert != "" || t.Key != "" || t.ClientCA != "" }

// check says what is missing.
func (t TLS) check() error {
	if t.Enabled() && (t.Cert == "" || t.Key == "") {
		return errors.New("TLS on the admin interface needs a certificate and its key: give --admin-tls-cert and --admin-tls-key")
	}
	return nil
}

// secrets are the files' contents, kept from one handshake to the next. Its method may be called concurrently.
type secrets struct {
	files TLS
	log   *slog.Logger

	mu   sync.Mutex
	last *tls.Config // never nil once newSecrets has returned
}

func newSecrets(files TLS, log *slog.Logger) (*secrets, error) {
	s := &secrets{files: files, log: log}
	config, err := s.read()
	s.last = config
	return s, err
}

// read makes a configuration of what the files say now.
func (s *secrets) read() (*tls.Config, error) {
	pair, err := tls.LoadX509KeyPair(s.files.Cert, s.files.Key)
	if err != nil {
		return nil, fmt.Errorf("reading --admin-tls-cert and --admin-tls-key: %w", err)
	}
	// No session is resumed: each client is verified by the authorities of the moment.
	config := &tls.Config{
		Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}, SessionTicketsDisabled: true,
	}
	if s.files.ClientCA == "" {
		return config, nil
	}
	if config.ClientCAs, err = readAuthorities("--admin-tls-client-ca", s.files.ClientCA); err != nil {
		return nil, err
	}
	// Who has none gets as far as /healthz and /readyz: the guard asks for it.
	config.ClientAuth = tls.VerifyClientCertIfGiven
	return config, nil
}

// config is what a handshake that begins now goes by.
func (s *secrets) config(*tls.ClientHelloInfo) (*tls.Config, error) {
	config, err := s.read()
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.log.Error("the admin interface goes on with the certificates from before", "error", err)
		return s.last, nil
	}
	s.last = config
	return config, nil
}

// readAuthorities reads a file of certificates in PEM.
func readAuthorities(flag, file string) (*x509.CertPool, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", flag, err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s %s: there is no certificate in PEM in it", flag, file)
	}
	return pool, nil
}

// hasCertificate says whether a request came from a client whose certificate was verified.
func hasCertificate(r *http.Request) bool { return r.TLS != nil && len(r.TLS.VerifiedChains) > 0 }

// ClientTLS names the files with which a client asks an interface that speaks TLS. All may be empty.
type ClientTLS struct {
	CA        string // PEM; what to trust instead of the system's authorities
	Cert, Key string // PEM; both or neither
}

// Wanted says whether any file is named: the interface is then asked by TLS.
func (t ClientTLS) Wanted() bool { return t != ClientTLS{} }

// Config reads the files.
func (t ClientTLS) Config() (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if t.CA != "" {
		pool, err := readAuthorities("--admin-ca", t.CA)
		if err != nil {
			return nil, err
		}
		config.RootCAs = pool
	}
	if t.Cert == "" && t.Key == "" {
		return config, nil
	}
	pair, err := tls.LoadX509KeyPair(t.Cert, t.Key)
	if err != nil {
		return nil, fmt.Errorf("reading --admin-cert and --admin-key: %w", err)
	}
	config.Certificates = []tls.Certificate{pair}
	return config, nil
}
