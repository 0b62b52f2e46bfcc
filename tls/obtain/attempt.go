// One attempt: from a state that is due to the next time that it is.

package obtain

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/mholt/acmez/v3/acme"

	"github.com/wicketgate/wicketgate/object"
	"github.com/wicketgate/wicketgate/tls/issue"
)

// attemptTimeout bounds one attempt, waiting for other processes and for DNS included.
const attemptTimeout = 15 * time.Minute

// homeError is a failure that no authority was asked for: it counts against nobody's limits, and is tried again as soon as files change.
type homeError struct{ error }

func (e homeError) Unwrap() error { return e.error }

// attend does what is due for a state, which the caller has made busy.
func (e *Engine) attend(ctx context.Context, s *state) {
	e.mu.Lock()
	c, before, filled := s.want, s.held, e.filled
	e.mu.Unlock()
	if c == nil || c.Issuer == nil {
		e.release(s)
		return
	}
	attempt, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	begun := time.Now()
	h, err := e.attempt(attempt, c, before)
	switch {
	case err != nil && ctx.Err() != nil:
		e.release(s) // the program ends; this was no failure
	case errors.Is(err, errLapsed):
		e.lapse(s, c)
	case err != nil:
		e.failed(ctx, s, c, filled, err)
	default:
		e.succeeded(ctx, s, c, h, time.Since(begun))
	}
}

func (e *Engine) release(s *state) {
	e.mu.Lock()
	defer e.mu.Unlock()
	s.busy = false
	s.settle()
}

// attempt brings a certificate up to date, and returns what is held then.
func (e *Engine) attempt(ctx context.Context, c *issue.Certificate, before *held) (h *held, err error) {
	if err := e.storage.Lock(ctx, lockName(c.ID())); err != nil {
		return nil, homeError{fmt.Errorf("lock the certificate in the storage: %w", err)}
	}
	defer func() {
		if unlock := e.storage.Unlock(context.WithoutCancel(ctx), lockName(c.ID())); unlock != nil {
			e.log.Warn("a lock in the storage of certificates could not be released", "certificate", c.ID(), "error", unlock)
		}
	}()
	// Another process may have been here meanwhile.
	if stored, err := e.readHeld(ctx, c.ID()); err == nil && (before == nil || stored.Obtained.After(before.Obtained)) {
		before = stored
	}
	if before != nil && before.request == requestDigest(c) {
		if before = e.maintain(ctx, c, before); time.Now().Before(before.renewal(c)) {
			return before, nil
		}
	}
	if before != nil && c.OnDemand {
		if err := e.stillWanted(ctx, c, before); err != nil {
			return nil, err
		}
	}
	h, err = e.obtain(ctx, c, before)
	if err != nil {
		return nil, err
	}
	h.Obtained, h.Request = time.Now(), []byte(requestDigest(c))
	if h, err = newHeld(*h); err != nil {
		return nil, fmt.Errorf("the authority's answer is no certificate for the key: %w", err)
	}
	h = e.maintain(ctx, c, h)
	if err := store(ctx, e.storage, certificatePath(c.ID()), h); err != nil {
		// It is served all the same; only a restart has to order it again.
		e.log.Error("a certificate could not be kept: it is lost at the next restart", "certificate", c.ID(), "error", err)
	}
	return h, nil
}

// obtain asks the issuer.
func (e *Engine) obtain(ctx context.Context, c *issue.Certificate, before *held) (*held, error) {
	if c.Issuer.Spec.ACME != nil {
		return e.order(ctx, c, before)
	}
	pair, err := e.signHere(ctx, c)
	if err != nil {
		return nil, homeError{err}
	}
	return &held{keyPair: *pair}, nil
}

// succeeded puts a certificate into service.
func (e *Engine) succeeded(ctx context.Context, s *state, c *issue.Certificate, h *held, took time.Duration) {
	_ = e.storage.Delete(ctx, failurePath(s.id)) // what is left of it is overwritten or ignored
	e.mu.Lock()
	fresh := s.held == nil || !s.held.Obtained.Equal(h.Obtained)
	changed := fresh || string(s.held.Staple) != string(h.Staple)
	s.busy, s.held, s.failures, s.lastError, s.stand = false, h, 0, "", nil
	s.lastTry, s.next = time.Now(), h.attention(c)
	if s.want != nil && s.want.Issuer != nil && requestDigest(s.want) != requestDigest(c) {
		s.next = time.Now() // what is wanted has changed meanwhile
	}
	if fresh {
		e.filled++
		e.unblock(c.Secret)
	}
	s.settle()
	e.mu.Unlock()
	if fresh {
		e.metrics.issued(c)
		e.log.Info("certificate obtained", "certificate", c.Object.Key.String(), "names", c.Names(), "issuer", c.Issuer.Key.String(),
			"not_after", h.leaf.NotAfter, "renewal", h.renewal(c), "took", took.Round(time.Millisecond))
	}
	e.opt.Changed(changed)
}

// unblock lets certificates be tried now whose authority is in a Secret that has just been filled. The caller holds the lock.
func (e *Engine) unblock(secret object.Key) {
	for _, other := range e.states {
		if w := other.want; w != nil && w.Issuer != nil && w.Issuer.Spec.CA != nil && w.Issuer.Namespace() == secret.Namespace &&
			w.Issuer.Spec.CA.SecretName == secret.Name && other.failures > 0 {
			other.next = time.Now()
		}
	}
}

// failed remembers a failure, and says when the next attempt is. Filled is what Engine.filled was when this one began.
func (e *Engine) failed(ctx context.Context, s *state, c *issue.Certificate, filled uint64, err error) {
	_, home := errors.AsType[homeError](err)
	e.mu.Lock()
	s.busy, s.atHome = false, home
	s.failures++
	s.lastError, s.lastTry, s.failedFor = err.Error(), time.Now(), requestDigest(c)
	s.next = s.lastTry.Add(pause(s.failures))
	if problem, ok := errors.AsType[acme.Problem](err); ok && problem.Type == acme.ProblemTypeRateLimited {
		s.next = s.lastTry.Add(max(pause(s.failures), limitedPause))
	}
	if home {
		s.next = s.lastTry.Add(min(pause(s.failures), homePause))
		if e.filled != filled {
			s.next = s.lastTry // the Secret that was missing may be there by now
		}
	}
	if c.OnDemand && s.held == nil {
		s.want = nil // until a client asks for it again
	}
	s.settle()
	record := failure{Attempts: s.failures, Error: s.lastError, Request: []byte(requestDigest(c)), Next: s.next}
	level := slog.LevelWarn
	if s.held != nil && time.Until(s.held.leaf.NotAfter) < 7*24*time.Hour {
		level = slog.LevelError
	}
	e.mu.Unlock()
	e.metrics.failed(c)
	if !home {
		if err := store(ctx, e.storage, failurePath(s.id), record); err != nil {
			e.log.Warn("a failure could not be remembered: after a restart the certificate is ordered again at once", "certificate", c.ID(), "error", err)
		}
	}
	e.log.Log(ctx, level, "certificate not obtained", "certificate", c.Object.Key.String(), "names", c.Names(), "issuer", c.Issuer.Key.String(),
		"error", err, "attempts", record.Attempts, "next", record.Next)
	e.opt.Changed(false)
}

// homePause is the longest wait after a failure that no authority saw.
const homePause = 5 * time.Minute

// limitedPause is the shortest wait after a server says that it was asked too often.
const limitedPause = time.Hour

// lookInterval is how often certificates that could not be obtained here are looked for in the storage, where another process may have put them.
const lookInterval = 15 * time.Second

// lookAround takes up what other processes on the same storage obtain, until ctx ends. What they renew is found when it is due here.
func (e *Engine) lookAround(ctx context.Context) {
	tick := time.NewTicker(lookInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		e.forgetUnwanted(time.Now())
		for s, c := range e.unlucky() {
			h, err := e.readHeld(ctx, s.id)
			if err == nil && h.request == requestDigest(c) && time.Now().Before(h.renewal(c)) {
				e.succeeded(ctx, s, c, h, 0)
				continue
			}
			e.release(s)
		}
	}
}

// unlucky makes the states busy whose last attempt failed, and gives what they want.
func (e *Engine) unlucky() map[*state]*issue.Certificate {
	e.mu.Lock()
	defer e.mu.Unlock()
	list := map[*state]*issue.Certificate{}
	for _, s := range e.states {
		if s.failures > 0 && !s.busy && s.want != nil && s.want.Issuer != nil {
			s.busy = true
			list[s] = s.want
		}
	}
	return list
}
