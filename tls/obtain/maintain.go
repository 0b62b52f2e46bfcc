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
	if c.Issuer.Spec.ACME != nil && (h.Renewal.RetryAfter == nil || now.After(*h.Renewal.RetryAfter)) {
		e.askRenewal(ctx, c, &h, now)
		changed = true
	}
	if len(h.leaf.OCSPServer) > 0 && now.After(h.StapleNext) {
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
	if err != nil {
		e.log.Debug("no OCSP staple", "certificate", c.ID(), "error", err)
		return
	}
	if answer.Status == ocsp.Revoked {
		e.log.Warn("the certificate was revoked: it is renewed now", "certificate", c.ID(), "at", answer.RevokedAt)
		h.Staple = nil
		h.Renewal.SelectedTime = now
		return
	}
	if answer.Status != ocsp.Good {
		return
	}
	h.Staple = raw
	if !answer.NextUpdate.IsZero() {
		h.StapleNext = answer.ThisUpdate.Add(answer.NextUpdate.Sub(answer.ThisUpdate) / 2)
		if h.StapleNext.Before(now.Add(stapleRetry)) {
			h.StapleNext = now.Add(stapleRetry)
		}
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
	transport := &http.Transport{DialContext: e.dialer(i.Spec.ACME != nil && mayDialLoopback(i)), DisableKeepAlives: true}
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
