// Package dns01 proves control of names by TXT records (DNS-01, RFC 8555 section 8.4), through the APIs of DNS services and dynamic updates.
//
// A record goes this way:
//
//	Present   _acme-challenge.shop.example.com, or what that is a CNAME for, gets the value, beside others that it may have
//	Wait      until every name server of the zone that can be asked shows it
//	CleanUp   that value is taken away again
//
// The services' APIs are small, and spoken here: two of the libraries that there are for them find their zones and credentials over connections
// of their own, which nothing guards, one of those ends the program on an error, and the others do not let their server be named in a test.
package dns01

import (
	"context"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// Provider changes the TXT records of one account with a DNS service. Its methods may be called concurrently.
type Provider interface {
	// Add adds a value to those that a name has. Name is absolute, without the final dot.
	Add(ctx context.Context, name, value string) error
	// Remove takes a value away. That it is not there is no error.
	Remove(ctx context.Context, name, value string) error
}

// Network is how everything outside is reached.
type Network struct {
	// Dial makes connections by host name and port.
	Dial     func(ctx context.Context, network, addr string) (net.Conn, error)
	Resolver *net.Resolver
}

// client makes HTTP requests over the network.
func (n Network) client() *http.Client {
	return &http.Client{Timeout: requestTimeout, Transport: &http.Transport{
		DialContext: n.Dial, TLSHandshakeTimeout: 10 * time.Second, ForceAttemptHTTP2: true, DisableKeepAlives: true,
	}}
}

// requestTimeout bounds one request to a DNS service or server.
const requestTimeout = 30 * time.Second

const (
	// DefaultPatience is how long Wait waits.
	DefaultPatience = time.Minute
	lookInterval    = 2 * time.Second
)

// Solver sets up records through a provider.
type Solver struct {
	Provider Provider
	Network  Network
	// Follow: a CNAME at the challenge's name is followed, and the record is put where it leads.
	Follow bool
	// Patience bounds Wait; zero means DefaultPatience.
	Patience time.Duration
}

// Present adds the value to a name.
func (s *Solver) Present(ctx context.Context, name, value string) error {
	return s.Provider.Add(ctx, s.target(ctx, name), value)
}

// CleanUp takes the value away again.
func (s *Solver) CleanUp(ctx context.Context, name, value string) error {
	return s.Provider.Remove(ctx, s.target(ctx, name), value)
}

// target is where the record of a name is put.
func (s *Solver) target(ctx context.Context, name string) string {
	if !s.Follow {
		return name
	}
	target, err := s.Network.Resolver.LookupCNAME(ctx, name+".")
	if err != nil || target == "" {
		return name
	}
	return strings.TrimSuffix(target, ".")
}

// Wait returns once the value can be seen. Where nobody shows it in time, seen is false: perhaps only the authority's view of DNS has it, so that is
// no error. An error means that ctx ended.
func (s *Solver) Wait(ctx context.Context, name, value string) (seen bool, err error) {
	name = s.target(ctx, name)
	patience := s.Patience
	if patience == 0 {
		patience = DefaultPatience
	}
	limited, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		if s.visible(limited, name, value) {
			return true, nil
		}
		select {
		case <-time.After(lookInterval):
		case <-limited.Done():
			return false, ctx.Err()
		}
	}
}

// visible says whether all name servers of a name's zone that answer show the value; if none answers, whether the resolver does.
func (s *Solver) visible(ctx context.Context, name, value string) bool {
	answered := 0
	for _, server := range s.authorities(ctx, name) {
		values, err := s.ask(ctx, server, name)
		if err != nil {
			continue
		}
		if answered++; !slices.Contains(values, value) {
			return false
		}
	}
	if answered > 0 {
		return true
	}
	values, err := s.Network.Resolver.LookupTXT(ctx, name+".")
	return err == nil && slices.Contains(values, value)
}

// maxAuthorities bounds how many name servers of a zone are asked.
const maxAuthorities = 8

// authorities gives the name servers of the zone that a name is in.
func (s *Solver) authorities(ctx context.Context, name string) (servers []string) {
	for _, zone := range zones(name) {
		found, err := s.Network.Resolver.LookupNS(ctx, zone+".")
		if err != nil || len(found) == 0 {
			continue
		}
		for _, ns := range found[:min(len(found), maxAuthorities)] {
			servers = append(servers, net.JoinHostPort(strings.TrimSuffix(ns.Host, "."), "53"))
		}
		return servers
	}
	return nil
}

// ask asks a name server for the TXT records of a name.
func (s *Solver) ask(ctx context.Context, server, name string) (values []string, err error) {
	question := new(dns.Msg)
	question.SetQuestion(dns.Fqdn(name), dns.TypeTXT)
	question.RecursionDesired = false
	answer, err := exchange(ctx, s.Network, server, question, nil)
	if err != nil {
		return nil, err
	}
	for _, rr := range answer.Answer {
		if txt, ok := rr.(*dns.TXT); ok {
			values = append(values, strings.Join(txt.Txt, ""))
		}
	}
	return values, nil
}

// zones gives the names of the zones that a name can be in, the longest first: the name itself, and its parents of at least two labels.
func zones(name string) (list []string) {
	for rest := strings.TrimSuffix(name, "."); strings.Contains(rest, "."); {
		list = append(list, rest)
		_, rest, _ = strings.Cut(rest, ".")
	}
	return list
}
