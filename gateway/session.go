// Session persistence (GEP-1619): requests of one session go to the same endpoint of a backend. It is asked for by a rule of an HTTPRoute or GRPCRoute,
// or by an XBackendTrafficPolicy for a Service; the rule's word counts. Which backend gets a request is for the weights to decide, as the GEP
// demands: a session is with each of them apart.

package gateway

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"strings"
	"time"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// Session is how a session is recognised and how long it holds. It is immutable.
type Session struct {
	Header string // the name of a header field; "": a cookie
	Cookie string // the name of the cookie
	Path   string // the cookie's
	// Absolute is when a session ends after its beginning, in whole seconds; 0: never. Permanent cookies end with it at the client, too.
	Absolute  time.Duration
	Permanent bool
}

// newSession reads a sessionPersistence stanza. owner is of whom the cookie's name is made up if there is none. Faults go to drop, with the path
// below the stanza.
func newSession(spec *gatewayv1.SessionPersistence, owner string, drop func(path, message string)) *Session {
	s := &Session{}
	if spec.AbsoluteTimeout != nil {
		d, err := time.ParseDuration(string(*spec.AbsoluteTimeout))
		if err != nil || d < 0 {
			drop("absoluteTimeout", strconv.Quote(string(*spec.AbsoluteTimeout))+` is not a duration: write for example "1h" or "30m"`)
		}
		s.Absolute = (d + time.Second - 1).Truncate(time.Second)
	}
	switch kind := deref(spec.Type, gatewayv1.CookieBasedSessionPersistence); kind {
	case gatewayv1.CookieBasedSessionPersistence:
		s.readCookie(spec.Cookie, owner, drop)
	case gatewayv1.HeaderBasedSessionPersistence:
		if spec.Header == nil || spec.Header.Name == "" {
			drop("header", "header.name is required with type Header")
			return nil
		}
		s.Header = string(spec.Header.Name)
		lower := strings.ToLower(s.Header)
		if why := fixedHeader(lower, true); why != "" || lower == "cookie" || lower == "set-cookie" || lower == "authorization" {
			drop("header.name", "header "+s.Header+" has a meaning of its own and cannot carry a session: use another name")
		}
	default:
		drop("type", "type "+strconv.Quote(string(kind))+" is not known: use Cookie or Header")
	}
	return s
}

// readCookie reads what concerns cookies alone.
func (s *Session) readCookie(c *gatewayv1.CookieConfig, owner string, drop func(path, message string)) {
	s.Path = "/"
	if c != nil {
		s.Cookie, s.Path = string(deref(c.Name, "")), deref(c.Path, s.Path)
		s.Permanent = deref(c.LifetimeType, gatewayv1.SessionCookieLifetimeType) == gatewayv1.PermanentCookieLifetimeType
	}
	if s.Cookie == "" {
		digest := sha256.Sum256([]byte(owner))
		s.Cookie = "session-" + hex.EncodeToString(digest[:6])
	}
	// RFC 6265 section 4.1.1: a path is any characters but controls and the semicolon.
	if !strings.HasPrefix(s.Path, "/") || strings.ContainsFunc(s.Path, func(r rune) bool { return r < ' ' || r >= 0x7f || r == ';' }) {
		drop("cookie.path", strconv.Quote(s.Path)+" is not a path that a cookie can have: begin with / and leave out semicolons")
	}
	if s.Permanent && s.Absolute <= 0 {
		drop("absoluteTimeout", "absoluteTimeout is required with lifetimeType Permanent, and must be more than 0")
	}
}

// checkSession reads the sessionPersistence stanza of a rule, nil if it has none.
func checkSession(rule *Rule, spec *gatewayv1.SessionPersistence, dropped *faults) *Session {
	if spec == nil {
		return nil
	}
	return newSession(spec, rule.Object.Key.String()+" "+strconv.Itoa(rule.Index), func(path, message string) {
		rule.drop(dropped, reasonUnsupportedValue, "sessionPersistence."+path, message)
	})
}
