// Any request gets one answer, and what reaches a backend is what rules were asked about.

package proxy

import (
	"bytes"
	"testing"

	"github.com/wicketgate/wicketgate/message"
)

func FuzzServe(f *testing.F) {
	f.Add("GET", "/cart/a?b=c", "shop.example.com", "X-Forwarded-For", "10.0.0.1")
	f.Add("CONNECT", "", "shop.example.com:443", "Host", "x")
	f.Add("OPTIONS", "*", "SHOP.example.com.", "X_Y", "1")
	f.Add("GET", "/admin/../cart/%2e%2e//x%2f", "[::1]:80", "x-role", "admin")
	p, b := plainProxy(f, Options{})
	f.Fuzz(func(t *testing.T, method, target, authority, name, value string) {
		x := plainExchange()
		x.req.Method, x.req.Target, x.req.Authority = []byte(method), []byte(target), []byte(authority)
		x.req.Fields.Add([]byte(name), []byte(value))
		b.seen = nil
		p.Serve(x)
		if x.answers != 1 || x.status == 0 {
			t.Fatalf("%d answers, status %d", x.answers, x.status)
		}
		if b.seen == nil {
			return
		}
		again := message.Head{Target: []byte(b.seen.target)}
		if err := message.NormalizeTarget(&again, true); err != nil {
			t.Fatalf("the backend got %q: %v", b.seen.target, err)
		}
		path, _, _ := bytes.Cut([]byte(b.seen.target), []byte("?"))
		if !bytes.Equal(again.Path, path) || !bytes.HasPrefix(path, []byte("/cart")) && !bytes.HasPrefix(path, []byte("/admin")) {
			t.Errorf("the backend got %q, which no rule names", b.seen.target)
		}
		if got := joined(b.seen.header, "X-Forwarded-For"); got != "192.0.2.7" {
			t.Errorf("the backend believes in client %q", got)
		}
	})
}
