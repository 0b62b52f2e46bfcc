// Proving control of an order's names (RFC 8555 section 7.5): every challenge is set up first, then the server is told of all, then all are
// awaited.

package obtain

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/mholt/acmez/v3/acme"
)

// solver sets up the answer to a challenge.
type solver interface {
	// present makes the answer available; wait, until the server can see it. Cleaning up ends what present did, also if that failed.
	present(ctx context.Context, ch acme.Challenge) error
	wait(ctx context.Context, ch acme.Challenge) error
	cleanUp(ctx context.Context, ch acme.Challenge) error
}

// proof is how control of a name is proved.
type proof struct {
	kind   string // "http-01", "tls-alpn-01" or "dns-01"
	solver solver
}

// authorization is one name of an order while it is proved.
type authorization struct {
	acme.Authorization
	proof     proof
	challenge acme.Challenge
	presented bool
}

// authorize proves control of all of an order's names.
func (o *ordering) authorize(ctx context.Context, proofs map[string]proof) (err error) {
	var open []*authorization
	defer func() {
		for _, a := range open {
			o.close(ctx, a, err != nil)
		}
	}()
	for _, location := range o.order.Authorizations {
		got, err := o.client.GetAuthorization(ctx, o.account.acme, location)
		if err != nil {
			return fmt.Errorf("read an authorization: %w", err)
		}
		if got.Status == acme.StatusValid {
			continue
		}
		a := &authorization{Authorization: got}
		open = append(open, a)
		if err := o.present(ctx, a, proofs); err != nil {
			return err
		}
	}
	for _, a := range open {
		if err := a.proof.solver.wait(ctx, a.challenge); err != nil {
			return homeError{fmt.Errorf("%s: %s: %w", a.IdentifierValue(), a.proof.kind, err)}
		}
		if _, err := o.client.InitiateChallenge(ctx, o.account.acme, a.challenge); err != nil {
			return fmt.Errorf("%s: %s: %w", a.IdentifierValue(), a.proof.kind, err)
		}
	}
	for _, a := range open {
		if _, err := o.client.PollAuthorization(ctx, o.account.acme, a.Authorization); err != nil {
			return fmt.Errorf("%s: the server could not verify the %s challenge: %w", a.IdentifierValue(), a.proof.kind, brief(err))
		}
	}
	return nil
}

// present chooses the challenge of the kind that is configured, and sets up its answer.
func (o *ordering) present(ctx context.Context, a *authorization, proofs map[string]proof) error {
	name := a.IdentifierValue()
	p, ok := proofs[name]
	if !ok {
		return fmt.Errorf("the server asks for a proof of %s, which was not ordered", name)
	}
	i := slices.IndexFunc(a.Challenges, func(c acme.Challenge) bool { return c.Type == p.kind })
	if i < 0 {
		var offered []string
		for _, c := range a.Challenges {
			offered = append(offered, c.Type)
		}
		return fmt.Errorf("%s: the server offers the challenges %v, and the solver for this name is %s", name, offered, p.kind)
	}
	a.proof, a.challenge, a.presented = p, a.Challenges[i], true
	if err := p.solver.present(ctx, a.challenge); err != nil {
		return homeError{fmt.Errorf("%s: set up the %s challenge: %w", name, p.kind, err)}
	}
	return nil
}

// close takes down what was set up. An authorization that is still pending would count against the account's limits: it is given back.
func (o *ordering) close(ctx context.Context, a *authorization, failed bool) {
	ending := ctx.Err() != nil // the program ends: the order goes on when it is back
	ctx = context.WithoutCancel(ctx)
	if a.presented {
		if err := a.proof.solver.cleanUp(ctx, a.challenge); err != nil {
			o.engine.log.Warn("a challenge could not be cleaned up", "name", a.IdentifierValue(), "challenge", a.proof.kind, "error", err)
		}
	}
	if failed && !ending {
		_, _ = o.client.DeactivateAuthorization(ctx, o.account.acme, a.Location) // courtesy
	}
}

// brief shortens an error of the server to what it says about a challenge.
func brief(err error) error {
	if p, ok := errors.AsType[acme.Problem](err); ok && p.Detail != "" {
		return briefError{p}
	}
	return err
}

// briefError is a problem document without what surrounds its detail.
type briefError struct{ acme.Problem }

func (e briefError) Error() string { return e.Detail }
func (e briefError) Unwrap() error { return e.Problem }
