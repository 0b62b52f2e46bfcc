// Package tls answers TLS handshakes with the certificates of the Gateways' listeners, chosen by the server name (SNI).
//
// Compile makes an immutable table from a graph's sockets; the data plane keeps it in the same snapshot as its routes, so that one swap
// changes both. A Server does the handshakes for the whole life of the process and reads the table that is current at each.
package tls

import (
	"crypto/tls"
	"net/netip"
	"strings"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/wicketgate/wicketgate/gateway"
)

// Certificates is the certificates of every socket that terminates TLS. It is immutable.
type Certificates struct {
	sockets map[place]*names
}

// place is where a connection arrived. Local is valid for sockets that serve one address of a wildcard.
type place struct {
	bind  netip.AddrPort
	local netip.Addr
}

// names is one socket's listeners by hostname, as handshakes see them.
//
// With listeners for shop.example.com, *.example.com and any host, the name shop.example.com meets the first, a.example.com and
// a.b.example.com the second, and example.org the third.
type names struct {
	exact    map[string]*credentials
	wildcard map[string]*credentials // by the part after the '*': ".example.com"
	any      *credentials            // the listener without a hostname; nil: other names are refused
	unnamed  *credentials            // for clients that send no name
}

// credentials are one listener's certificates, in the order of its certificateRefs, and what it demands of clients.
type credentials struct {
	list []*tls.Certificate
	// named has the places in list of the certificates with a name, in lower case, wildcards as they stand there; nil where there is nothing to choose.
	// A listener may have 64 certificates, and looking for a name in each takes a tenth of a handshake.
	named   map[string][]int
	clients *gateway.ClientValidation // nil: clients are not asked for certificates
	options *gateway.TLSOptions       // nil: handshakes are like any other

	onDemand *gateway.OnDemand // names whose certificates are not in list; nil: none
}

// Compile makes the table for sockets. A listener none of whose certificates resolved refuses handshakes, so that its hostname does not fall
// to another listener.
func Compile(sockets []*gateway.Socket) *Certificates {
	c := &Certificates{sockets: map[place]*names{}}
	for _, s := range sockets {
		if s.Protocol == gatewayv1.TLSProtocolType {
			c.sockets[place{s.Bind, s.Local}] = compile(s.Listeners)
		}
	}
	return c
}

func compile(listeners []*gateway.Listener) *names {
	n := &names{exact: map[string]*credentials{}, wildcard: map[string]*credentials{}}
	var first *credentials
	for _, l := range listeners {
		cr := &credentials{clients: l.Clients, options: l.TLSOptions, onDemand: l.OnDemand}
		for _, cert := range l.Certificates {
			cr.list = append(cr.list, cert.TLS)
		}
		cr.index()
		suffix, wild := strings.CutPrefix(l.Hostname, "*")
		switch {
		case l.Hostname == "":
			n.any = cr
		case wild:
			n.wildcard[suffix] = cr
		default:
			n.exact[l.Hostname] = cr
		}
		if first == nil && len(cr.list) > 0 {
			first = cr
		}
	}
	n.unnamed = n.any
	if n.unnamed == nil {
		n.unnamed = first
	}
	return n
}

// at finds what serves a connection that the socket bound to bind accepted at the local address; nil: it is not TLS.
func (c *Certificates) at(bind netip.AddrPort, local netip.Addr) *names {
	if n := c.sockets[place{bind, local}]; n != nil {
		return n
	}
	return c.sockets[place{bind: bind}]
}

// listener finds the credentials for a server name: the exact hostname, then the longest wildcard, then the listener for every host.
func (n *names) listener(name string) *credentials {
	if name == "" {
		return n.unnamed
	}
	name = strings.ToLower(name)
	if cr := n.exact[name]; cr != nil {
		return cr
	}
	for i := strings.IndexByte(name, '.'); i >= 0; {
		if cr := n.wildcard[name[i:]]; cr != nil {
			return cr
		}
		next := strings.IndexByte(name[i+1:], '.')
		if next < 0 {
			break
		}
		i += 1 + next
	}
	return n.any
}

// index finds the names of several certificates.
func (cr *credentials) index() {
	if len(cr.list) < 2 {
		return
	}
	cr.named = map[string][]int{}
	for i, cert := range cr.list {
		for _, name := range cert.Leaf.DNSNames {
			name = strings.ToLower(name)
			cr.named[name] = append(cr.named[name], i)
		}
		for _, ip := range cert.Leaf.IPAddresses {
			cr.named[ip.String()] = append(cr.named[ip.String()], i)
		}
	}
}

// choose picks a listener's certificate for a client: of those that it can verify the first that has the name, then the first with a wildcard for
// it, then the first that it can verify, then the first. Nil if there is none.
func (cr *credentials) choose(hello *tls.ClientHelloInfo) *tls.Certificate {
	if cr == nil || len(cr.list) == 0 {
		return nil
	}
	if len(cr.list) == 1 {
		return cr.list[0]
	}
	if cert := cr.forName(hello); cert != nil {
		return cert
	}
	for _, cert := range cr.list {
		if supports(hello, cert) {
			return cert
		}
	}
	return cr.list[0]
}

// forName finds the first certificate that is valid for the name and that the client can verify, or nil. One that has the name itself comes before
// wildcards, as the Gateway API demands ("the longest matching SNI"). Of
//
//	*.example.com    shop.example.com    *.example.org
//
// the second is for shop.example.com, and the first for a.example.com. Whether they are valid for it is left to package x509.
func (cr *credentials) forName(hello *tls.ClientHelloInfo) *tls.Certificate {
	name := strings.ToLower(hello.ServerName)
	_, domain, _ := strings.Cut(name, ".")
	for _, key := range [...]string{name, "*." + domain} {
		for _, i := range cr.named[key] {
			// Which of them names the host is decided here: SupportsCertificate would refuse one that does not, and there may be no better.
			if cert := cr.list[i]; supports(hello, cert) && cert.Leaf.VerifyHostname(hello.ServerName) == nil {
				return cert
			}
		}
	}
	return nil
}

// supports says whether the client can verify signatures of the certificate's key, whatever names the certificate has.
func supports(hello *tls.ClientHelloInfo, cert *tls.Certificate) bool {
	anonymous := *hello
	anonymous.ServerName = ""
	return anonymous.SupportsCertificate(cert) == nil
}
