// ACME accounts: one for each server and email address, kept in the storage.

package obtain

import (
	"context"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/mholt/acmez/v3/acme"

	"github.com/wicketgate/wicketgate/certmanager"
	"github.com/wicketgate/wicketgate/object"
	"github.com/wicketgate/wicketgate/tls/issue"
)

// accounts are those that were used since the start.
type accounts struct {
	mu    sync.Mutex
	byKey map[string]*account
}

// account is an account at a server, with the client that talks to it.
type account struct {
	client *acme.Client
	path   string // in the storage

	mu         sync.Mutex // while it is being registered
	registered bool
	asked      bool // somebody wanted it
	acme       acme.Account
	err        error // of the last registration
}

// storedAccount is an account as the storage has it.
type storedAccount struct {
	Location string `json:"location"`
	Email    string `json:"email,omitempty"`
	Key      string `json:"key"` // PEM
}

// accountFor gives the account of an issuer, and registers it if it is not. Concurrent calls share one registration.
func (e *Engine) accountFor(ctx context.Context, i *issue.Issuer) (*account, error) {
	a, err := e.account(i)
	if err != nil {
		return nil, homeError{err}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.registered {
		a.acme, a.err = e.register(ctx, i, a)
		a.registered, a.asked = a.err == nil, true
	}
	return a, a.err
}

// registration is what is known of an issuer's account.
func (e *Engine) registration(i *issue.Issuer) (uri string, asked bool, err error) {
	a, err := e.account(i)
	if err != nil {
		return "", true, err
	}
	if !a.mu.TryLock() {
		return "", false, nil // it is being registered
	}
	defer a.mu.Unlock()
	return a.acme.Location, a.asked, a.err
}

// account finds or makes the client of an issuer, without asking anybody.
func (e *Engine) account(i *issue.Issuer) (*account, error) {
	key, err := e.accountKey(i)
	if err != nil {
		return nil, err
	}
	e.accounts.mu.Lock()
	defer e.accounts.mu.Unlock()
	if a := e.accounts.byKey[key]; a != nil {
		return a, nil
	}
	client, err := e.client(i)
	if err != nil {
		return nil, err
	}
	a := &account{client: client, path: accountPath(i.Spec.ACME, e.givenKey(i))}
	e.accounts.byKey[key] = a
	return a, nil
}

// accountKey identifies all that an account and its client depend on.
func (e *Engine) accountKey(i *issue.Issuer) (string, error) {
	text, err := json.Marshal([]any{i.Spec.ACME.Server, i.Spec.ACME.Email, i.Spec.ACME.CABundle, i.Spec.ACME.ExternalAccountBinding, e.givenKey(i), mayDialLoopback(i)})
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:]), err
}

// givenKey is the account's key where the files have it.
func (e *Engine) givenKey(i *issue.Issuer) []byte {
	ref := i.Spec.ACME.PrivateKey
	if ref.Name == "" {
		return nil
	}
	secret := e.secret(object.Key{Kind: "Secret", Namespace: i.Namespace(), Name: ref.Name})
	if secret == nil {
		return nil
	}
	if ref.Key == "" {
		ref.Key = certmanager.PrivateKeyKey
	}
	return secret.Data[ref.Key]
}

// register finds the account in the storage, or registers a new one.
func (e *Engine) register(ctx context.Context, i *issue.Issuer, a *account) (_ acme.Account, err error) {
	path := a.path
	lock := "account-" + strings.ReplaceAll(path, "/", "-")
	if err := e.storage.Lock(ctx, lock); err != nil {
		return acme.Account{}, homeError{fmt.Errorf("lock the account in the storage: %w", err)}
	}
	defer func() {
		if unlock := e.storage.Unlock(context.WithoutCancel(ctx), lock); unlock != nil {
			err = errors.Join(err, unlock)
		}
	}()
	text, err := e.storage.Load(ctx, path)
	if err == nil {
		var s storedAccount
		if json.Unmarshal(text, &s) == nil {
			if key, err := parseKey([]byte(s.Key)); err == nil {
				return acme.Account{Status: acme.StatusValid, Location: s.Location, Contact: contact(s.Email), PrivateKey: key}, nil
			}
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return acme.Account{}, homeError{fmt.Errorf("read the account from the storage: %w", err)}
	}
	return e.newAccount(ctx, i, a)
}

// newAccount registers an account and keeps it.
func (e *Engine) newAccount(ctx context.Context, i *issue.Issuer, at *account) (acme.Account, error) {
	spec, client, given := i.Spec.ACME, at.client, e.givenKey(i)
	var key crypto.Signer
	var err error
	if given != nil {
		key, err = parseKey(given)
	} else {
		key, err = newKey(nil)
	}
	if err != nil {
		return acme.Account{}, homeError{fmt.Errorf("the account's key: %w", err)}
	}
	a := acme.Account{Contact: contact(spec.Email), TermsOfServiceAgreed: true, PrivateKey: key}
	if spec.ExternalAccountBinding != nil {
		mac, err := e.bindingKey(i)
		if err != nil {
			return a, homeError{err}
		}
		if err := a.SetExternalAccountBinding(ctx, client, acme.EAB{KeyID: spec.ExternalAccountBinding.KeyID, MACKey: mac}); err != nil {
			return a, fmt.Errorf("bind the account to the external one: %w", err)
		}
	}
	if a, err = client.NewAccount(ctx, a); err != nil {
		return a, fmt.Errorf("register an account: %w", err)
	}
	text, err := encodeKey(key, &certmanager.PrivateKey{Encoding: certmanager.EncodingPKCS8})
	if err == nil {
		err = store(ctx, e.storage, at.path, storedAccount{Location: a.Location, Email: spec.Email, Key: text})
	}
	if err != nil {
		e.log.Error("an ACME account could not be kept: another is registered at the next start", "server", spec.Server, "error", err)
	}
	e.log.Info("ACME account registered", "server", spec.Server, "email", spec.Email, "account", a.Location)
	a.PrivateKey = key
	return a, nil
}

// bindingKey reads the key of an external account. Authorities print it in base64url; padding and the other alphabet are put right.
func (e *Engine) bindingKey(i *issue.Issuer) (string, error) {
	ref := i.Spec.ACME.ExternalAccountBinding.Key
	text, err := e.secretValue(i, &ref)
	if err != nil {
		return "", fmt.Errorf("the key of the external account: %w", err)
	}
	text = strings.TrimRight(strings.NewReplacer("+", "-", "/", "_").Replace(strings.TrimSpace(text)), "=")
	if _, err := base64.RawURLEncoding.DecodeString(text); err != nil {
		return "", fmt.Errorf("the key of the external account, %s in Secret %s, is not base64url: %w", ref.Key, ref.Name, err)
	}
	return text, nil
}

// secretValue reads one key of a Secret in an issuer's namespace.
func (e *Engine) secretValue(i *issue.Issuer, ref *certmanager.SecretKeySelector) (string, error) {
	key := object.Key{Kind: "Secret", Namespace: i.Namespace(), Name: ref.Name}
	secret := e.secret(key)
	if secret == nil {
		return "", fmt.Errorf("%s is not defined", key)
	}
	value, ok := secret.Data[ref.Key]
	if !ok {
		return "", fmt.Errorf("%s has no key %q", key, ref.Key)
	}
	return string(value), nil
}

// accountPath is where the storage has an account. One with a key of the files has a place of its own for each key.
func accountPath(spec *certmanager.ACMEIssuer, given []byte) string {
	name := spec.Email
	if name == "" {
		name = "nobody"
	}
	if given != nil {
		sum := sha256.Sum256(given)
		name += "-" + hex.EncodeToString(sum[:6])
	}
	if b := spec.ExternalAccountBinding; b != nil {
		name += "-" + b.KeyID
	}
	return "accounts/" + safeName(spec.Server) + "/" + safeName(name) + ".json"
}

// safeName makes a file's name of a text: letters, digits and a few marks stay, and a hash tells apart what that makes equal.
func safeName(text string) string {
	clean := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '.', r == '-', r == '@':
			return r
		}
		return '_'
	}, strings.TrimPrefix(text, "https://"))
	if clean == text {
		return text
	}
	sum := sha256.Sum256([]byte(text))
	return clean[:min(len(clean), 80)] + "-" + hex.EncodeToString(sum[:4])
}

func contact(email string) []string {
	if email == "" {
		return nil
	}
	return []string{"mailto:" + email}
}

// Bounds on one request to an ACME server.
const (
	requestTimeout = time.Minute
	pollTimeout    = 3 * time.Minute
)

// client makes the ACME client of an issuer.
func (e *Engine) client(i *issue.Issuer) (*acme.Client, error) {
	spec := i.Spec.ACME
	transport := &http.Transport{
		DialContext:         e.dialer(mayDialLoopback(i)),
		TLSHandshakeTimeout: 10 * time.Second, ResponseHeaderTimeout: 30 * time.Second, IdleConnTimeout: 30 * time.Second, MaxIdleConnsPerHost: 2,
		ForceAttemptHTTP2: true,
	}
	if len(spec.CABundle) > 0 {
		roots := x509.NewCertPool()
		if !roots.AppendCertsFromPEM(spec.CABundle) {
			return nil, errors.New("caBundle holds no certificate")
		}
		transport.TLSClientConfig = trusting(roots)
	}
	return &acme.Client{
		Directory: spec.Server, HTTPClient: &http.Client{Transport: transport, Timeout: requestTimeout}, UserAgent: e.opt.UserAgent,
		PollTimeout: pollTimeout, Logger: slog.New(quiet{e.log.Handler()}).With("server", spec.Server),
	}, nil
}

// quiet drops what the ACME client has to say of things that go well: the engine says that itself.
type quiet struct{ slog.Handler }

// Enabled implements slog.Handler.
func (q quiet) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelWarn && q.Handler.Enabled(ctx, level)
}

// WithAttrs implements slog.Handler.
func (q quiet) WithAttrs(attrs []slog.Attr) slog.Handler { return quiet{q.Handler.WithAttrs(attrs)} }

// WithGroup implements slog.Handler.
func (q quiet) WithGroup(name string) slog.Handler { return quiet{q.Handler.WithGroup(name)} }

// mayDialLoopback says whether an issuer's server may be on this machine: if a flag or a cluster-scoped object names it, whose author is
// not confined to a namespace.
func mayDialLoopback(i *issue.Issuer) bool { return namesLoopback(i, i.Spec.ACME.Server) }

// dialer makes connections by name through Options.Dial.
func (e *Engine) dialer(loopback bool) func(ctx context.Context, network, addr string) (net.Conn, error) {
	return DialNames(e.opt.Dial, e.opt.Resolver, loopback)
}

// DialNames makes connections by name through a dial, as of Options, so that the address which that checks is the one that is dialled.
func DialNames(
	dial func(ctx context.Context, addr netip.AddrPort, loopback bool) (net.Conn, error), resolver *net.Resolver, loopback bool,
) func(ctx context.Context, network, addr string) (net.Conn, error) {
	return func(ctx context.Context, _, addr string) (net.Conn, error) {
		host, port, err := net.SplitHostPort(addr)
		if err != nil {
			return nil, err
		}
		number, err := net.DefaultResolver.LookupPort(ctx, "tcp", port)
		if err != nil {
			return nil, err
		}
		ips, err := resolver.LookupNetIP(ctx, "ip", host)
		if err != nil {
			return nil, err
		}
		var errs []error
		for _, ip := range ips {
			conn, err := dial(ctx, netip.AddrPortFrom(ip.Unmap(), uint16(number)), loopback) //nolint:gosec // a port fits
			if err == nil {
				return conn, nil
			}
			errs = append(errs, err)
		}
		return nil, errors.Join(errs...)
	}
}
