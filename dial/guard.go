// The guard: which addresses must never be dialled, whatever a file or a name server says. A gateway stands where its
// authors' requests do not reach: next to the metadata service of the cloud (link-local), to services that trust the machine they run on
// (loopback), and to its own admin address. Who may write a route or answer a DNS query must not thereby reach those.

package dial

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"
	"time"
)

// Guard decides which destinations may be dialled. The zero value is ready, and knows no addresses of our own yet. It is safe for
// concurrent use.
type Guard struct {
	own   atomic.Pointer[ownAddresses]
	local atomic.Pointer[localAddresses]
	// interfaces lists this machine's addresses; nil means net.InterfaceAddrs. For tests.
	interfaces func() ([]net.Addr, error)
}

// ownAddresses are where this process listens.
type ownAddresses struct {
	exact    map[netip.AddrPort]bool
	wildcard map[uint16]bool // ports on every local address
}

// localAddresses are the addresses of this machine's interfaces, as of a moment.
type localAddresses struct {
	set  map[netip.Addr]bool
	read time.Time
}

// localAge is how long the list of this machine's addresses is believed.
const localAge = 5 * time.Second

// RefusedError says why an address is not dialled, and what to change.
type RefusedError struct {
	Addr netip.AddrPort
	Why  string
}

func (e *RefusedError) Error() string {
	return fmt.Sprintf("refused to connect to %s: %s", e.Addr, e.Why)
}

// SetOwn replaces the set of addresses that this process itself listens on (listeners and admin). An unspecified address stands for
// all addresses of this machine, IPv4 and IPv6.
func (g *Guard) SetOwn(addrs []netip.AddrPort) {
	own := &ownAddresses{exact: make(map[netip.AddrPort]bool), wildcard: make(map[uint16]bool)}
	for _, a := range addrs {
		if ip := canonical(a.Addr()); ip.IsUnspecified() {
			own.wildcard[a.Port()] = true
		} else {
			own.exact[netip.AddrPortFrom(ip, a.Port())] = true
		}
	}
	g.own.Store(own)
}

// refusal is a range of addresses that nobody may dial.
type refusal struct {
	prefix netip.Prefix
	why    string
}

const (
	linkLocal   = "it is link-local, where clouds serve instance credentials; name a routable address"
	credentials = "a cloud serves instance credentials or configuration there; name another address"
)

// refusals are ranges beyond those that net/netip has names for, among them the addresses of metadata services that are not link-local: of AWS, Google
// Cloud and Scaleway over IPv6, of Alibaba Cloud, Azure and Oracle Cloud.
var refusals = [...]refusal{
	{netip.MustParsePrefix("0.0.0.0/8"), `it belongs to "this network" and is no destination; name the backend's address`},
	{netip.MustParsePrefix("255.255.255.255/32"), "it is the broadcast address; name one backend's address"},
	{netip.MustParsePrefix("fd00:ec2::254/128"), credentials},
	{netip.MustParsePrefix("fd20:ce::254/128"), credentials},
	{netip.MustParsePrefix("fd00:42::42/128"), credentials},
	{netip.MustParsePrefix("100.100.100.200/32"), credentials},
	{netip.MustParsePrefix("168.63.129.16/32"), credentials},
	{netip.MustParsePrefix("192.0.0.192/32"), credentials},
}

// translated is the well-known prefix of NAT64 (RFC 6052 section 2.1): the last 32 bits are an IPv4 address.
var translated = netip.MustParsePrefix("64:ff9b::/96")

// Check returns a *RefusedError if ip and port must not be dialled, and nil otherwise. loopback says that addresses of this machine's loopback
// are allowed for this destination. IPv4 addresses in IPv6 notation are checked as IPv4.
func (g *Guard) Check(ip netip.Addr, port uint16, loopback bool) error {
	refuse := func(why string) error { return &RefusedError{Addr: netip.AddrPortFrom(ip, port), Why: why} }
	if !ip.IsValid() {
		return refuse("it is no address")
	}
	if port == 0 {
		return refuse("port 0 is no destination; name the backend's port")
	}
	addr := canonical(ip)
	if why := neverDialled(addr); why != "" {
		return refuse(why)
	}
	if addr.IsLoopback() && !loopback {
		return refuse("it is a loopback address, which is allowed only where an EndpointSlice or Backend object lists it, not where a name resolves to it")
	}
	mine, err := g.isOwn(addr, port)
	if err != nil {
		return refuse(fmt.Sprintf("cannot tell whether it is an address of this gateway: %v", err))
	}
	if mine {
		return refuse("this gateway itself listens there; requests would come back to it for ever; name the backend's address or port")
	}
	return nil
}

// canonical gives an address the one form in which it is compared: without a zone, IPv4 as IPv4.
func canonical(ip netip.Addr) netip.Addr {
	ip = ip.Unmap().WithZone("")
	if translated.Contains(ip) {
		b := ip.As16()
		return netip.AddrFrom4([4]byte(b[12:]))
	}
	return ip
}

func neverDialled(ip netip.Addr) string {
	switch {
	case ip.IsUnspecified():
		return "it is the unspecified address; name the backend's address"
	case ip.IsLinkLocalUnicast():
		return linkLocal
	case ip.IsMulticast():
		return "it is a multicast address; name one backend's address"
	}
	for _, r := range refusals {
		if r.prefix.Contains(ip) {
			return r.why
		}
	}
	return ""
}

// Own reports whether this process listens on an address. Where that cannot be found out it does not.
func (g *Guard) Own(at netip.AddrPort) bool {
	mine, err := g.isOwn(canonical(at.Addr()), at.Port())
	return mine && err == nil
}

// isOwn reports whether this process listens on the address and port.
func (g *Guard) isOwn(ip netip.Addr, port uint16) (bool, error) {
	own := g.own.Load()
	if own == nil {
		return false, nil
	}
	if own.exact[netip.AddrPortFrom(ip, port)] {
		return true, nil
	}
	if !own.wildcard[port] {
		return false, nil
	}
	if ip.IsLoopback() {
		return true, nil
	}
	local, err := g.localSet()
	return local[ip], err
}

// localSet returns this machine's addresses. They are read again when the list is old, since interfaces come and go.
func (g *Guard) localSet() (map[netip.Addr]bool, error) {
	if l := g.local.Load(); l != nil && time.Since(l.read) < localAge {
		return l.set, nil
	}
	list := g.interfaces
	if list == nil {
		list = net.InterfaceAddrs
	}
	addrs, err := list()
	if err != nil {
		return nil, fmt.Errorf("list this machine's addresses: %w", err)
	}
	l := &localAddresses{set: make(map[netip.Addr]bool, len(addrs)), read: time.Now()}
	for _, a := range addrs {
		network, ok := a.(*net.IPNet)
		if !ok {
			continue
		}
		if ip, ok := netip.AddrFromSlice(network.IP); ok {
			l.set[canonical(ip)] = true
		}
	}
	g.local.Store(l)
	return l.set, nil
}

// IsRefused reports whether err is a refusal of a Guard.
func IsRefused(err error) bool {
	_, ok := errors.AsType[*RefusedError](err)
	return ok
}
