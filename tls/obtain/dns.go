// DNS-01 solvers of issuers: from what the specification says to one that works.

package obtain

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"strings"

	"github.com/mholt/acmez/v3/acme"

	"github.com/wicketgate/wicketgate/certmanager"
	"github.com/wicketgate/wicketgate/tls/dns01"
	"github.com/wicketgate/wicketgate/tls/issue"
)

// dnsSolver makes the solver for a provider, or says what it lacks; then no authority is asked.
func (e *Engine) dnsSolver(i *issue.Issuer, d *certmanager.DNS01) (solver, error) {
	provider, err := e.dnsProvider(i, d)
	if err != nil {
		return nil, err
	}
	s := &dns01.Solver{Provider: provider, Network: e.network(false), Follow: d.CNAMEStrategy == "Follow", Patience: e.opt.DNSPatience}
	return dnsSolver{s, e}, nil
}

// network is how providers reach their services. Loopback is allowed where a ClusterIssuer names it.
func (e *Engine) network(loopback bool) dns01.Network {
	return dns01.Network{Dial: e.dialer(loopback), Resolver: e.opt.Resolver}
}

// dnsProvider makes the provider that a solver names, with its Secrets.
func (e *Engine) dnsProvider(i *issue.Issuer, d *certmanager.DNS01) (p dns01.Provider, err error) {
	value := func(ref *certmanager.SecretKeySelector) (text string) {
		if ref != nil && err == nil {
			text, err = e.secretValue(i, ref)
		}
		return strings.TrimSpace(text)
	}
	switch {
	case d.Cloudflare != nil:
		c := d.Cloudflare
		p = &dns01.Cloudflare{Network: e.network(false), Token: value(c.APIToken), Email: c.Email, Key: value(c.APIKey)}
	case d.DigitalOcean != nil:
		p = &dns01.DigitalOcean{Network: e.network(false), Token: value(&d.DigitalOcean.Token)}
	case d.RFC2136 != nil:
		r := d.RFC2136
		update := &dns01.RFC2136{Network: e.network(namesLoopback(i, r.Nameserver)), Server: r.Nameserver}
		if r.TSIGSecret != nil {
			update.Key = &dns01.TSIG{Name: r.TSIGKeyName, Algorithm: r.TSIGAlgorithm, Secret: value(r.TSIGSecret)}
		}
		p = update
	case d.ACMEDNS != nil:
		server := &dns01.ACMEDNS{Network: e.network(namesLoopback(i, d.ACMEDNS.Host)), Host: d.ACMEDNS.Host}
		text := value(&d.ACMEDNS.Account)
		if err == nil {
			server.Accounts, err = dns01.ParseACMEDNSAccounts([]byte(text))
		}
		p = server
	case d.Route53 != nil:
		return e.route53(i, d.Route53)
	default:
		err = errors.New("the dns01 solver names no provider")
	}
	return p, err
}

// route53 makes the provider for AWS. Without credentials of its own it takes those of the environment's variables; files and the instance's
// service are not asked.
func (e *Engine) route53(i *issue.Issuer, r *certmanager.Route53) (dns01.Provider, error) {
	p := &dns01.Route53{Network: e.network(false), Region: r.Region, ZoneID: r.HostedZoneID, Lock: &e.route53Lock}
	if r.SecretAccessKey == nil {
		c := dns01.AWSCredentials{
			AccessKeyID: os.Getenv("AWS_ACCESS_KEY_ID"), SecretAccessKey: os.Getenv("AWS_SECRET_ACCESS_KEY"), SessionToken: os.Getenv("AWS_SESSION_TOKEN"),
		}
		if c.AccessKeyID == "" || c.SecretAccessKey == "" {
			return nil, errors.New("route53: there are no credentials: give accessKeyID and secretAccessKeySecretRef, or the environment variables AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
		}
		p.Credentials = c
		return p, nil
	}
	p.Credentials.AccessKeyID = r.AccessKeyID
	if r.AccessKeyIDSecret != nil {
		text, err := e.secretValue(i, r.AccessKeyIDSecret)
		if err != nil {
			return nil, err
		}
		p.Credentials.AccessKeyID = strings.TrimSpace(text)
	}
	text, err := e.secretValue(i, r.SecretAccessKey)
	p.Credentials.SecretAccessKey = strings.TrimSpace(text)
	return p, err
}

// namesLoopback says whether a ClusterIssuer names a server on this machine: an Issuer's author is confined to a namespace, and may not.
func namesLoopback(i *issue.Issuer, server string) bool {
	if i.Key.Kind != certmanager.ClusterIssuerKind {
		return false
	}
	host := server
	if u, err := url.Parse(server); err == nil && u.Host != "" {
		host = u.Host
	}
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	ip, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// dnsSolver is a solver of dns01 for challenges.
type dnsSolver struct {
	*dns01.Solver

	engine *Engine
}

func recordOf(ch acme.Challenge) string { return strings.TrimSuffix(ch.DNS01TXTRecordName(), ".") }

func (s dnsSolver) present(ctx context.Context, ch acme.Challenge) error {
	return s.Present(ctx, recordOf(ch), ch.DNS01KeyAuthorization())
}

func (s dnsSolver) wait(ctx context.Context, ch acme.Challenge) error {
	seen, err := s.Wait(ctx, recordOf(ch), ch.DNS01KeyAuthorization())
	if err != nil {
		return fmt.Errorf("wait for the record: %w", err)
	}
	if !seen {
		s.engine.log.Warn("a record for a challenge was set, and cannot be seen from here: the authority is asked all the same", "record", recordOf(ch))
	}
	return nil
}

func (s dnsSolver) cleanUp(ctx context.Context, ch acme.Challenge) error {
	return s.CleanUp(ctx, recordOf(ch), ch.DNS01KeyAuthorization())
}
