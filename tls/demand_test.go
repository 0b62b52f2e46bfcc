// Handshakes for names that a listener has on demand.

package tls

import (
	"context"
	"crypto/tls"
	"errors"
	"testing"

	"github.com/wicketgate/wicketgate/config"
	"github.com/wicketgate/wicketgate/gateway"
	"github.com/wicketgate/wicketgate/object"
)

// demandingListener is an HTTPS listener for *.example.com with a route for shop.example.com and one for any name.
func demandingListener(t *testing.T, shop *gateway.Certificate) *gateway.Listener {
	t.Helper()
	objects, problems := config.Parse("in.yaml", []byte(`apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: web}
spec:
  gatewayClassName: wicketgate
  listeners: [{name: main, port: 443, protocol: HTTPS, hostname: "*.example.com"}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: main}
spec:
  parentRefs: [{name: web}]
  hostnames: [shop.example.com, "*.example.com"]
  rules: [{filters: [{type: RequestRedirect, requestRedirect: {statusCode: 301}}]}]
`))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	managed := &gateway.ManagedCertificates{ByHostname: map[string]*gateway.Certificate{"shop.example.com": shop}, Waiting: shop, OnDemand: true}
	return gateway.Build(object.NewSet(objects...), gateway.Options{Managed: managed}).Gateways[0].Listeners[0]
}

func TestCertificatesOnDemand(t *testing.T) {
	key := ecKey(t)
	custom := issue(t, key, "custom", "custom.example.com")
	table := Compile([]*gateway.Socket{socket(demandingListener(t, issue(t, key, "shop", "shop.example.com")))})
	var asked []string
	s := NewServer(Options{Current: func() *Certificates { return table }, OnDemand: func(_ context.Context, name string, wait bool) *tls.Certificate {
		if asked = append(asked, name); wait && name == "custom.example.com" {
			return custom.TLS
		}
		return nil
	}})
	for _, c := range []struct {
		name      string
		protocols []string
		want      string // common name of the certificate; empty: refused
		asks      bool
	}{
		{"shop.example.com", nil, "shop", false},
		{"custom.example.com", nil, "custom", true},
		{"CUSTOM.example.com", []string{"h2", "http/1.1"}, "custom", true},
		{"stranger.example.com", nil, "", true},
		{"stranger.example.org", nil, "", false},
		{"", nil, "shop", false},
		{"custom.example.com", []string{challengeProtocol}, "", false},
	} {
		asked = nil
		state, err, serverErr := handshake(t, s, &tls.Config{ServerName: c.name, NextProtos: c.protocols, InsecureSkipVerify: true})
		if (len(asked) > 0) != c.asks {
			t.Errorf("%q %v: asked for %v", c.name, c.protocols, asked)
		}
		if c.want == "" {
			failed, ok := errors.AsType[*HandshakeError](serverErr)
			if err == nil || !ok || !c.asks && c.protocols == nil && failed.Outcome != NoCertificate {
				t.Errorf("%q %v: %v, %v", c.name, c.protocols, err, serverErr)
			}
			continue
		}
		if err != nil || state.PeerCertificates[0].Subject.CommonName != c.want {
			t.Errorf("%q: %v %v", c.name, state.PeerCertificates, err)
		}
	}
}
