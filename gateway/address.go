// Addresses: where a Gateway listens, from spec.addresses, from the address pool, or on all interfaces.

package gateway

import (
	"encoding/binary"
	"hash/fnv"
	"net/netip"
	"slices"
	"strconv"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// allInterfaces is how a Socket says that it listens everywhere, IPv4 and IPv6.
func allInterfaces() netip.Addr { return netip.IPv6Unspecified() }

// assignAddresses fills Gateway.Addresses. Addresses that specs name are taken out of the pool first, so that no Gateway gets one
// that another asks for.
func (b *builder) assignAddresses() {
	taken := map[netip.Addr]bool{}
	wanted := make([][]gatewayv1.GatewayAddressRoutabilityType, len(b.graph.Gateways)) // one for each address of the pool
	for i, gw := range b.graph.Gateways {
		wanted[i] = b.readAddresses(gw)
		for _, a := range gw.Addresses {
			taken[a] = true
		}
	}
	for i, gw := range b.graph.Gateways {
		for n, r := range wanted[i] {
			b.assignFromPool(gw, n, r, taken)
		}
	}
}

// sentinelRoutability is a value that promises nothing: it is reserved for tests of whether routability is reported.
const sentinelRoutability gatewayv1.GatewayAddressRoutabilityType = "testing.x-k8s.io/sentinel"

// unroutable says why a kind of routability cannot be had.
func unroutable(r gatewayv1.GatewayAddressRoutabilityType) string {
	if r == gatewayv1.GatewayAddressRoutabilityCluster {
		return "routability Cluster is an address of a cluster's Services, and there is no cluster: leave it out"
	}
	return "routability " + strconv.Quote(string(r)) + " is not known: leave it out"
}

// describeAddress names an entry of spec.addresses.
func describeAddress(a *gatewayv1.GatewaySpecAddress) string {
	if a.Value == "" {
		return "an address"
	}
	return "address " + a.Value
}

// readAddresses takes the addresses that a spec names, and returns the routability of each that it wants to be given.
func (b *builder) readAddresses(gw *Gateway) (given []gatewayv1.GatewayAddressRoutabilityType) {
	spec := gw.Spec.Spec.Addresses
	if len(spec) == 0 {
		if b.opts.AddressPool.IsValid() {
			return []gatewayv1.GatewayAddressRoutabilityType{""}
		}
		return nil
	}
	for i := range spec {
		a, field := &spec[i], "spec.addresses["+strconv.Itoa(i)+"]"
		parsed, message := parseAddress(a)
		switch {
		case message != "":
			gw.faults.add(typeAccepted, reasonUnsupportedAddress, field, message)
		case a.Routability != "" && a.Routability != sentinelRoutability:
			gw.faults.add(typeAddressesAssigned, reasonAddressesNone, field, describeAddress(a)+" cannot be had: "+unroutable(a.Routability))
		case a.Value == "" && b.opts.AddressPool.IsValid():
			given = append(given, a.Routability)
		default:
			if !slices.Contains(gw.Addresses, parsed) {
				gw.Addresses = append(gw.Addresses, parsed)
			}
			gw.note(parsed, a.Routability)
		}
	}
	if len(gw.Addresses) == 0 && len(given) == 0 {
		for _, f := range gw.faults {
			if f.condition == typeAddressesAssigned {
				gw.faults.add(typeProgrammed, string(gatewayv1.GatewayReasonAddressNotAssigned), f.field, f.message)
			}
		}
	}
	return given
}

// parseAddress reads an entry of spec.addresses; message says why it is not one that can be listened on. Without a value, and without a pool,
// whatever address the machine has is the one to be given.
func parseAddress(a *gatewayv1.GatewaySpecAddress) (parsed netip.Addr, message string) {
	if t := deref(a.Type, gatewayv1.IPAddressType); t != gatewayv1.IPAddressType {
		return parsed, "addresses of type " + string(t) + " are not supported: use type IPAddress with an address of this machine"
	}
	if a.Value == "" {
		return allInterfaces(), ""
	}
	parsed, err := netip.ParseAddr(a.Value)
	if err != nil {
		return parsed, strconv.Quote(a.Value) + " is not an IP address"
	}
	if parsed = parsed.Unmap(); parsed.IsUnspecified() {
		return allInterfaces(), ""
	}
	return parsed, ""
}

// note keeps the routability that an address was asked for with.
func (gw *Gateway) note(a netip.Addr, r gatewayv1.GatewayAddressRoutabilityType) {
	if r == "" {
		return
	}
	if gw.Routability == nil {
		gw.Routability = map[netip.Addr]gatewayv1.GatewayAddressRoutabilityType{}
	}
	gw.Routability[a] = r
}

// assignFromPool gives a Gateway an address of the pool. Where it starts to look is a hash of the Gateway's name, so that Gateways
// that come and go leave the others where they are; only a collision is decided by precedence.
func (b *builder) assignFromPool(gw *Gateway, nth int, routability gatewayv1.GatewayAddressRoutabilityType, taken map[netip.Addr]bool) {
	size := poolSize(b.opts.AddressPool)
	hash := fnv.New32a()
	hash.Write([]byte(gw.Object.Namespace + "/" + gw.Object.Name + "/" + strconv.Itoa(nth)))
	start := uint64(hash.Sum32()) % size
	for i := range size {
		if a := poolAddress(b.opts.AddressPool, (start+i)%size); !taken[a] {
			taken[a] = true
			gw.Addresses = append(gw.Addresses, a)
			gw.note(a, routability)
			return
		}
	}
	full := "no address of " + b.opts.AddressPool.String() + " is left: use a larger --address-pool"
	gw.faults.add(typeAddressesAssigned, reasonAddressesNone, "spec.addresses", full)
	gw.faults.add(typeProgrammed, string(gatewayv1.GatewayReasonAddressNotAssigned), "spec.addresses", full)
}

// poolSize is how many addresses of a prefix can be given: a network's first and last address are left out, and no more than 2^16 are used.
func poolSize(pool netip.Prefix) uint64 {
	switch bits := pool.Addr().BitLen() - pool.Bits(); {
	case bits <= 1:
		return 1 << bits
	case bits > 16:
		return 1<<16 - 2
	default:
		return 1<<bits - 2
	}
}

// poolAddress is the nth address of a prefix that can be given.
func poolAddress(pool netip.Prefix, nth uint64) netip.Addr {
	pool = pool.Masked()
	if pool.Addr().BitLen()-pool.Bits() > 1 {
		nth++
	}
	raw := pool.Addr().AsSlice()
	low := raw[len(raw)-4:]
	binary.BigEndian.PutUint32(low, binary.BigEndian.Uint32(low)+uint32(nth))
	a, _ := netip.AddrFromSlice(raw)
	return a
}
