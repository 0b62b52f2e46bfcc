// An ACME order (RFC 8555 section 7.4): from names to a chain. An order and its key are written down before anything is proved, so that a
// process that is ended meanwhile goes on with the same order when it is back.

package obtain

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/mholt/acmez/v3/acme"

	"github.com/wicketgate/wicketgate/certmanager"
	"github.com/wicketgate/wicketgate/tls/issue"
)

// storedOrder is an order that is going on.
type storedOrder struct {
	Location string    `json:"location"`
	Account  string    `json:"account"`
	Request  []byte    `json:"request"`
	Key      string    `json:"key"`
	Expires  time.Time `json:"expires"`
}

// ordering is one order while it is worked on.
type ordering struct {
	engine  *Engine
	want    *issue.Certificate
	account *account
	client  *acme.Client
	order   acme.Order
	key     crypto.Signer
	keyText string
}

// order obtains a certificate from an ACME server. Before is what it replaces, or nil.
func (e *Engine) order(ctx context.Context, c *issue.Certificate, before *held) (*held, error) {
	proofs, err := e.prove(c)
	if err != nil {
		return nil, homeError{err}
	}
	e.warnElsewhere(ctx, c, proofs)
	a, err := e.accountFor(ctx, c.Issuer)
	if err != nil {
		return nil, err
	}
	o := &ordering{engine: e, want: c, account: a, client: a.client}
	if !o.resume(ctx) {
		if err := o.begin(ctx, before); err != nil {
			e.forget(a, err)
			return nil, err
		}
	}
	chain, err := o.finish(ctx, proofs)
	if ctx.Err() == nil {
		_ = e.storage.Delete(ctx, orderPath(c.ID())) // a dead order is recognised when it is read
	}
	if err != nil {
		return nil, err
	}
	h := &held{Key: o.keyText, Chain: string(chain.ChainPEM), Account: a.acme.Location}
	if chain.RenewalInfo != nil { // asked for with the download
		again := time.Now().Add(renewalAge)
		if h.Renewal = *chain.RenewalInfo; h.Renewal.RetryAfter == nil {
			h.Renewal.RetryAfter = &again
		}
	}
	return h, nil
}

// forget makes an account be registered again that the server does not know any more.
func (e *Engine) forget(a *account, err error) {
	problem, ok := errors.AsType[acme.Problem](err)
	if !ok || problem.Type != acme.ProblemTypeAccountDoesNotExist {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.registered = false
	_ = e.storage.Delete(context.Background(), a.path)
}

// resume takes up an order that an earlier attempt did not get to end.
func (o *ordering) resume(ctx context.Context) bool {
	text, err := o.engine.storage.Load(ctx, orderPath(o.want.ID()))
	if err != nil {
		return false
	}
	var s storedOrder
	if json.Unmarshal(text, &s) != nil || s.Account != o.account.acme.Location || string(s.Request) != requestDigest(o.want) || time.Now().After(s.Expires) {
		return false
	}
	if o.key, err = parseKey([]byte(s.Key)); err != nil {
		return false
	}
	o.keyText = s.Key
	o.order, err = o.client.GetOrder(ctx, o.account.acme, acme.Order{Location: s.Location})
	if err != nil || o.order.Status == acme.StatusInvalid {
		return false
	}
	o.order.Location = s.Location
	o.engine.log.Info("going on with an order", "certificate", o.want.Object.Key.String(), "order", s.Location, "status", o.order.Status)
	return true
}

// begin places a new order and writes it down.
func (o *ordering) begin(ctx context.Context, before *held) error {
	if err := o.engine.limits.wait(ctx, o.account.acme.Location); err != nil {
		return err
	}
	if err := o.chooseKey(before); err != nil {
		return homeError{err}
	}
	order := acme.Order{Profile: o.want.Issuer.Spec.ACME.Profile}
	for _, name := range o.want.Names() {
		kind := "dns"
		if net.ParseIP(name) != nil {
			kind = "ip"
		}
		order.Identifiers = append(order.Identifiers, acme.Identifier{Type: kind, Value: name})
	}
	if before != nil && before.Account == o.account.acme.Location && before.Renewal.HasWindow() {
		order.Replaces, _ = acme.ARIUniqueIdentifier(before.leaf) // without it the order is an ordinary one
	}
	var err error
	if o.order, err = o.newOrder(ctx, order); err != nil {
		return fmt.Errorf("place an order: %w", err)
	}
	return o.keep(ctx)
}

// newOrder places an order, a second time without the replacement if the server holds that against it.
func (o *ordering) newOrder(ctx context.Context, order acme.Order) (acme.Order, error) {
	placed, err := o.client.NewOrder(ctx, o.account.acme, order)
	if problem, ok := errors.AsType[acme.Problem](err); ok && order.Replaces != "" && problem.Status >= 400 && problem.Status < 500 &&
		problem.Type != acme.ProblemTypeRateLimited {
		order.Replaces = ""
		placed, err = o.client.NewOrder(ctx, o.account.acme, order)
	}
	return placed, err
}

// chooseKey makes the certificate's key, or keeps the one before if the specification says so.
func (o *ordering) chooseKey(before *held) (err error) {
	spec := o.want.Spec.PrivateKey
	if spec != nil && spec.RotationPolicy == certmanager.RotateNever && before != nil && before.request == requestDigest(o.want) {
		o.keyText = before.Key
		o.key, err = parseKey([]byte(before.Key))
		return err
	}
	if o.key, err = newKey(spec); err != nil {
		return err
	}
	o.keyText, err = encodeKey(o.key, spec)
	return err
}

// keep writes the order down. If that fails it goes on all the same.
func (o *ordering) keep(ctx context.Context) error {
	expires := o.order.Expires
	if expires.IsZero() {
		expires = time.Now().Add(24 * time.Hour)
	}
	err := store(ctx, o.engine.storage, orderPath(o.want.ID()), storedOrder{
		Location: o.order.Location, Account: o.account.acme.Location, Request: []byte(requestDigest(o.want)), Key: o.keyText, Expires: expires,
	})
	if err != nil {
		o.engine.log.Warn("an order could not be written down: a restart meanwhile places another", "certificate", o.want.ID(), "error", err)
	}
	return ctx.Err()
}

// finish proves control of the names, sends the request and downloads the chain.
func (o *ordering) finish(ctx context.Context, proofs map[string]proof) (chain acme.Certificate, err error) {
	if o.order.Status == acme.StatusPending {
		if err := o.authorize(ctx, proofs); err != nil {
			return chain, err
		}
	}
	if o.order.Status != acme.StatusValid {
		csr, err := o.request()
		if err != nil {
			return chain, homeError{err}
		}
		if o.order, err = o.client.FinalizeOrder(ctx, o.account.acme, o.order, csr); err != nil {
			return chain, fmt.Errorf("finish the order: %w", err)
		}
	}
	chains, err := o.client.GetCertificateChain(ctx, o.account.acme, o.order.Certificate)
	if err != nil {
		return chain, fmt.Errorf("download the certificate: %w", err)
	}
	if len(chains) == 0 {
		return chain, errors.New("the server gave no certificate")
	}
	return preferred(chains, o.want.Issuer.Spec.ACME.PreferredChain), nil
}

// request makes the certificate signing request (RFC 2986).
func (o *ordering) request() ([]byte, error) {
	csr := &x509.CertificateRequest{Subject: subjectOf(o.want.Spec)}
	csr.Subject.CommonName = strings.ToLower(csr.Subject.CommonName)
	for _, name := range o.want.Names() {
		if ip := net.ParseIP(name); ip != nil {
			csr.IPAddresses = append(csr.IPAddresses, ip)
		} else {
			csr.DNSNames = append(csr.DNSNames, name)
		}
	}
	return x509.CreateCertificateRequest(rand.Reader, csr, o.key)
}

// preferred picks the chain whose last certificate was issued under a common name; the server's own choice if there is none.
func preferred(chains []acme.Certificate, issuer string) acme.Certificate {
	if issuer != "" {
		for _, c := range chains {
			if last := lastOf(c.ChainPEM); last != nil && last.Issuer.CommonName == issuer {
				return c
			}
		}
	}
	return chains[0]
}

func lastOf(chain []byte) (last *x509.Certificate) {
	for {
		var block *pem.Block
		if block, chain = pem.Decode(chain); block == nil {
			return last
		}
		if c, err := x509.ParseCertificate(block.Bytes); err == nil {
			last = c
		}
	}
}
