// The certificate authority of these tests: Pebble, on loopback, refusing a part of all nonces, with a DNS server of its own.

package pebbletest

import (
	"encoding/pem"
	"fmt"
	"io"
	"log" //nolint:depguard // Pebble writes to such loggers
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/letsencrypt/challtestsrv"
	"github.com/letsencrypt/pebble/v2/ca"
	"github.com/letsencrypt/pebble/v2/db"
	"github.com/letsencrypt/pebble/v2/va"
	"github.com/letsencrypt/pebble/v2/wfe"
	"github.com/miekg/dns"
)

// authority is a running Pebble.
type authority struct {
	directory string // URL
	roots     string // file with the certificate of its own server, in PEM
	httpPort  int    // where it asks for HTTP-01 answers
	tlsPort   int    // where it asks for TLS-ALPN-01 answers
	resolver  string // address of dns
	dns       *challtestsrv.ChallSrv
	ca        *ca.CAImpl
	db        *db.MemoryStore

	down   atomic.Bool // answers every request with 503
	mu     sync.Mutex
	orders int               // that were placed
	hold   map[string]func() // called when a path is asked for, before the answer
}

// settings say how an authority differs from the usual.
type settings struct {
	externalAccounts map[string]string // key IDs and keys, in base64url; not nil: required
	validity         time.Duration
	staples          bool // certificates name an OCSP responder
}

// newAuthority starts an authority for the length of a test. A part of all nonces is refused.
func newAuthority(t *testing.T, s settings) *authority {
	t.Helper()
	t.Setenv("PEBBLE_VA_NOSLEEP", "1")
	t.Setenv("PEBBLE_WFE_NONCEREJECT", "15") // of a hundred: ten refusals of one request in a row are an error
	t.Setenv("PEBBLE_AUTHZREUSE", "0")
	logger := log.New(io.Discard, "", 0)
	if testing.Verbose() {
		logger = log.New(t.Output(), "pebble ", 0)
	}
	a := &authority{httpPort: freePort(t), tlsPort: freePort(t), resolver: fmt.Sprintf("127.0.0.1:%d", freePort(t)), hold: map[string]func(){}}
	var err error
	a.dns, err = challtestsrv.New(challtestsrv.Config{Log: log.New(io.Discard, "", 0), DNSAddrs: []string{a.resolver}})
	if err != nil {
		t.Fatal(err)
	}
	a.dns.SetDefaultDNSIPv4("127.0.0.1")
	a.dns.SetDefaultDNSIPv6("")
	go a.dns.Run()
	t.Cleanup(a.dns.Shutdown)
	for end := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) { // a name that is not found costs minutes
		question := new(dns.Msg).SetQuestion("example.com.", dns.TypeA)
		if _, err := dns.Exchange(question, a.resolver); err == nil {
			break
		}
		if time.Now().After(end) {
			t.Fatal("the DNS server does not answer")
		}
	}

	a.db = db.NewMemoryStore()
	for id, key := range s.externalAccounts {
		if err := a.db.AddExternalAccountKeyByID(id, key); err != nil {
			t.Fatal(err)
		}
	}
	profiles := map[string]ca.Profile{"default": {Description: "the usual", ValidityPeriod: uint64(s.validity / time.Second)}}
	if s.staples {
		responder := httptest.NewServer(http.HandlerFunc(a.answerOCSP))
		t.Cleanup(responder.Close)
		a.ca = ca.New(logger, a.db, responder.URL, "rsa", 0, 1, profiles) // it gives away no other key to sign staples with
	} else {
		a.ca = ca.New(logger, a.db, "", "ecdsa", 0, 1, profiles)
	}
	validation := va.New(logger, a.httpPort, a.tlsPort, false, a.resolver, a.db)
	front := wfe.New(logger, a.db, validation, a.ca, []string{"pebble.letsencrypt.org"}, false, s.externalAccounts != nil, 1, 1)
	handler := front.Handler()
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.look(r)
		if a.down.Load() {
			http.Error(w, "down for maintenance", http.StatusServiceUnavailable)
			return
		}
		answered := &recorder{ResponseWriter: w}
		handler.ServeHTTP(answered, r)
		if strings.HasSuffix(r.URL.Path, "/order-plz") && answered.status == http.StatusCreated {
			a.mu.Lock()
			a.orders++
			a.mu.Unlock()
		}
	}))
	t.Cleanup(server.Close)
	a.directory = server.URL + wfe.DirectoryPath
	a.roots = filepath.Join(t.TempDir(), "pebble.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(a.roots, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return a
}

// recorder remembers a response's status.
type recorder struct {
	http.ResponseWriter

	status int
}

func (r *recorder) WriteHeader(status int) {
	r.status = status
	r.ResponseWriter.WriteHeader(status)
}

// look calls what waits for a request.
func (a *authority) look(r *http.Request) {
	a.mu.Lock()
	var call func()
	for part, f := range a.hold {
		if strings.Contains(r.URL.Path, part) {
			call = f
			delete(a.hold, part)
		}
	}
	a.mu.Unlock()
	if call != nil {
		call()
	}
}

// when calls f, once, before a request whose path contains part is answered.
func (a *authority) when(part string, f func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.hold[part] = f
}

// given counts the ports that freePort has given.
var given atomic.Int32

// freePort finds a port that nobody listens on, that was not given before, and that the system gives to no outgoing connection: so nobody has it
// before it is used.
func freePort(t *testing.T) int {
	t.Helper()
	for range 1000 {
		port := 20_000 + (os.Getpid()*131+int(given.Add(1)))%12_000
		l, err := net.Listen("tcp", fmt.Sprintf(":%d", port))
		if err != nil {
			continue
		}
		_ = l.Close()
		c, err := net.ListenPacket("udp", fmt.Sprintf(":%d", port))
		if err != nil {
			continue
		}
		_ = c.Close()
		return port
	}
	t.Fatal("no port is free")
	return 0
}
