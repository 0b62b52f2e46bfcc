// Answers to challenges that the gateway gives itself: HTTP-01 (RFC 8555 section 8.3) and TLS-ALPN-01 (RFC 8737).
//
// An answer is in memory for this process and in the storage for others that share it: whichever of them the server reaches can answer.

package obtain

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"strings"
	"sync"
	"time"

	"github.com/mholt/acmez/v3"
	"github.com/mholt/acmez/v3/acme"
)

// ALPN is the protocol that a server asks for in the handshake of a TLS-ALPN-01 challenge.
const ALPN = acmez.ACMETLS1Protocol

// ChallengePath is where HTTP-01 challenges are asked for; the token follows.
const ChallengePath = "/.well-known/acme-challenge/"

// challenges are the answers that are set up now.
type challenges struct {
	storage Storage

	mu     sync.Mutex
	tokens map[string]answer           // by token
	names  map[string]*tls.Certificate // by name
	asked  time.Time                   // when the storage was last asked for an answer
	budget int                         // how often it may be asked until the next second
}

// answer is the answer to one HTTP-01 challenge.
type answer struct {
	Name    string    `json:"name"`
	Text    string    `json:"text"`
	Expires time.Time `json:"expires"`
}

func newChallenges(s Storage) *challenges {
	return &challenges{storage: s, tokens: map[string]answer{}, names: map[string]*tls.Certificate{}}
}

// Bounds on what strangers can make the storage do: a token's length (those of RFC 8555 have at least 22 characters), and lookups a second.
const (
	maxToken       = 128
	lookupsASecond = 20
	answerLifetime = time.Hour
)

// HTTP gives the answer to an HTTP-01 challenge: what the path ends in, asked for under a host. It is false if there is none, and the request
// is then like any other.
func (e *Engine) HTTP(ctx context.Context, host, path string) (text string, ok bool) {
	token, ok := strings.CutPrefix(path, ChallengePath)
	if !ok || !validToken(token) {
		return "", false
	}
	a, ok := e.challenges.answer(ctx, token)
	if !ok || !strings.EqualFold(a.Name, strings.TrimSuffix(host, ".")) || time.Now().After(a.Expires) {
		return "", false
	}
	return a.Text, true
}

// validToken says whether a text may be a token: base64url.
func validToken(token string) bool {
	if len(token) < 16 || len(token) > maxToken {
		return false
	}
	for _, c := range []byte(token) {
		if (c|0x20 < 'a' || c|0x20 > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
			return false
		}
	}
	return true
}

// answer finds an answer here or, not too often, in the storage.
func (t *challenges) answer(ctx context.Context, token string) (answer, bool) {
	t.mu.Lock()
	a, ok := t.tokens[token]
	if ok || !t.mayAsk(time.Now()) {
		t.mu.Unlock()
		return a, ok
	}
	t.mu.Unlock()
	text, err := t.storage.Load(ctx, tokenPath(token))
	if err != nil || json.Unmarshal(text, &a) != nil {
		return answer{}, false
	}
	return a, true
}

// mayAsk counts a look into the storage. The caller holds the lock.
func (t *challenges) mayAsk(now time.Time) bool {
	if now.Sub(t.asked) >= time.Second {
		t.asked, t.budget = now, lookupsASecond
	}
	t.budget--
	return t.budget >= 0
}

// Handshake gives the certificate that answers a TLS-ALPN-01 challenge for a name, or nil. Callers ask only for handshakes that offer ALPN
// alone.
func (e *Engine) Handshake(ctx context.Context, name string) *tls.Certificate {
	t := e.challenges
	name = strings.ToLower(name)
	t.mu.Lock()
	c := t.names[name]
	ask := c == nil && t.mayAsk(time.Now())
	t.mu.Unlock()
	if !ask || !validName(name) {
		return c
	}
	text, err := t.storage.Load(ctx, namePath(name))
	if err != nil {
		return nil
	}
	var ch acme.Challenge
	if json.Unmarshal(text, &ch) != nil {
		return nil
	}
	c, err = acmez.TLSALPN01ChallengeCert(ch)
	if err != nil {
		return nil
	}
	return c
}

// validName says whether a server name may be part of a path in the storage.
func validName(name string) bool {
	if name == "" || len(name) > 253 || strings.Contains(name, "..") {
		return false
	}
	return strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789.-") == ""
}

func tokenPath(token string) string { return "challenges/http-01/" + token }
func namePath(name string) string   { return "challenges/tls-alpn-01/" + name }

// httpSolver answers HTTP-01 challenges through HTTP.
type httpSolver struct{ *challenges }

func (t httpSolver) present(ctx context.Context, ch acme.Challenge) error {
	a := answer{Name: ch.Identifier.Value, Text: ch.KeyAuthorization, Expires: time.Now().Add(answerLifetime)}
	t.mu.Lock()
	t.tokens[ch.Token] = a
	t.mu.Unlock()
	_ = store(ctx, t.storage, tokenPath(ch.Token), a) // this process answers without it
	return nil
}

func (httpSolver) wait(context.Context, acme.Challenge) error { return nil }

func (t httpSolver) cleanUp(ctx context.Context, ch acme.Challenge) error {
	t.mu.Lock()
	delete(t.tokens, ch.Token)
	t.mu.Unlock()
	return t.storage.Delete(ctx, tokenPath(ch.Token))
}

// alpnSolver answers TLS-ALPN-01 challenges through Handshake.
type alpnSolver struct{ *challenges }

func (t alpnSolver) present(ctx context.Context, ch acme.Challenge) error {
	c, err := acmez.TLSALPN01ChallengeCert(ch)
	if err != nil {
		return err
	}
	name := strings.ToLower(ch.Identifier.Value)
	t.mu.Lock()
	t.names[name] = c
	t.mu.Unlock()
	_ = store(ctx, t.storage, namePath(name), ch) // this process answers without it
	return nil
}

func (alpnSolver) wait(context.Context, acme.Challenge) error { return nil }

func (t alpnSolver) cleanUp(ctx context.Context, ch acme.Challenge) error {
	name := strings.ToLower(ch.Identifier.Value)
	t.mu.Lock()
	delete(t.names, name)
	t.mu.Unlock()
	return t.storage.Delete(ctx, namePath(name))
}
