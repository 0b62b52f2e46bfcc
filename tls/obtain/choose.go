// Which way control of a name is proved: the issuer's solvers with cert-manager's precedence, and what the gateway itself can answer.

package obtain

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"

	"github.com/mholt/acmez/v3/acme"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/wicketgate/wicketgate/certmanager"
	"github.com/wicketgate/wicketgate/gateway"
	"github.com/wicketgate/wicketgate/tls/issue"
)

// prove chooses a way for each name of a certificate, or says for which there is none: then nobody is asked.
func (e *Engine) prove(c *issue.Certificate) (map[string]proof, error) {
	e.mu.Lock()
	graph := e.graph
	attempt := 0
	if s := e.states[c.ID()]; s != nil {
		attempt = s.failures
	}
	e.mu.Unlock()
	proofs := map[string]proof{}
	var errs []error
	for _, name := range c.Names() {
		p, err := e.proofOf(c, graph, name, attempt)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		// A server's authorization names the domain, without the wildcard.
		proofs[name] = p
		proofs[strings.TrimPrefix(name, "*.")] = p
	}
	return proofs, errors.Join(errs...)
}

// proofOf chooses the way for one name. Where the gateway can answer in two ways, attempts take turns.
func (e *Engine) proofOf(c *issue.Certificate, graph *gateway.Graph, name string, attempt int) (proof, error) {
	if c.Issuer.Object == nil && e.opt.Hook.Command != "" {
		return proof{acme.ChallengeTypeDNS01, e.opt.Hook}, nil
	}
	s, err := solverFor(c, name)
	if err != nil {
		return proof{}, err
	}
	if s.DNS01 != nil {
		dns, err := e.dnsSolver(c.Issuer, s.DNS01)
		return proof{acme.ChallengeTypeDNS01, dns}, err
	}
	if strings.HasPrefix(name, "*.") {
		return proof{}, fmt.Errorf("%s: a wildcard is proved by DNS-01 alone, and the solver for it is HTTP-01: %s", name, wildcardRemedy(c.Issuer))
	}
	plain, secure := answerable(graph, name)
	var ways []proof
	if plain {
		ways = append(ways, proof{acme.ChallengeTypeHTTP01, httpSolver{e.challenges}})
	}
	if secure && net.ParseIP(name) == nil {
		ways = append(ways, proof{acme.ChallengeTypeTLSALPN01, alpnSolver{e.challenges}})
	}
	if len(ways) == 0 {
		return proof{}, fmt.Errorf("%s: no listener can answer a challenge for it: add one of protocol HTTP on port 80, or of HTTPS on port 443, that serves this host", name)
	}
	return ways[attempt%len(ways)], nil
}

// wildcardRemedy says how an issuer could prove wildcards.
func wildcardRemedy(i *issue.Issuer) string {
	if i.Object == nil {
		return "give --acme-dns-hook"
	}
	return "give " + i.Key.String() + " a dns01 solver"
}

// answerable says whether some plain HTTP listener, and some listener that ends TLS for a name, carries traffic. Any HTTP listener does: a
// challenge is answered before any route is looked for.
func answerable(g *gateway.Graph, name string) (plain, secure bool) {
	if g == nil {
		return false, false
	}
	for l := range g.Listeners() {
		switch {
		case !l.Usable:
		case l.Protocol == gatewayv1.HTTPProtocolType:
			plain = true
		case (len(l.Certificates) > 0 || l.OnDemand.Covers(name)) && gateway.HostnameCovers(l.Hostname, name):
			secure = true
		}
	}
	return plain, secure
}

// solverFor finds the solver for a name. The most specific selector wins: a name in dnsNames, then the longest of dnsZones, then the most
// labels; among equals the first.
func solverFor(c *issue.Certificate, name string) (*certmanager.Solver, error) {
	solvers := c.Issuer.Spec.ACME.Solvers
	if len(solvers) == 0 {
		return &certmanager.Solver{HTTP01: &certmanager.HTTP01{}}, nil
	}
	var best *certmanager.Solver
	var rank [3]int
	for i := range solvers {
		r, ok := match(solvers[i].Selector, c, name)
		if ok && (best == nil || slices.Compare(r[:], rank[:]) > 0) {
			best, rank = &solvers[i], r
		}
	}
	if best == nil {
		return nil, fmt.Errorf("%s: no solver of %s has a selector that matches it", name, c.Issuer.Key)
	}
	return best, nil
}

// match says whether a selector matches, and how specific it is about names, zones and labels.
func match(s *certmanager.Selector, c *issue.Certificate, name string) (rank [3]int, ok bool) {
	if s == nil {
		return rank, true
	}
	if len(s.DNSNames) > 0 {
		if !slices.ContainsFunc(s.DNSNames, func(n string) bool { return strings.EqualFold(n, name) }) {
			return rank, false
		}
		rank[0] = 1
	}
	if len(s.DNSZones) > 0 {
		longest := ""
		for _, zone := range s.DNSZones {
			zone = strings.ToLower(strings.TrimPrefix(zone, "*."))
			if (name == zone || strings.HasSuffix(name, "."+zone)) && cmp.Compare(len(zone), len(longest)) > 0 {
				longest = zone
			}
		}
		if longest == "" {
			return rank, false
		}
		rank[1] = strings.Count(longest, ".") + 1
	}
	for k, v := range s.MatchLabels {
		if c.Object.Meta.Labels[k] != v {
			return rank, false
		}
	}
	rank[2] = len(s.MatchLabels)
	return rank, true
}
