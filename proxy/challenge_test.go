// HTTP-01 answers come before routes, on plain connections alone.

package proxy

import (
	"context"
	"testing"

	"github.com/wicketgate/wicketgate/wire"
)

func TestChallengeIsAnsweredBeforeRoutes(t *testing.T) {
	o := tableOptions()
	o.Challenge = func(_ context.Context, host, path string) (string, bool) {
		return "answer", host == "shop.example" && path == "/.well-known/acme-challenge/token"
	}
	p, _ := plainProxy(t, o)
	for _, c := range []struct {
		method, authority, path string
		secure, answered        bool
	}{
		{"GET", "Shop.example:80", "/.well-known/acme-challenge/token", false, true},
		{"GET", "shop.example", "/.well-known/%61cme-challenge/token", false, true},
		{"GET", "shop.example", "/.well-known/acme-challenge/another", false, false},
		{"GET", "other.example", "/.well-known/acme-challenge/token", false, false},
		{"POST", "shop.example", "/.well-known/acme-challenge/token", false, false},
		{"GET", "shop.example", "/.well-known/acme-challenge/token", true, false},
	} {
		x := plainExchange()
		x.req.Method, x.req.Authority, x.req.Target = []byte(c.method), []byte(c.authority), []byte(c.path)
		if c.secure {
			x.peer.TLS = &wire.TLS{}
		}
		p.Serve(x)
		if got := x.status == 200 && string(x.content) == "answer"; got != c.answered {
			t.Errorf("%s %s%s (TLS %v): %d %q", c.method, c.authority, c.path, c.secure, x.status, x.content)
		}
	}
}
