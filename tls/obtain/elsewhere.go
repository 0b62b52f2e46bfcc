// A look at DNS before an order: whether the authority will find this gateway under the names that are to be proved by asking it. It only warns: the
// authority may see another DNS, and addresses of this machine say little behind a load balancer.

package obtain

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/mholt/acmez/v3/acme"

	"github.com/wicketgate/wicketgate/tls/issue"
)

// lookTimeout bounds the look at all names of an order.
const lookTimeout = 3 * time.Second

// warnElsewhere tells of names that do not lead here. It asks for all of them at once.
func (e *Engine) warnElsewhere(ctx context.Context, c *issue.Certificate, proofs map[string]proof) {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	var looks sync.WaitGroup
	for _, name := range c.Names() {
		if net.ParseIP(name) != nil || proofs[name].kind == acme.ChallengeTypeDNS01 {
			continue
		}
		looks.Go(func() {
			if why := e.elsewhere(ctx, name); why != "" {
				e.log.Warn("the authority may not find this gateway under a name that it is to verify", "name", name, "certificate", c.Object.Key.String(), "reason", why)
			}
		})
	}
	looks.Wait()
}

// elsewhere says why a name does not lead to this machine, or "" if it does, or if that cannot be found out.
func (e *Engine) elsewhere(ctx context.Context, name string) string {
	addrs, err := e.opt.Resolver.LookupNetIP(ctx, "ip", name+".")
	if failed, ok := errors.AsType[*net.DNSError](err); ok && failed.IsNotFound {
		return "the name does not resolve: add an A or AAAA record that leads here"
	}
	if err != nil {
		return ""
	}
	own, err := net.InterfaceAddrs()
	if err != nil {
		return ""
	}
	var found []string
	for _, a := range addrs {
		here := slices.ContainsFunc(own, func(o net.Addr) bool {
			p, err := netip.ParsePrefix(o.String())
			return err == nil && p.Addr().Unmap() == a.Unmap()
		})
		if here {
			return ""
		}
		found = append(found, a.Unmap().String())
	}
	return "the name resolves to " + strings.Join(found, ", ") + ", which is no address of this machine: right behind a load balancer or NAT, wrong otherwise"
}
