// Session persistence (GEP-1619): a client that shows a token of ours gets the endpoint that it had.
//
// A token says, for each backend that the session has been with, which endpoint it was; when the session began; and that it is ours:
//
//	version 1 | began, seconds since 1970 | { backend | endpoint } ... | HMAC-SHA256, cut to 16 bytes
//	1 byte      8 bytes                     8 bytes   8 bytes
//
// in base64 without padding. Nothing in it can be read or changed without the key: endpoints are given by keyed hashes of their addresses, and
// a token that is not as we made it, or whose time is over, counts as none. It is bound to the session's name, so that one route's token is nothing to another.
//
// Which backend gets a request is for the weights to decide. So with weights 90 and 10 a session has two endpoints, one in each backend, and both are in the
// token. Where an endpoint is gone, or refuses connections, another is chosen, and the client gets a new token with the response.

package proxy

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"strconv"
	"time"

	"github.com/wicketgate/wicketgate/gateway"
	"github.com/wicketgate/wicketgate/message"
)

const (
	tokenVersion = 1
	tokenHead    = 1 + 8
	tokenPin     = 8 + 8
	tokenMAC     = 16
	// maxPins is how many backends a token remembers: of more, those that were used last.
	maxPins = 8
	// maxTokens is how many values of a cookie's name are looked at; a client may have several, by path.
	maxTokens = 8
)

// session is a session stanza for one backend, compiled.
type session struct {
	*gateway.Session
	key     []byte
	scope   []byte // what tokens are bound to
	backend uint64
}

// sessionOf is what a share does about sessions: the rule's word, or else that of its backend's policy. nil: nothing.
func (c *compiler) sessionOf(r *gateway.Rule, t *gateway.Target) *session {
	spec := r.Session
	if spec == nil {
		spec = t.Session
	}
	if spec == nil {
		return nil
	}
	name := sha256.Sum256([]byte(t.Key))
	scope := "cookie " + spec.Cookie
	if spec.Header != "" {
		scope = "header " + spec.Header
	}
	return &session{Session: spec, key: c.proxy.opt.SessionKey, scope: []byte(scope), backend: binary.BigEndian.Uint64(name[:])}
}

// token is a client's.
type token struct {
	began int64 // seconds since 1970
	pins  []pin // of those used last, first
}

// pin says which endpoint a session has in a backend.
type pin struct{ backend, endpoint uint64 }

// of gives the endpoint in a backend; 0: none.
func (t *token) of(backend uint64) uint64 {
	for _, p := range t.pins {
		if p.backend == backend {
			return p.endpoint
		}
	}
	return 0
}

// set puts a backend's endpoint first.
func (t *token) set(backend, endpoint uint64) {
	pins := append(make([]pin, 0, maxPins), pin{backend, endpoint})
	for _, p := range t.pins {
		if p.backend != backend && len(pins) < maxPins {
			pins = append(pins, p)
		}
	}
	t.pins = pins
}

// mac appends the proof that a token is ours.
func (s *session) mac(dst, content []byte) []byte {
	h := hmac.New(sha256.New, s.key)
	_, _ = h.Write(s.scope) // never fails
	_, _ = h.Write([]byte{0})
	_, _ = h.Write(content)
	return append(dst, h.Sum(nil)[:tokenMAC]...)
}

// encode makes the text of a token.
func (s *session) encode(t *token) []byte {
	raw := append(make([]byte, 0, tokenHead+tokenPin*maxPins+tokenMAC), tokenVersion)
	raw = binary.BigEndian.AppendUint64(raw, uint64(t.began))
	for _, p := range t.pins {
		raw = binary.BigEndian.AppendUint64(raw, p.backend)
		raw = binary.BigEndian.AppendUint64(raw, p.endpoint)
	}
	return base64.RawURLEncoding.AppendEncode(nil, s.mac(raw, raw))
}

// decode reads the text of a token. It is false if it is not one of ours, or no longer valid at a time.
func (s *session) decode(text []byte, now int64) (t token, ok bool) {
	const longest = tokenHead + tokenPin*maxPins + tokenMAC
	var memory [longest]byte
	if base64.RawURLEncoding.DecodedLen(len(text)) > longest {
		return t, false
	}
	n, err := base64.RawURLEncoding.Strict().Decode(memory[:], text)
	if err != nil || n < tokenHead+tokenPin+tokenMAC || (n-tokenHead-tokenMAC)%tokenPin != 0 || memory[0] != tokenVersion {
		return t, false
	}
	raw, proof := memory[:n-tokenMAC], memory[n-tokenMAC:n]
	if !hmac.Equal(proof, s.mac(nil, raw)) {
		return t, false
	}
	t.began = int64(binary.BigEndian.Uint64(raw[1:]))
	if s.Absolute > 0 && now >= t.began+int64(s.Absolute/time.Second) {
		return t, false
	}
	for at := tokenHead; at < len(raw); at += tokenPin {
		t.pins = append(t.pins, pin{binary.BigEndian.Uint64(raw[at:]), binary.BigEndian.Uint64(raw[at+8:])})
	}
	return t, true
}

// find looks for a token in a request.
func (s *session) find(h *message.Head, now int64) (t token, ok bool) {
	left := maxTokens
	for i := range h.Fields.Len() {
		f := h.Fields.At(i)
		if s.Header != "" {
			if message.EqualFold(f.Name, []byte(s.Header)) && left > 0 {
				left--
				if t, ok = s.decode(bytes.TrimSpace(f.Value), now); ok {
					return t, true
				}
			}
			continue
		}
		if !message.EqualFold(f.Name, nameCookie) {
			continue
		}
		for pair := range bytes.SplitSeq(f.Value, []byte{';'}) {
			name, value, found := bytes.Cut(bytes.TrimSpace(pair), []byte{'='})
			if !found || string(name) != s.Cookie || left == 0 {
				continue
			}
			left--
			if t, ok = s.decode(value, now); ok {
				return t, true
			}
		}
	}
	return token{}, false
}

var (
	nameCookie    = []byte("Cookie")
	nameSetCookie = []byte("Set-Cookie")
)

// resume prefers the endpoint that the client had.
func (c *call) resume() {
	s := c.share.session
	now := time.Now().Unix()
	t, ok := s.find(c.req, now)
	if !ok {
		t.began = now
	}
	c.token = t
	c.res.Prefer = t.of(s.backend)
}

// remember gives the client a token, if another endpoint than it had has answered, or if it had none.
func (c *call) remember(h *message.Head) {
	s := c.share.session
	if c.res.ID == c.token.of(s.backend) {
		return
	}
	c.token.set(s.backend, c.res.ID)
	text := s.encode(&c.token)
	if s.Header != "" {
		h.Fields.Set([]byte(s.Header), text)
		return
	}
	h.Fields.Add(nameSetCookie, s.cookie(text, &c.token, time.Now().Unix(), c.peer.TLS != nil))
}

// cookie is the value of Set-Cookie. Scripts cannot read it. It is sent along where a link from another site is followed (SameSite=Lax): else every such link
// would begin a new session in place of the one there is, and the cookie grants nothing that a stranger could misuse.
func (s *session) cookie(text []byte, t *token, now int64, secure bool) []byte {
	v := append(make([]byte, 0, 256), s.Cookie...)
	v = append(append(v, '='), text...)
	v = append(append(v, "; Path="...), s.Path...)
	if s.Permanent {
		v = strconv.AppendInt(append(v, "; Max-Age="...), max(1, t.began+int64(s.Absolute/time.Second)-now), 10)
	}
	v = append(v, "; HttpOnly; SameSite=Lax"...)
	if secure {
		v = append(v, "; Secure"...)
	}
	return v
}
