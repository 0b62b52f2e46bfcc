// TLS-ALPN-01: an authority's handshake sees the answer, everybody else's the listener's certificate.

package tls

import (
	"context"
	"crypto/tls"
	"errors"
	"testing"

	"github.com/wicketgate/wicketgate/gateway"
)

func TestChallengeHandshakes(t *testing.T) {
	key := ecKey(t)
	answer := issue(t, key, "answer", "shop.example").TLS
	shop := listener("shop.example", issue(t, key, "listener", "shop.example"))
	table := Compile([]*gateway.Socket{socket(shop)})
	s := NewServer(Options{
		Current: func() *Certificates { return table },
		Challenge: func(_ context.Context, name string) *tls.Certificate {
			if name == "shop.example" {
				return answer
			}
			return nil
		},
	})
	for _, c := range []struct {
		name    string
		offers  []string
		subject string
		outcome Outcome // "" stands for a connection that is served
	}{
		{"shop.example", []string{"acme-tls/1"}, "answer", Challenged},
		{"shop.example", []string{"http/1.1", "acme-tls/1"}, "listener", ""},
		{"shop.example", []string{"http/1.1"}, "listener", ""},
		{"other.example", []string{"acme-tls/1"}, "", Failed},
	} {
		state, _, err := handshake(t, s, &tls.Config{ServerName: c.name, NextProtos: c.offers, InsecureSkipVerify: true}) //nolint:gosec // the subject is compared
		subject := ""
		if len(state.PeerCertificates) > 0 {
			subject = state.PeerCertificates[0].Subject.CommonName
		}
		outcome := Outcome("")
		if failed, ok := errors.AsType[*HandshakeError](err); ok {
			outcome = failed.Outcome
		}
		if subject != c.subject || outcome != c.outcome {
			t.Errorf("%s offering %v sees %q and ends as %q, want %q and %q", c.name, c.offers, subject, outcome, c.subject, c.outcome)
		}
	} // An authority has no certificate to show where the listener demands one of its clients, and does not offer what its options ask for.
	shop.Clients, shop.TLSOptions = newAuthority(t, "staff").demand(false), &gateway.TLSOptions{Protocols: []string{HTTP2}}
	table = Compile([]*gateway.Socket{socket(shop)})
	state, _, _ := handshake(t, s, &tls.Config{ServerName: "shop.example", NextProtos: []string{"acme-tls/1"}, InsecureSkipVerify: true}) //nolint:gosec // the subject is compared
	if len(state.PeerCertificates) == 0 || state.PeerCertificates[0].Subject.CommonName != "answer" {
		t.Errorf("where clients need certificates a challenge sees %v", state.PeerCertificates)
	}
}
