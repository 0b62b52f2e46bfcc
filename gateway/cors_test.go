// Origins of the CORS filter.

package gateway

import "testing"

func TestParseOrigin(t *testing.T) {
	for text, want := range map[string]Origin{
		"*":                          {Any: true},
		"https://shop.example.com":   {Scheme: "https", Host: "shop.example.com", Port: 443},
		"http://Shop.Example.com":    {Scheme: "http", Host: "shop.example.com", Port: 80},
		"http://localhost:3000":      {Scheme: "http", Host: "localhost", Port: 3000},
		"https://*.example.com:8443": {Scheme: "https", Host: ".example.com", Wildcard: true, Port: 8443},
		"http://*":                   {Scheme: "http", Wildcard: true, Port: 80},
	} {
		if got, err := ParseOrigin(text); err != nil || got != want {
			t.Errorf("%s: got %+v, %v, want %+v", text, got, err, want)
		}
	}
	for _, text := range []string{
		"", "shop.example.com", "ftp://a", "https://", "https://:443", "https://a:0", "https://a:70000", "https://a:", "https://a/", "https://a.*.b",
		"https://*foo.com", "https://*.", "https://*.*.a", "https://user@a", "//a", "https://a:1:2",
	} {
		if got, err := ParseOrigin(text); err == nil {
			t.Errorf("%q is taken for %+v", text, got)
		}
	}
}
