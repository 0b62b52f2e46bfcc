// Dynamic updates (RFC 2136), signed with a shared key (TSIG, RFC 8945): BIND, Knot, PowerDNS, Windows and others take them.

package dns01

import (
	"context"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// RFC2136 sends updates to a name server.
type RFC2136 struct {
	Network Network
	// Server is the primary's address or host name, with or without a port.
	Server string
	// Key signs; nil: updates are not signed, and the server admits them by address.
	Key *TSIG
}

// recordTTL is how long resolvers may keep a record that is not wanted for long.
const recordTTL = 60 // seconds

// Add implements Provider.
func (r *RFC2136) Add(ctx context.Context, name, value string) error {
	return r.update(ctx, name, func(m *dns.Msg) { m.Insert([]dns.RR{record(name, value)}) })
}

// Remove implements Provider.
func (r *RFC2136) Remove(ctx context.Context, name, value string) error {
	return r.update(ctx, name, func(m *dns.Msg) { m.Remove([]dns.RR{record(name, value)}) })
}

func record(name, value string) *dns.TXT {
	return &dns.TXT{Hdr: dns.RR_Header{Name: dns.Fqdn(name), Rrtype: dns.TypeTXT, Class: dns.ClassINET, Ttl: recordTTL}, Txt: []string{value}}
}

// update sends one update of the zone that a name is in.
func (r *RFC2136) update(ctx context.Context, name string, change func(m *dns.Msg)) error {
	zone, err := r.zone(ctx, name)
	if err != nil {
		return err
	}
	m := new(dns.Msg)
	m.SetUpdate(zone)
	change(m)
	answer, err := exchange(ctx, r.Network, r.server(), m, r.Key)
	if err != nil {
		return fmt.Errorf("update zone %s at %s: %w", zone, r.server(), err)
	}
	if answer.Rcode != dns.RcodeSuccess {
		return fmt.Errorf("name server %s refuses the update of zone %s: %s", r.server(), zone, dns.RcodeToString[answer.Rcode])
	}
	return nil
}

// zone asks the server for the zone that a name is in.
func (r *RFC2136) zone(ctx context.Context, name string) (string, error) {
	last := "no answer"
	for _, candidate := range zones(name) {
		question := new(dns.Msg)
		question.SetQuestion(dns.Fqdn(candidate), dns.TypeSOA)
		answer, err := exchange(ctx, r.Network, r.server(), question, r.Key)
		if err != nil {
			return "", fmt.Errorf("ask %s for the zone of %s: %w", r.server(), name, err)
		}
		for _, rr := range append(answer.Answer, answer.Ns...) {
			if soa, ok := rr.(*dns.SOA); ok && dns.IsSubDomain(soa.Hdr.Name, dns.Fqdn(name)) {
				return soa.Hdr.Name, nil
			}
		}
		last = dns.RcodeToString[answer.Rcode]
	}
	return "", fmt.Errorf("name server %s has no zone for %s (%s)", r.server(), name, last)
}

// server is the server with a port.
func (r *RFC2136) server() string {
	if _, _, err := net.SplitHostPort(r.Server); err == nil {
		return r.Server
	}
	return net.JoinHostPort(strings.Trim(r.Server, "[]"), "53")
}

// clockSkew is how far the clocks of the server and of this machine may be apart.
const clockSkew = 300 // seconds

// exchange sends one message over TCP, signed with the key if there is one, and returns the answer. If the answer is
// signed, the signature is verified; it need not be: what counts is whether the record can be seen afterwards.
func exchange(ctx context.Context, network Network, server string, m *dns.Msg, key *TSIG) (*dns.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	under, err := network.Dial(ctx, "tcp", server)
	if err != nil {
		return nil, err
	}
	c := &dns.Conn{Conn: under}
	defer c.Close()
	if deadline, ok := ctx.Deadline(); ok {
		_ = c.SetDeadline(deadline) // a dead connection fails when it is written to
	}
	defer context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })()
	if key != nil {
		name := dns.Fqdn(strings.ToLower(key.Name))
		c.TsigProvider = key
		m.SetTsig(name, key.algorithm(), clockSkew, time.Now().Unix())
	}
	if err := c.WriteMsg(m); err != nil {
		return nil, err
	}
	answer, err := c.ReadMsg()
	if err != nil {
		return nil, err
	}
	if answer.Id != m.Id {
		return nil, fmt.Errorf("the answer of %s is to another question", server)
	}
	return answer, nil
}
