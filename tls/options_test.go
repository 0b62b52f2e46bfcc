// What tls.options and the default make of handshakes: versions, ciphers, key exchange, protocols, and the life of session tickets.

package tls

import (
	"crypto/tls"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wicketgate/wicketgate/gateway"
)

func TestOptionsOfListeners(t *testing.T) {
	cert := issue(t, ecKey(t), "x", "*.example.com")
	with := func(host string, o gateway.TLSOptions) *gateway.Listener {
		l := listener(host+".example.com", cert)
		l.TLSOptions = &o
		return l
	}
	const suite, other = tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
	s := serve(socket(
		listener("plain.example.com", cert),
		with("new", gateway.TLSOptions{MinVersion: tls.VersionTLS13}),
		with("suite", gateway.TLSOptions{CipherSuites: []uint16{suite}}),
		with("curve", gateway.TLSOptions{Curves: []tls.CurveID{tls.X25519MLKEM768}}),
		with("one", gateway.TLSOptions{Protocols: []string{"http/1.1"}}),
		with("swapped", gateway.TLSOptions{Protocols: []string{"http/1.1", "h2"}}),
		with("three", gateway.TLSOptions{Protocols: []string{"h3"}}),
	))
	both := []string{"h2", "http/1.1"}
	for name, c := range map[string]struct {
		host   string
		client *tls.Config
		check  func(tls.ConnectionState) bool // nil: the handshake fails
	}{
		"key exchange withstands quantum computers by default": {"plain", &tls.Config{}, func(c tls.ConnectionState) bool { return c.CurveID == tls.X25519MLKEM768 }},
		"a client without it is served":                        {"plain", &tls.Config{CurvePreferences: []tls.CurveID{tls.X25519}}, func(c tls.ConnectionState) bool { return c.CurveID == tls.X25519 }},
		"unless only that is asked for":                        {"curve", &tls.Config{CurvePreferences: []tls.CurveID{tls.X25519}}, nil},
		"TLS 1.2 by default":                                   {"plain", &tls.Config{MaxVersion: tls.VersionTLS12}, func(c tls.ConnectionState) bool { return c.Version == tls.VersionTLS12 }},
		"a minimum version":                                    {"new", &tls.Config{MaxVersion: tls.VersionTLS12}, nil},
		"is met":                                               {"new", &tls.Config{}, func(c tls.ConnectionState) bool { return c.Version == tls.VersionTLS13 }},
		"a cipher suite":                                       {"suite", &tls.Config{MaxVersion: tls.VersionTLS12}, func(c tls.ConnectionState) bool { return c.CipherSuite == suite }},
		"and no other":                                         {"suite", &tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{other}}, nil},
		"HTTP/1.1 alone":                                       {"one", &tls.Config{NextProtos: both}, func(c tls.ConnectionState) bool { return c.NegotiatedProtocol == "http/1.1" }},
		"in the order of the list":                             {"swapped", &tls.Config{NextProtos: both}, func(c tls.ConnectionState) bool { return c.NegotiatedProtocol == "http/1.1" }},
		"HTTP/2 is not spoken then":                            {"one", &tls.Config{NextProtos: []string{"h2"}}, nil},
		"HTTP/3 alone leaves nothing for TCP":                  {"three", &tls.Config{NextProtos: both}, nil},
	} {
		c.client.ServerName, c.client.InsecureSkipVerify = c.host+".example.com", true
		state, err, _ := handshake(t, s, c.client)
		if (err == nil) != (c.check != nil) || err == nil && !c.check(state) {
			t.Errorf("%s: %v, %s, %s, %v, %q", name, err, tls.VersionName(state.Version), tls.CipherSuiteName(state.CipherSuite), state.CurveID, state.NegotiatedProtocol)
		}
	}
}

func TestOptionsOfHandshakesOverQUIC(t *testing.T) {
	for _, c := range []struct {
		options *gateway.TLSOptions
		want    string
	}{
		{nil, HTTP3},
		{&gateway.TLSOptions{MinVersion: tls.VersionTLS12}, HTTP3},
		{&gateway.TLSOptions{Protocols: []string{"h2", "h3"}}, HTTP3},
		{&gateway.TLSOptions{Protocols: []string{"h2"}}, nothing},
	} {
		l := listener("x.example.com", issue(t, ecKey(t), "x", "x.example.com"))
		l.TLSOptions = c.options
		near, _ := pair(t)
		config, err := serve(socket(l)).QUIC(bind).GetConfigForClient(&tls.ClientHelloInfo{ServerName: "x.example.com", Conn: near})
		if err != nil || len(config.NextProtos) != 1 || config.NextProtos[0] != c.want || config.MinVersion != tls.VersionTLS13 {
			t.Errorf("%+v: %v %+v", c.options, err, config)
		}
	}
}

// keptTicket remembers the last session's ticket.
type keptTicket struct{ ticket []byte }

func (*keptTicket) Get(string) (*tls.ClientSessionState, bool) { return nil, false }

func (k *keptTicket) Put(_ string, s *tls.ClientSessionState) {
	if s != nil {
		k.ticket, _, _ = s.ResumptionState()
	}
}

// A ticket that somebody keeps is worth nothing once the keys have been rotated: what was recorded cannot be decrypted with what is in memory then.
func TestKeysOfTicketsAreRotated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(socket(listener("", issue(t, ecKey(t), "x", "x.test"))))
		k := &keptTicket{}
		near, far := pair(t)
		done := make(chan struct{})
		go func() {
			defer close(done)
			c, err := s.Handshake(far, bind)
			if err != nil {
				t.Error(err)
			} else {
				_, _ = c.Write([]byte("x")) // a TLS 1.3 client sees the tickets before it
				_, _ = c.Read(make([]byte, 1))
			}
		}()
		c := tls.Client(near, &tls.Config{ServerName: "x.test", InsecureSkipVerify: true, ClientSessionCache: k}) //nolint:gosec // a test's
		if _, err := c.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		_ = near.Close()
		<-done
		usable := func() bool {
			state, err := s.config.DecryptTicket(k.ticket, tls.ConnectionState{})
			return err == nil && state != nil
		}
		if len(k.ticket) == 0 || !usable() {
			t.Fatal("no ticket that can be used")
		}
		for range 9 { // keys are looked at when handshakes ask for them
			time.Sleep(24 * time.Hour)
			usable()
		}
		if usable() {
			t.Error("a ticket can be used after nine days")
		}
	})
}
