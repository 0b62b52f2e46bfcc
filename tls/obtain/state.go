// The state of one certificate: what is held, what is wanted, and when the next step is due.

package obtain

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io/fs"
	"math/rand/v2"
	"path"
	"strings"
	"time"

	"github.com/wicketgate/wicketgate/gateway"
	"github.com/wicketgate/wicketgate/object"
	"github.com/wicketgate/wicketgate/tls/issue"
)

// state is guarded by Engine.mu, but for id.
type state struct {
	id   string
	want *issue.Certificate // nil: nobody wants it now
	held *held              // nil: nothing yet
	busy bool               // an attempt is going on
	next time.Time          // when there is something to do

	failures  int
	lastError string
	lastTry   time.Time
	failedFor string // requestDigest of what was tried
	atHome    bool   // the last failure was one that no authority saw

	used    time.Time     // when a client last asked for it, if it is obtained on demand
	rest    time.Time     // until then a client's asking does not make it wanted again
	settled chan struct{} // closed when an attempt has ended; nil if no handshake waits

	made      *object.Object // what object returned last, for a key pair and a want
	madeOf    *keyPair
	madeFor   [32]byte // digest of the Certificate
	stand     *keyPair // the placeholder
	byHost    *gateway.Certificate
	byHostFor *held
}

// desire sets what is wanted. A certificate that was asked for in another way is ordered anew at once; the old one serves until then.
func (s *state) desire(c *issue.Certificate, now time.Time) {
	before := ""
	if s.want != nil {
		before = requestDigest(s.want)
	}
	if s.want = c; c.Unusable != "" {
		return
	}
	digest := requestDigest(c)
	switch {
	case s.failures > 0 && s.atHome:
		s.next = now // what was missing may be there now
	case s.failures > 0 && (before == digest || before == "" && s.failedFor == digest):
		// The same in vain before, perhaps before a restart: its back-off goes on.
	case s.held == nil || s.held.request != digest:
		if before != digest {
			s.next, s.failures = now, 0
		}
	default:
		s.next, s.failures = s.held.attention(c), 0
	}
}

// object is the Secret that Build shall see, or nil if there is neither a certificate nor a hope for one.
func (s *state) object(c *issue.Certificate) *object.Object {
	pair, waiting := s.pair(c)
	if pair == nil {
		return nil
	}
	if s.made == nil || s.madeOf != pair || s.madeFor != c.Object.Digest || s.made.Position != c.Source.At(c.Field) {
		s.made, s.madeOf, s.madeFor = secretObject(c, pair, waiting), pair, c.Object.Digest
	}
	return s.made
}

// pair gives what is held, or a placeholder and what is waited for.
func (s *state) pair(c *issue.Certificate) (pair *keyPair, waiting string) {
	if s.held != nil {
		return &s.held.keyPair, ""
	}
	if c.Unusable != "" {
		return nil, ""
	}
	if s.stand == nil {
		made, err := placeholder(c.Names())
		if err != nil {
			return nil, ""
		}
		s.stand = made
	}
	return s.stand, c.Object.Key.String() + " is not issued yet"
}

// served is the certificate for a hostname.
func (s *state) served(host string) *gateway.Certificate {
	if s.byHostFor != s.held {
		s.byHost, s.byHostFor = nil, s.held
		if c, err := s.held.certificate(hostObject(host, &s.held.keyPair), ""); err == nil {
			s.byHost = c
		}
	}
	return s.byHost
}

// requestDigest identifies what a certificate must be like: two wants with the same digest are satisfied by the same certificate.
func requestDigest(c *issue.Certificate) string {
	if c.Issuer == nil {
		return ""
	}
	s := c.Spec
	algorithm, size := s.PrivateKey.Wanted()
	text, err := json.Marshal([]any{c.Names(), s.CommonName, s.Subject, s.Duration, s.IsCA, s.Usages, algorithm, size, issuerIdentity(c.Issuer)})
	if err != nil {
		panic("obtain: a specification cannot be written: " + err.Error())
	}
	sum := sha256.Sum256(text)
	return string(sum[:])
}

// issuerIdentity tells issuers apart whose certificates do not stand for each other's.
func issuerIdentity(i *issue.Issuer) string {
	if i.Spec.ACME != nil {
		return i.Spec.ACME.Server + " " + i.Spec.ACME.Profile
	}
	return i.Key.String()
}

// renewal is when a certificate is renewed: when the server says so (RFC 9773), or when the specification does, which is a third of its
// validity before the end by default. Up to a twentieth of the validity earlier, by its identity, so that certificates obtained together are
// not renewed together.
func (h *held) renewal(c *issue.Certificate) time.Time {
	lifetime := h.leaf.NotAfter.Sub(h.leaf.NotBefore)
	before := lifetime / 3
	asked := true
	switch s := c.Spec; {
	case s.RenewBefore != nil && s.RenewBefore.Duration < lifetime:
		before = s.RenewBefore.Duration
	case s.RenewBeforePercentage != nil:
		before = lifetime / 100 * time.Duration(*s.RenewBeforePercentage) // in this order, which no lifetime makes overflow
	default:
		asked = false
	}
	at := h.leaf.NotAfter.Add(-before)
	if !asked {
		sum := sha256.Sum256([]byte(c.ID()))
		spread := lifetime / 20
		at = at.Add(-time.Duration(binary.BigEndian.Uint64(sum[:8]) % uint64(max(spread, 1))))
	}
	if told := h.Renewal.SelectedTime; !told.IsZero() && told.Before(h.leaf.NotAfter) && (!asked || told.Before(at)) {
		at = told
	}
	return at
}

// Pauses after failures: an authority that counts five failures an hour for a name, as Let's Encrypt does, is never asked that often.
const (
	firstPause   = 2 * time.Minute
	longestPause = 12 * time.Hour
)

// pause is the time to the next attempt after a number of failures: 2, 10, 20, 40 minutes and so on, up to half a day, a tenth more or less.
func pause(failures int) time.Duration {
	d := firstPause
	if failures > 1 {
		d = 10 * time.Minute << min(failures-2, 10)
	}
	d = min(d, longestPause)
	return d - d/10 + rand.N(d/5) //nolint:gosec // spreading needs no secret
}

// failure is what is remembered of failed attempts, so that a restart does not begin from zero.
type failure struct {
	Attempts int       `json:"attempts"`
	Error    string    `json:"error"`
	Request  []byte    `json:"request"`
	Next     time.Time `json:"next"`
}

// Keys of the storage.
func certificatePath(id string) string { return path.Join("certificates", id, "certificate.json") }
func failurePath(id string) string     { return path.Join("certificates", id, "failure.json") }
func orderPath(id string) string       { return path.Join("certificates", id, "order.json") }
func lockName(id string) string        { return "certificate-" + strings.ReplaceAll(id, "/", "-") }

const hostnamePrefix = "hostname/"

func hostnameOf(id string) (string, bool) {
	name, ok := strings.CutPrefix(id, hostnamePrefix)
	return issue.HostnameOf(name), ok
}

// read fills a new state from the storage. What cannot be read is as if it were not there: it is obtained again.
func (e *Engine) read(ctx context.Context, s *state) {
	if h, err := e.readHeld(ctx, s.id); err == nil {
		s.held = h
	} else if !errors.Is(err, fs.ErrNotExist) {
		e.log.Warn("a stored certificate cannot be used and is obtained again", "certificate", s.id, "error", err)
	}
	text, err := e.storage.Load(ctx, failurePath(s.id))
	if err != nil {
		return
	}
	var f failure
	if json.Unmarshal(text, &f) == nil {
		s.failures, s.lastError, s.next, s.failedFor = f.Attempts, f.Error, f.Next, string(f.Request)
	}
}

func (e *Engine) readHeld(ctx context.Context, id string) (*held, error) {
	text, err := e.storage.Load(ctx, certificatePath(id))
	if err != nil {
		return nil, err
	}
	return parseHeld(text)
}

// readHostnames reads what earlier runs obtained for hostnames.
func (e *Engine) readHostnames(ctx context.Context) {
	e.mu.Lock()
	done := e.hostnames
	e.hostnames = true
	e.mu.Unlock()
	if done {
		return
	}
	keys, err := e.storage.List(ctx, path.Join("certificates", "hostname"), false)
	if err != nil {
		return // there are none
	}
	for _, key := range keys {
		s := &state{id: hostnamePrefix + path.Base(key)}
		if e.read(ctx, s); s.held == nil {
			continue
		}
		if expired := time.Since(s.held.leaf.NotAfter); expired > 0 {
			if expired > sweepAge {
				e.sweep(ctx, s.id)
			}
			continue
		}
		e.mu.Lock()
		if e.states[s.id] == nil {
			e.states[s.id] = s
		}
		e.mu.Unlock()
	}
}
