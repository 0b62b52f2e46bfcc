// What objects from confined directories may not name: this machine's own loopback addresses, where services listen that trust whoever can
// reach them. Who may write a route for one namespace must not thereby reach those.

package gateway

import (
	"net/netip"
	"slices"
	"strconv"

	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/wicketgate/wicketgate/object"
)

// confinedLoopback says why an address is refused.
const confinedLoopback = " is an address of this machine's loopback interface, which objects in a confined directory may not name: start with --allow-loopback-backends to let them"

// refusesLoopback reports whether an object may not name this address as a backend's.
func (b *builder) refusesLoopback(o *object.Object, address string) bool {
	if !o.Confined || b.opts.ConfinedLoopback {
		return false
	}
	a, err := netip.ParseAddr(address)
	return err == nil && a.Unmap().IsLoopback()
}

// confineSlice gives a slice without the addresses that it may not name, each of which is reported: the slice itself if that is all of them.
func (b *builder) confineSlice(o *object.Object, slice *discoveryv1.EndpointSlice) *discoveryv1.EndpointSlice {
	out := slice
	for i, e := range slice.Endpoints {
		for j, address := range e.Addresses {
			if !b.refusesLoopback(o, address) {
				continue
			}
			if out == slice {
				out = slice.DeepCopy()
			}
			out.Endpoints[i].Addresses = slices.DeleteFunc(out.Endpoints[i].Addresses, func(a string) bool { return a == address })
			b.fail(o, "endpoints["+strconv.Itoa(i)+"].addresses["+strconv.Itoa(j)+"]", address+confinedLoopback)
		}
	}
	return out
}
