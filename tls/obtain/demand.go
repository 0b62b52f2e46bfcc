// Certificates that are obtained on demand. The first handshake for such a name waits:
//
//	client: ClientHello for shop.customer.example, which a listener serves without naming it
//	   held, and not expired?            it is served
//	   failed lately?                    refused, until its back-off is over
//	   Options.Demand says no?           refused
//	   otherwise it becomes wanted, like any other certificate; the handshake waits for what becomes of that
//
// It stays wanted while clients ask for it: one that is due for renewal is asked about again, and one that no client wanted lately is let go, as is one
// that could not be obtained. What is held is served until it expires, also after a restart.

package obtain

import (
	"context"
	"crypto/tls"
	"errors"
	"net/netip"
	"path"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/wicketgate/wicketgate/tls/demand"
	"github.com/wicketgate/wicketgate/tls/issue"
)

// demandPatience is how long a handshake waits for a certificate: less than a client may take for one (tls.DefaultHandshakeTimeout).
const demandPatience = 8 * time.Second

// errLapsed ends the care for a certificate that was obtained on demand.
var errLapsed = errors.New("it is not wanted any more")

// OnDemand gives the certificate for a name that a client asks for, in lower case, and has one obtained if there is none; if wait is set it waits for
// that. Callers ask only for names that a listener of the graph has on demand. Nil: the handshake is to be refused.
func (e *Engine) OnDemand(ctx context.Context, name string, wait bool) *tls.Certificate {
	e.mu.Lock()
	s := e.states[hostnamePrefix+name]
	c := e.demanded(s, name)
	underWay := s != nil && s.want != nil
	e.mu.Unlock()
	if c != nil || !wait || e.opt.Demand == nil || !demandable(name) {
		return c
	}
	ctx, cancel := context.WithTimeout(ctx, demandPatience)
	defer cancel()
	if !underWay {
		if s = e.demand(ctx, name); s == nil {
			return nil
		}
	}
	return e.await(ctx, s, name)
}

// demanded gives what is held for a name and is valid, and notes that a client wants it. The caller holds the lock.
func (e *Engine) demanded(s *state, name string) *tls.Certificate {
	now := time.Now()
	if s == nil || s.held == nil || now.After(s.held.leaf.NotAfter) {
		return nil
	}
	s.used = now
	if s.want == nil && now.After(s.rest) {
		s.rest = now.Add(homePause)
		if c := e.asked.Certificate(name); c != nil {
			s.desire(c, now)
			e.Wake()
		}
	}
	if c := s.served(name); c != nil {
		return c.TLS
	}
	return nil
}

// demandable says whether an authority could give a certificate for a name: one with a dot, of letters, digits and hyphens, and no address.
func demandable(name string) bool {
	_, err := netip.ParseAddr(name)
	return err != nil && strings.Contains(name, ".") && len(validation.IsDNS1123Subdomain(name)) == 0
}

// demand makes a name wanted if it may be. Nil: it may not, or not now.
func (e *Engine) demand(ctx context.Context, name string) *state {
	e.mu.Lock()
	s := e.states[hostnamePrefix+name]
	c := e.asked.Certificate(name)
	resting := s != nil && s.failures > 0 && time.Now().Before(s.next)
	e.mu.Unlock()
	if c == nil || resting || e.opt.Demand.Admit(ctx, name) != demand.Admitted {
		return nil
	}
	s = e.state(ctx, c) // another process, or an earlier run, may have it
	e.mu.Lock()
	defer e.mu.Unlock()
	now := time.Now()
	e.states[s.id] = s
	s.used = now
	if s.failures > 0 && now.Before(s.next) {
		return nil
	}
	if s.want == nil {
		s.desire(c, now)
		e.Wake()
	}
	return s
}

// await waits until a certificate is there, or could not be obtained.
func (e *Engine) await(ctx context.Context, s *state, name string) *tls.Certificate {
	for {
		e.mu.Lock()
		c := e.demanded(s, name)
		if c != nil || s.want == nil {
			e.mu.Unlock()
			return c
		}
		if s.settled == nil {
			s.settled = make(chan struct{})
		}
		settled := s.settled
		e.mu.Unlock()
		select {
		case <-settled:
		case <-ctx.Done():
			return nil
		}
	}
}

// settle wakes the handshakes that wait for a certificate. The caller holds the engine's lock.
func (s *state) settle() {
	if s.settled != nil {
		close(s.settled)
		s.settled = nil
	}
}

// stillWanted says, before a certificate of a name on demand is renewed, whether it is to be: a client asked for it since a renewal became thinkable, and the
// application still agrees. The error is errLapsed if not.
func (e *Engine) stillWanted(ctx context.Context, c *issue.Certificate, before *held) error {
	e.mu.Lock()
	s := e.states[c.ID()]
	unused := s == nil || time.Since(s.used) > before.leaf.NotAfter.Sub(before.leaf.NotBefore)/3
	e.mu.Unlock()
	if unused {
		return errLapsed
	}
	switch e.opt.Demand.Renew(ctx, c.Hostname) {
	case demand.Admitted:
		return nil
	case demand.Refused:
		return errLapsed
	}
	return homeError{errors.New("the application of --on-demand-ask does not say whether it may be renewed")}
}

// lapse ends the care for a certificate. It is served until it expires.
func (e *Engine) lapse(s *state, c *issue.Certificate) {
	e.mu.Lock()
	s.busy, s.want, s.rest = false, nil, time.Now().Add(time.Hour)
	s.settle()
	e.mu.Unlock()
	e.log.Info("a certificate that was obtained on demand is not renewed", "certificate", c.Object.Key.String(), "names", c.Names())
	e.opt.Changed(true)
}

// forgetUnwanted drops the states of hostnames that nobody wants, once there is nothing to remember: neither a certificate nor a back-off.
func (e *Engine) forgetUnwanted(now time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for id, s := range e.states {
		_, byHost := hostnameOf(id)
		if byHost && s.want == nil && !s.busy && now.After(s.next) && (s.held == nil || now.After(s.held.leaf.NotAfter)) {
			delete(e.states, id)
		}
	}
}

// sweepAge is how long a hostname's certificate that has expired stays in the storage.
const sweepAge = 30 * 24 * time.Hour

// sweep removes a hostname's certificate from the storage that nobody renewed.
func (e *Engine) sweep(ctx context.Context, id string) {
	if err := e.storage.Delete(ctx, path.Dir(certificatePath(id))); err != nil {
		e.log.Debug("an expired certificate could not be removed from the storage", "certificate", id, "error", err)
	}
}
