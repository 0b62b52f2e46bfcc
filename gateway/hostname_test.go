// Tests of hostname intersection, of covering wildcards and of the address pool.

package gateway

import (
	"net/netip"
	"slices"
	"testing"
)

func addrs(texts ...string) []netip.Addr {
	var all []netip.Addr
	for _, t := range texts {
		all = append(all, netip.MustParseAddr(t))
	}
	return all
}

func TestCoversHostname(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{"", "", true},
		{"", "example.com", true},
		{"example.com", "", false},
		{"*.example.com", "", false},
		{"example.com", "example.com", true},
		{"*.example.com", "example.com", false},
		{"*.example.com", "a.example.com", true},
		{"*.example.com", "a.b.example.com", true},
		{"*.example.com", "*.b.example.com", true},
		{"*.b.example.com", "*.example.com", false},
		{"*.example.com", "aexample.com", false},
		{"a.example.com", "*.example.com", false},
	} {
		if got := coversHostname(c.a, c.b); got != c.want {
			t.Errorf("coversHostname(%q, %q) is %v", c.a, c.b, got)
		}
	}
}

// The wildcards over a hostname are exactly the hostnames other than itself that cover it.
func TestWildcardsOver(t *testing.T) {
	for hostname, want := range map[string][]string{
		"":                nil,
		"localhost":       {""},
		"a.b.example":     {"*.b.example", "*.example", ""},
		"*.b.example":     {"*.example", ""},
		"shop.example.io": {"*.example.io", "*.io", ""},
	} {
		got := slices.Collect(wildcardsOver(hostname))
		if !slices.Equal(got, want) {
			t.Errorf("wildcardsOver(%q) is %q, want %q", hostname, got, want)
		}
		for _, w := range got {
			if !coversHostname(w, hostname) {
				t.Errorf("%q does not cover %q", w, hostname)
			}
		}
	}
}

func TestPoolAddressesAreDistinctAndInside(t *testing.T) {
	for _, text := range []string{"127.0.10.0/24", "10.0.0.0/30", "10.0.0.4/31", "10.0.0.1/32", "fd00::/120", "fd00::/64", "10.0.0.0/8"} {
		pool := netip.MustParsePrefix(text)
		size := poolSize(pool)
		seen := map[netip.Addr]bool{}
		for n := range min(size, 300) {
			a := poolAddress(pool, n)
			if !pool.Contains(a) || seen[a] {
				t.Errorf("%s: address %d of %d is %s", text, n, size, a)
			}
			seen[a] = true
		}
		if last := poolAddress(pool, size-1); !pool.Contains(last) {
			t.Errorf("%s: the last address is %s", text, last)
		}
	}
}
