// Managed certificates: those of listeners without a usable reference to one, obtained by hostname.
//
// A listener with a hostname needs one certificate. One with a wildcard or no hostname needs one for each hostname that the routes attached to
// it are served under, because only some ways of proving control give a certificate with a wildcard:
//
//	listener *.example.com, routes for a.example.com, b.example.com and *.example.com   ->   a.example.com, b.example.com
//
// Where such a way is at hand, one certificate with the wildcard is for all that it covers, which is one label:
//
//	the same listener, and a route for x.y.example.com                                  ->   *.example.com, x.y.example.com

package gateway

import (
	"slices"
	"strings"
)

// ManagedCertificates are the certificates that were obtained by hostname. They are immutable.
type ManagedCertificates struct {
	ByHostname map[string]*Certificate
	// Waiting answers for hostnames that have none yet. It must not be nil.
	Waiting *Certificate
	// Wildcards says that certificates with wildcards can be had.
	Wildcards bool
}

// manageCertificates gives the listeners that need them their managed certificates. Routes must be attached.
func (b *builder) manageCertificates() {
	for l := range b.graph.Listeners() {
		if !l.managed || !l.Usable {
			continue
		}
		l.Managed = managedHostnames(l, b.opts.Managed.Wildcards)
		waiting := len(l.Managed) == 0
		for _, name := range l.Managed {
			if c := b.opts.Managed.ByHostname[name]; c != nil {
				l.Certificates = append(l.Certificates, c)
			} else {
				waiting = true
			}
		}
		if waiting {
			l.Certificates = append(l.Certificates, b.opts.Managed.Waiting)
		}
	}
}

// managedHostnames lists the hostnames that a listener needs certificates for.
func managedHostnames(l *Listener, wildcards bool) (names []string) {
	concrete := func(name string) bool { return name != "" && !strings.HasPrefix(name, "*") }
	if concrete(l.Hostname) {
		return []string{l.Hostname}
	}
	// The suffix is that of names which a wildcard covers. Clients do not take one for a top level domain.
	suffix := ""
	if rest, ok := strings.CutPrefix(l.Hostname, "*"); ok && wildcards && strings.Count(rest, ".") > 1 {
		suffix = rest
		names = append(names, l.Hostname)
	}
	for _, a := range l.Attachments {
		for _, h := range a.Hostnames {
			label, covered := strings.CutSuffix(h.Effective, suffix)
			if concrete(h.Effective) && (suffix == "" || !covered || strings.Contains(label, ".")) {
				names = append(names, h.Effective)
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// waiting says why a listener answers with self-signed certificates alone, or "".
func (l *Listener) waiting() string {
	if len(l.Certificates) == 0 {
		return ""
	}
	for _, c := range l.Certificates {
		if c.Placeholder == "" {
			return ""
		}
	}
	return l.Certificates[0].Placeholder
}
