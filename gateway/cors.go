// The CORS filter (GEP-1767): the origins that it allows, read, and what is checked of it.

package gateway

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// Origin is one entry of allowOrigins: "*", "https://shop.example.com", "https://*.example.com:8443", "http://*".
type Origin struct {
	Any    bool   // "*": every origin, also those that are no http or https
	Scheme string // "http" or "https"
	// Host is in lower case. With Wildcard it is what a host must end with, with its dot; empty if any host will do.
	Host     string
	Wildcard bool
	Port     uint16 // the scheme's own if the entry names none
}

// ParseOrigin reads an entry of allowOrigins.
func ParseOrigin(text string) (Origin, error) {
	if text == "*" {
		return Origin{Any: true}, nil
	}
	malformed := fmt.Errorf(`origin %q is neither "*" nor scheme://host or scheme://host:port, with scheme http or https`, text)
	scheme, rest, _ := strings.Cut(text, "://")
	out := Origin{Scheme: scheme}
	switch scheme {
	case "http":
		out.Port = 80
	case "https":
		out.Port = 443
	default:
		return Origin{}, malformed
	}
	host, port, hasPort := strings.Cut(rest, ":")
	if hasPort {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 {
			return Origin{}, fmt.Errorf("origin %q: the port is a number from 1 to 65535", text)
		}
		out.Port = uint16(n)
	}
	out.Host = strings.ToLower(host)
	if tail, ok := strings.CutPrefix(out.Host, "*"); ok {
		if tail != "" && (tail[0] != '.' || len(tail) == 1) {
			return Origin{}, fmt.Errorf("origin %q: * stands for whole labels at the left of the host", text)
		}
		out.Host, out.Wildcard = tail, true
	}
	if strings.Contains(out.Host, "*") || out.Host == "" && !out.Wildcard || strings.ContainsAny(out.Host, "/?#@ ") {
		return Origin{}, malformed
	}
	return out, nil
}

// checkCORS says why a CORS filter cannot be served.
func checkCORS(f *gatewayv1.HTTPCORSFilter) string {
	if f == nil {
		return "cors is missing"
	}
	for _, text := range f.AllowOrigins {
		if _, err := ParseOrigin(string(text)); err != nil {
			return err.Error()
		}
	}
	return ""
}

// warnCORS tells of CORS filters of a rule that will not do what they are for.
func (b *builder) warnCORS(rule *Rule) {
	for i := range rule.Filters {
		f := rule.Filters[i].CORS
		if f == nil {
			continue
		}
		at := rule.field("filters[" + strconv.Itoa(i) + "].cors")
		if len(f.AllowOrigins) == 0 {
			b.warn(rule.Object, at, "no origin is allowed: name them in allowOrigins")
		}
		preflights := func(m gatewayv1.HTTPRouteMatch) bool {
			return m.Method == nil || *m.Method == gatewayv1.HTTPMethodOptions
		}
		if len(rule.Matches) > 0 && !slices.ContainsFunc(rule.Matches, preflights) {
			b.warn(rule.Object, at, "preflight requests have method OPTIONS, which no match of the rule takes: add one with method: OPTIONS")
		}
	}
}
