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
//
// Names that routes have only by a wildcard, or by having no hostnames, are not known before a client asks for them. Where certificates may
// be obtained on demand, that is what OnDemand is for:
//
//	listener without a hostname, a route for a.example.com and one without hostnames    ->   a.example.com, and any name on demand

package gateway

import (
	"iter"
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
	// OnDemand says that certificates may be obtained when a client asks for a name that nothing else tells of.
	OnDemand bool
}

// OnDemand says for which names a listener's certificates are obtained when clients ask for them. It is immutable; nil stands for none.
type OnDemand struct {
	hostnames []string // of routes: with a wildcard, or "" for any name
	managed   []string // what certificates are obtained for anyway
}

// Covers says whether a certificate may be obtained for a name, in lower case, because a client asks for it: some route serves it, and none of the
// certificates that are obtained anyway is for it.
func (o *OnDemand) Covers(name string) bool {
	if o == nil || !slices.ContainsFunc(o.hostnames, func(h string) bool { return HostnameCovers(h, name) }) {
		return false
	}
	_, parent, _ := strings.Cut(name, ".")
	return !slices.Contains(o.managed, name) && !slices.Contains(o.managed, "*."+parent)
}

// manageCertificates gives the listeners that need them their managed certificates. Routes must be attached.
func (b *builder) manageCertificates() {
	for l := range b.graph.Listeners() {
		if !l.managed || !l.Usable {
			continue
		}
		l.Managed, l.OnDemand = b.managedNames(l)
		waiting := len(l.Managed) == 0 && l.OnDemand == nil
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

// managedNames are the names that a listener needs certificates for now, and those on demand.
func (b *builder) managedNames(l *Listener) (names []string, demand *OnDemand) {
	names = b.managedHostnames(l)
	if b.opts.Managed.OnDemand {
		demand = onDemand(b.graph.Attached[l].Routes, names)
	}
	return names, demand
}

// needsOtherNames says whether the names of any of the listeners are not those that they were made with.
func (b *builder) needsOtherNames(listeners iter.Seq[*Listener]) bool {
	for l := range listeners {
		if !l.managed || !l.Usable {
			continue
		}
		if names, demand := b.managedNames(l); !slices.Equal(names, l.Managed) || !demand.equal(l.OnDemand) {
			return true
		}
	}
	return false
}

func (o *OnDemand) equal(other *OnDemand) bool {
	if o == nil || other == nil {
		return o == other
	}
	return slices.Equal(o.hostnames, other.hostnames) && slices.Equal(o.managed, other.managed)
}

// managedHostnames lists the hostnames that a listener needs certificates for.
func (b *builder) managedHostnames(l *Listener) (names []string) {
	concrete := func(name string) bool { return name != "" && !strings.HasPrefix(name, "*") }
	if concrete(l.Hostname) {
		return []string{l.Hostname}
	}
	// The suffix is that of names which a wildcard covers. Clients do not take one for a top level domain.
	suffix := ""
	if rest, ok := strings.CutPrefix(l.Hostname, "*"); ok && b.opts.Managed.Wildcards && strings.Count(rest, ".") > 1 {
		suffix = rest
		names = append(names, l.Hostname)
	}
	for _, a := range b.graph.Attached[l].Routes {
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

// onDemand gives the names that routes serve without telling which they are, or nil.
func onDemand(routes []*Attachment, managed []string) *OnDemand {
	o := &OnDemand{managed: managed}
	for _, a := range routes {
		for _, h := range a.Hostnames {
			if (h.Effective == "" || strings.HasPrefix(h.Effective, "*")) && !slices.Contains(o.hostnames, h.Effective) {
				o.hostnames = append(o.hostnames, h.Effective)
			}
		}
	}
	if len(o.hostnames) == 0 {
		return nil
	}
	return o
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
