// What is asked about a certificate between orders: when the server wants it renewed (RFC 9773), and whether it is revoked (OCSP, RFC 6960).

package obtain

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/mholt/acmez/v3/acme"
	"golang.org/x/crypto/ocsp"

	"github.com/wicketgate/wicketgate/tls/issue"
)

const (
	renewalAge    = 6 * time.Hour // how long an answer about renewal holds that gives no time itself
	stapleRetry   = time.Hour     // after a responder did not answer
	maxStaple     = 64 << 10      // bytes of a responder's answer
	stapleTimeout = 20 * time.Second
	revokedPause  = 24 * time.Hour // between certificates of which the responder says that they are revoked
)

// attention is when a certificate wants something next: renewal, or a question.
func (h *held) attention(c *issue.Certificate) time.Time {
	next := h.renewal(c)
	if c.Issuer != nil && c.Issuer.Spec.ACME != nil && h.Renewal.RetryAfter != nil && h.Renewal.RetryAfter.Before(next) {
		next = *h.Renewal.RetryAfter
	}
	if !h.StapleNext.IsZero() && h.StapleNext.Before(next) {
		next = h.StapleNext
	}
	return next
}

// maintain asks what is due to be asked. What cannot be found out stays as it is.
func (e *Engine) maintain(ctx context.Context, c *issue.Certificate, before *held) *held {
	h := *before
	now := time.Now()
	changed := false
	if c.Issuer.Spec.ACME != nil && (h.Renewal.RetryAfter == nil || !now.Before(*h.Renewal.RetryAfter)) {
		e.askRenewal(ctx, c, &h, now)
		changed = true
	}
	if len(h.leaf.OCSPServer) > 0 && !now.Before(h.StapleNext) {
		e.staple(ctx, c, &h, now)
		changed = true
	}
	if !changed {
		return before
	}
	if err := store(ctx, e.storage, certificatePath(c.ID()), h); err != nil {
		e.log.Debug("what was learned of a certificate could not be kept", "certificate", c.ID(), "error", err)
	}
	return &h
}

// askRenewal asks the server when it wants the certificate renewed. The time within its window is chosen once and kept.
func (e *Engine) askRenewal(ctx context.Context, c *issue.Certificate, h *held, now time.Time) {
	again := now.Add(renewalAge)
	a, err := e.account(c.Issuer)
	if err == nil {
		var info acme.RenewalInfo
		if info, err = a.client.GetRenewalInfo(ctx, h.leaf); err == nil && info.HasWindow() {
			if info.SameWindow(h.Renewal) {
				info.SelectedTime = h.Renewal.SelectedTime
			}
			if info.RetryAfter != nil && info.RetryAfter.After(now) {
				again = *info.RetryAfter
			}
			h.Renewal = info
		}
	}
	if err != nil && !errors.Is(err, acme.ErrUnsupported) {
		e.log.Debug("the server did not say when to renew", "certificate", c.ID(), "error", err)
	}
	h.Renewal.RetryAfter = &again
}

// staple fetches the responder's word about a certificate. One that is revoked is renewed at once.
func (e *Engine) staple(ctx context.Context, c *issue.Certificate, h *held, now time.Time) {
	h.StapleNext = now.Add(stapleRetry)
	raw, answer, err := e.askOCSP(ctx, c.Issuer, h)
	switch {
	case err == nil && answer.Status == ocsp.Revoked:
		h.Staple, h.Renewal.SelectedTime = nil, now
		if earliest := h.Obtained.Add(revokedPause); earliest.After(now) {
			h.Renewal.SelectedTime = earliest // a responder that says so of every certificate must not have one ordered after the other
		}
		e.log.Warn("the certificate was revoked: it is renewed", "certificate", c.ID(), "revoked", answer.RevokedAt, "renewal", h.Renewal.SelectedTime)
	case err == nil && answer.Status == ocsp.Good && (answer.NextUpdate.IsZero() || now.Before(answer.NextUpdate)):
		h.Staple, h.StapleEnd = raw, answer.NextUpdate
		if half := answer.ThisUpdate.Add(answer.NextUpdate.Sub(answer.ThisUpdate) / 2); half.After(h.StapleNext) {
			h.StapleNext = half
		}
	case len(h.Staple) > 0 && !h.StapleEnd.IsZero() && !now.Before(h.StapleEnd):
		// Clients refuse a staple that has ended, and take none.
		e.log.Warn("the OCSP responder gives no new staple: none is sent until it does", "certificate", c.ID(), "error", err)
		h.Staple = nil
	default:
		e.log.Debug("no OCSP staple", "certificate", c.ID(), "error", err)
	}
	if len(h.Staple) > 0 && !h.StapleEnd.IsZero() && h.StapleEnd.Before(h.StapleNext) {
		h.StapleNext = h.StapleEnd
	}
}

// askOCSP asks the responder that the certificate names.
func (e *Engine) askOCSP(ctx context.Context, i *issue.Issuer, h *held) ([]byte, *ocsp.Response, error) {
	issuer := issuerOf(h)
	if issuer == nil {
		return nil, nil, errors.New("the chain lacks the issuer")
	}
	question, err := ocsp.CreateRequest(h.leaf, issuer, nil)
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, stapleTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, h.leaf.OCSPServer[0], bytes.NewReader(question))
	if err != nil {
		return nil, nil, err
	}
	request.Header.Set("Content-Type", "application/ocsp-request")
	loopback := namesLoopback(i, h.leaf.OCSPServer[0])
	if i.Spec.ACME != nil {
		loopback = mayDialLoopback(i) // it is the server that names the responder
	}
	transport := &http.Transport{DialContext: e.dialer(loopback), DisableKeepAlives: true}
	response, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = response.Body.Close() }() // it was read, or is not wanted
	if response.StatusCode != http.StatusOK {
		return nil, nil, fmt.Errorf("the responder answered %s", response.Status)
	}
	raw, err := io.ReadAll(io.LimitReader(response.Body, maxStaple))
	if err != nil {
		return nil, nil, err
	}
	answer, err := ocsp.ParseResponseForCert(raw, h.leaf, issuer)
	return raw, answer, err
}

// issuerOf is the second certificate of a chain, or the authority's.
func issuerOf(h *held) *x509.Certificate {
	rest := []byte(h.Chain + h.CA)
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return nil
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err == nil && h.leaf.CheckSignatureFrom(c) == nil {
			return c
		}
	}
}
