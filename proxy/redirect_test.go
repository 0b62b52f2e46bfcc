// Locations of redirects, by the rules of the specification.

package proxy

import (
	"testing"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// The port of a Location: given, else that of the filter's scheme, else the listener's; left out where the scheme implies it.
func TestRedirectPort(t *testing.T) {
	for _, c := range []struct {
		request  string // scheme
		listener int32
		scheme   string
		port     int32
		want     string
	}{
		{"http", 80, "", 0, "http://example.org/p"},
		{"http", 80, "", 80, "http://example.org/p"},
		{"http", 80, "", 8080, "http://example.org:8080/p"},
		{"http", 80, "", 443, "http://example.org:443/p"},
		{"http", 80, "https", 0, "https://example.org/p"},
		{"http", 80, "https", 443, "https://example.org/p"},
		{"http", 80, "https", 8443, "https://example.org:8443/p"},
		{"http", 80, "https", 80, "https://example.org:80/p"},
		{"http", 8080, "", 0, "http://example.org:8080/p"},
		{"http", 8080, "", 80, "http://example.org/p"},
		{"http", 8080, "http", 0, "http://example.org/p"},
		{"http", 8080, "https", 0, "https://example.org/p"},
		{"https", 443, "", 0, "https://example.org/p"},
		{"https", 443, "", 443, "https://example.org/p"},
		{"https", 443, "", 8443, "https://example.org:8443/p"},
		{"https", 8443, "", 0, "https://example.org:8443/p"},
		{"https", 443, "http", 0, "http://example.org/p"},
		{"https", 443, "http", 80, "http://example.org/p"},
		{"https", 443, "http", 8080, "http://example.org:8080/p"},
		{"http", 443, "", 0, "http://example.org:443/p"},
	} {
		f := &gatewayv1.HTTPRequestRedirectFilter{}
		if c.scheme != "" {
			f.Scheme = &c.scheme
		}
		if c.port != 0 {
			f.Port = &c.port
		}
		r, err := compileRedirect(f)
		if err != nil {
			t.Fatal(err)
		}
		got := string(r.appendLocation(nil, &target{
			scheme: c.request, host: []byte("example.org"), listenerPort: c.listener, path: []byte("/p"),
		}))
		if got != c.want {
			t.Errorf("%s listener on %d, filter scheme %q port %d: %s, want %s", c.request, c.listener, c.scheme, c.port, got, c.want)
		}
		if r.status != 302 {
			t.Errorf("default status is %d", r.status)
		}
	}
}

func TestRedirectLocation(t *testing.T) {
	host := gatewayv1.PreciseHostname("new.example.org")
	for name, c := range map[string]struct {
		filter gatewayv1.HTTPRequestRedirectFilter
		want   string
	}{
		"nothing changes":  {gatewayv1.HTTPRequestRedirectFilter{}, "http://shop.example.com/old/x?q=1&r"},
		"hostname":         {gatewayv1.HTTPRequestRedirectFilter{Hostname: &host}, "http://new.example.org/old/x?q=1&r"},
		"full path":        {gatewayv1.HTTPRequestRedirectFilter{Path: fullModifier("/new")}, "http://shop.example.com/new?q=1&r"},
		"prefix":           {gatewayv1.HTTPRequestRedirectFilter{Path: prefixModifier("/new")}, "http://shop.example.com/new/x?q=1&r"},
		"prefix and host":  {gatewayv1.HTTPRequestRedirectFilter{Hostname: &host, Path: prefixModifier("/")}, "http://new.example.org/x?q=1&r"},
		"prefix to itself": {gatewayv1.HTTPRequestRedirectFilter{Path: prefixModifier("/old")}, "http://shop.example.com/old/x?q=1&r"},
	} {
		r, err := compileRedirect(&c.filter)
		if err != nil {
			t.Fatal(err)
		}
		got := string(r.appendLocation(nil, &target{
			scheme: "http", host: []byte("shop.example.com"), listenerPort: 80, path: []byte("/old/x"), query: []byte("q=1&r"),
			hasQuery: true, prefixLen: len("/old"),
		}))
		if got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}
