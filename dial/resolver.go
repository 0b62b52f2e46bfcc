// The resolver: names to addresses and how long they hold. It asks the name servers of resolv.conf or those it is given, after the hosts
// file, for absolute names only (no search list: a route's backend must not depend on what else the network calls by that name). Where the name is a
// guess it believes only addresses of private networks, because a Service that exists nowhere but in DNS should not lead out of the network by a
// typo; a host that an object names itself may be anywhere, but not on this machine or its link.

package dial

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// Bounds of what the resolver answers and does.
const (
	// MinTTL and MaxTTL bound how long an answer holds. The ceiling is low because Docker's name server says 600 s of containers
	// that may be replaced at any moment.
	MinTTL = 1 * time.Second
	MaxTTL = 30 * time.Second
	// hostsTTL is how long an answer from the hosts file holds, and failureTTL that nobody answered.
	hostsTTL   = 5 * time.Second
	failureTTL = 2 * time.Second
	// maxAddresses is how many addresses of a name are used, maxAliases how many CNAMEs are followed.
	maxAddresses = 64
	maxAliases   = 16
	// maxLookups is how many names are looked up at a time.
	maxLookups = 64
)

// ResolverOptions configure a Resolver. The zero value uses the system's files.
type ResolverOptions struct {
	// Servers are asked instead of those of resolv.conf.
	Servers []netip.AddrPort
	// Allow adds networks to those whose addresses are believed (10/8, 172.16/12, 192.168/16, fc00::/7). Loopback, link-local, multicast
	// and unspecified addresses are never believed.
	Allow []netip.Prefix
	// ResolvConf and Hosts are the files to read; empty means /etc/resolv.conf and /etc/hosts. Both are read again when they
	// change.
	ResolvConf, Hosts string
	// Timeout bounds one try with one server, Attempts is how often each server is tried; zero means as resolv.conf says, or 2 s and 2.
	Timeout  time.Duration
	Attempts int
}

// Resolver looks up the names of backends. It keeps nothing but the parsed files: who asks remembers the answer for its TTL. It is safe for
// concurrent use.
type Resolver struct {
	opts  ResolverOptions
	conf  watchedFile[resolvConf]
	hosts watchedFile[map[string][]netip.Addr]
	slots chan struct{}
}

// Reasons why a name has no usable address, for errors.Is.
var (
	ErrNoSuchName = errors.New("no such name")
	ErrNoAddress  = errors.New("the name has no address")
	ErrNotPrivate = errors.New("not an address of a private network")
	errAliases    = errors.New("the name is an alias in a loop or of too many aliases")
)

// LookupError says why none of some names has a usable address.
type LookupError struct {
	Names   []string
	Reasons []error // one for each name
}

func (e *LookupError) Error() string {
	var b strings.Builder
	b.WriteString("no address for ")
	for i, name := range e.Names {
		if i > 0 {
			b.WriteString("; ")
		}
		fmt.Fprintf(&b, "%s: %v", name, e.Reasons[i])
	}
	return b.String()
}

// Unwrap returns the reasons.
func (e *LookupError) Unwrap() []error { return e.Reasons }

// NewResolver makes a Resolver. It reads no file yet.
func NewResolver(opts ResolverOptions) *Resolver {
	r := &Resolver{opts: opts, slots: make(chan struct{}, maxLookups)}
	r.conf = watchedFile[resolvConf]{path: orDefault(opts.ResolvConf, "/etc/resolv.conf"), parse: parseResolvConf}
	r.hosts = watchedFile[map[string][]netip.Addr]{path: orDefault(opts.Hosts, "/etc/hosts"), parse: parseHosts}
	return r
}

func orDefault(path, otherwise string) string {
	if path == "" {
		return otherwise
	}
	return path
}

// Lookup returns the usable addresses of the first of names that has any, without duplicates, and how long that holds. names are absolute,
// with or without the final dot, and tried in order. public says that addresses of all networks are believed. If none has a usable address the error is a *LookupError, and ttl says how long to
// wait before asking again is worthwhile. When ctx ends, its error is returned at once.
func (r *Resolver) Lookup(ctx context.Context, names []string, public bool) (addrs []netip.Addr, ttl time.Duration, err error) {
	select {
	case r.slots <- struct{}{}:
		defer func() { <-r.slots }()
	case <-ctx.Done():
		return nil, 0, context.Cause(ctx)
	}
	failed := &LookupError{Names: names}
	again := MaxTTL
	for _, name := range names {
		addrs, ttl, err := r.lookupName(ctx, strings.ToLower(strings.TrimSuffix(name, ".")))
		if err == nil {
			addrs, err = r.believable(addrs, public)
		}
		if err == nil {
			return addrs, ttl, nil
		}
		if ctx.Err() != nil {
			return nil, 0, context.Cause(ctx)
		}
		failed.Reasons = append(failed.Reasons, err)
		again = min(again, ttl)
	}
	return nil, again, failed
}

// believable leaves out the addresses that a name must not lead to.
func (r *Resolver) believable(addrs []netip.Addr, public bool) ([]netip.Addr, error) {
	var believed []netip.Addr
	var refused netip.Addr
	for _, ip := range addrs {
		ip = ip.Unmap()
		switch {
		case neverDialled(canonical(ip)) != "", canonical(ip).IsLoopback(), !public && !r.isAllowed(ip):
			refused = ip
		case !slices.Contains(believed, ip) && len(believed) < maxAddresses:
			believed = append(believed, ip)
		}
	}
	switch {
	case len(believed) > 0:
		return believed, nil
	case !refused.IsValid():
		return nil, ErrNoAddress
	case public && neverDialled(canonical(refused)) != "":
		return nil, fmt.Errorf("%w: %s: %s", ErrNotPrivate, refused, neverDialled(canonical(refused)))
	case canonical(refused).IsLoopback():
		return nil, fmt.Errorf("%w: %s is this machine; list it in an EndpointSlice if that is meant", ErrNotPrivate, refused)
	default:
		return nil, fmt.Errorf("%w: %s; --backend-dns-cidr %s allows it", ErrNotPrivate, refused, netip.PrefixFrom(refused, refused.BitLen()))
	}
}

func (r *Resolver) isAllowed(ip netip.Addr) bool {
	return ip.IsPrivate() || slices.ContainsFunc(r.opts.Allow, func(p netip.Prefix) bool { return p.Contains(ip) })
}

// lookupName looks one name up: in the hosts file, then with the name servers, IPv4 and IPv6 at the same time.
func (r *Resolver) lookupName(ctx context.Context, name string) ([]netip.Addr, time.Duration, error) {
	if addrs := r.hosts.read()[name]; len(addrs) > 0 {
		return addrs, hostsTTL, nil
	}
	type result struct {
		answer
		err error
	}
	six := make(chan result, 1)
	go func() {
		a, err := r.resolve(ctx, name, dnsmessage.TypeAAAA)
		six <- result{a, err}
	}()
	v4, err4 := r.resolve(ctx, name, dnsmessage.TypeA)
	v6 := <-six

	addrs := slices.Concat(v4.addrs, v6.addrs)
	switch {
	case len(v4.addrs) > 0 && len(v6.addrs) > 0:
		return addrs, min(v4.ttl, v6.ttl), nil
	case len(v4.addrs) > 0:
		return addrs, v4.ttl, nil
	case len(v6.addrs) > 0:
		return addrs, v6.ttl, nil
	case err4 != nil:
		return nil, min(v4.ttl, v6.ttl), err4
	case v6.err != nil:
		return nil, min(v4.ttl, v6.ttl), v6.err
	}
	return nil, min(v4.ttl, v6.ttl), ErrNoAddress
}

// resolve follows a name through its aliases to addresses of one kind. Servers usually follow them for us; those that answer with an
// alias alone are asked again.
func (r *Resolver) resolve(ctx context.Context, name string, kind dnsmessage.Type) (answer, error) {
	ttl := MaxTTL
	for range maxAliases {
		question, err := newQuestion(name, kind)
		if err != nil {
			return answer{ttl: MaxTTL}, err
		}
		a, err := r.ask(ctx, question)
		if err != nil {
			return answer{ttl: failureTTL}, err
		}
		a.ttl = min(max(a.ttl, MinTTL), ttl)
		switch {
		case a.noSuchName:
			return a, ErrNoSuchName
		case a.alias == "":
			return a, nil
		}
		name, ttl = a.alias, a.ttl
	}
	return answer{ttl: failureTTL}, errAliases
}

// ask puts a question to the servers, in turn, until one answers it.
func (r *Resolver) ask(ctx context.Context, question dnsmessage.Question) (answer, error) {
	conf := r.conf.read()
	servers, timeout, attempts := r.opts.Servers, r.opts.Timeout, r.opts.Attempts
	if len(servers) == 0 {
		servers = conf.serversOrDefault()
	}
	if timeout == 0 {
		timeout = conf.timeoutOrDefault()
	}
	if attempts == 0 {
		attempts = conf.attemptsOrDefault()
	}
	var last error
	for range attempts {
		for _, server := range servers {
			a, err := exchange(ctx, server, question, timeout)
			if err == nil {
				return a, nil
			}
			if ctx.Err() != nil {
				return answer{}, context.Cause(ctx)
			}
			last = fmt.Errorf("name server %s: %w", server, err)
		}
	}
	return answer{}, last
}
