// Hostnames: wildcards, and the intersection of a route's hostnames with a listener's.

package gateway

import (
	"iter"
	"slices"
	"strings"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// wildcardsOver yields every hostname other than itself that covers all of a hostname, the most specific first: for
// "a.b.example" they are "*.b.example", "*.example" and "" (every host).
func wildcardsOver(hostname string) iter.Seq[string] {
	return func(yield func(string) bool) {
		if hostname == "" {
			return
		}
		rest := strings.TrimPrefix(hostname, "*.")
		for {
			_, after, more := strings.Cut(rest, ".")
			if !more {
				break
			}
			if !yield("*." + after) {
				return
			}
			rest = after
		}
		yield("")
	}
}

// coversHostname says whether every host that b stands for is one that a stands for.
func coversHostname(a, b string) bool {
	switch {
	case a == "" || a == b:
		return true
	case b == "":
		return false
	}
	suffix, wildcard := strings.CutPrefix(a, "*")
	// "*.example.com" covers "x.example.com" and "*.x.example.com", but not "example.com".
	return wildcard && strings.HasSuffix(strings.TrimPrefix(b, "*"), suffix)
}

// HostnameCovers says whether a listener's hostname covers a host.
func HostnameCovers(hostname, host string) bool {
	return coversHostname(hostname, strings.ToLower(host))
}

// intersect gives the hostnames under which a route with these hostnames is served on a listener. It is empty if they have none in
// common. One effective hostname appears once, with the most specific hostname that the route declares for it.
func intersect(route []gatewayv1.Hostname, listener string) []Hostname {
	if len(route) == 0 {
		return []Hostname{{Effective: listener}}
	}
	var all []Hostname
	for _, h := range route {
		declared := strings.ToLower(string(h))
		var effective string
		switch {
		case coversHostname(listener, declared):
			effective = declared
		case coversHostname(declared, listener):
			effective = listener
		default:
			continue
		}
		same := slices.IndexFunc(all, func(have Hostname) bool { return have.Effective == effective })
		switch {
		case same < 0:
			all = append(all, Hostname{Effective: effective, Declared: declared})
		case coversHostname(all[same].Declared, declared):
			all[same].Declared = declared
		}
	}
	return all
}
