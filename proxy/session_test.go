// Tokens of sessions, and budgets of retries.

package proxy

import (
	"bytes"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wicketgate/wicketgate/gateway"
	"github.com/wicketgate/wicketgate/message"
)

func testSession(spec gateway.Session) *session {
	return &session{Session: &spec, key: []byte("a key"), scope: []byte("cookie s"), backend: 7}
}

func TestTokens(t *testing.T) {
	s := testSession(gateway.Session{Cookie: "s", Absolute: time.Hour})
	made := token{began: 1000}
	for i := range uint64(maxPins + 3) {
		made.set(i, i+100)
	}
	made.set(5, 500)
	if len(made.pins) != maxPins || made.of(5) != 500 || made.of(0) != 0 {
		t.Fatalf("%+v", made)
	}
	text := s.encode(&made)
	got, ok := s.decode(text, 1000+3599)
	if !ok || got.began != 1000 || got.of(5) != 500 || got.of(maxPins+2) != maxPins+102 {
		t.Errorf("%+v %v", got, ok)
	}
	if _, ok := s.decode(text, 1000+3600); ok {
		t.Error("a session goes on after its time")
	}
	// Anything else is none of ours.
	for i := range text {
		for _, c := range []byte("Az-") {
			changed := bytes.Clone(text)
			if changed[i] = c; !bytes.Equal(changed, text) {
				if _, ok := s.decode(changed, 1000); ok {
					t.Errorf("a token with byte %d changed is taken", i)
				}
			}
		}
	}
	other := testSession(gateway.Session{Cookie: "s"})
	other.key = []byte("another")
	elsewhere := testSession(gateway.Session{Cookie: "t"})
	elsewhere.scope = []byte("cookie t")
	for name, s := range map[string]*session{"key": other, "scope": elsewhere} {
		if _, ok := s.decode(text, 1000); ok {
			t.Errorf("a token with another %s is taken", name)
		}
	}
	for _, text := range []string{"", "=", "AA", strings.Repeat("A", 4096), string(text[:len(text)-1]), string(text) + "AAAA"} {
		if _, ok := s.decode([]byte(text), 1000); ok {
			t.Errorf("%q is taken", text)
		}
	}
}

func TestTokensAreFoundAmongOtherCookies(t *testing.T) {
	s := testSession(gateway.Session{Cookie: "s"})
	made := token{began: 1}
	made.set(7, 9)
	good := string(s.encode(&made))
	for header, want := range map[string]bool{
		"s=" + good: true, "a=b; s=" + good + "; c=d": true, "s=foreign; s=" + good: true, "S=" + good: false, "xs=" + good: false, "s": false, ";;=; s=" + good: true,
		strings.Repeat("s=x; ", maxTokens) + "s=" + good: false,
	} {
		var h message.Head
		h.Fields.Add([]byte("cookie"), []byte(header))
		if _, ok := s.find(&h, 1); ok != want {
			t.Errorf("%q: %v", header, ok)
		}
	}
	byHeader := testSession(gateway.Session{Header: "X-Session"})
	var h message.Head
	h.Fields.Add([]byte("x-session"), []byte(" "+good+" "))
	if _, ok := byHeader.find(&h, 1); !ok {
		t.Error("not found in the header")
	}
}

func TestCookieAttributes(t *testing.T) {
	for _, c := range []struct {
		spec   gateway.Session
		secure bool
		want   string
	}{
		{gateway.Session{Cookie: "s", Path: "/"}, false, "s=T; Path=/; HttpOnly; SameSite=Lax"},
		{gateway.Session{Cookie: "s", Path: "/shop", Absolute: time.Hour}, true, "s=T; Path=/shop; HttpOnly; SameSite=Lax; Secure"},
		{gateway.Session{Cookie: "s", Path: "/", Absolute: time.Hour, Permanent: true}, false, "s=T; Path=/; Max-Age=3540; HttpOnly; SameSite=Lax"},
	} {
		if got := string(testSession(c.spec).cookie([]byte("T"), &token{began: 1000}, 1060, c.secure)); got != c.want {
			t.Errorf("%s\nwant %s", got, c.want)
		}
	}
}

func FuzzToken(f *testing.F) {
	s := testSession(gateway.Session{Cookie: "s"})
	made := token{began: 1}
	made.set(7, 9)
	f.Add(s.encode(&made))
	f.Add([]byte("AQAAAAAAAAAB"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if got, ok := s.decode(text, 1); ok && !bytes.Equal(s.encode(&got), text) {
			t.Errorf("%q is taken, and is not what it means", text)
		}
	})
}

func TestRetryBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBudget(gateway.RetryBudget{Percent: 20, Interval: 10 * time.Second, MinCount: 3, MinInterval: time.Second})
		allowed := func() (n int) {
			for b.retry() {
				n++
			}
			return n
		}
		if n := allowed(); n != 3 {
			t.Errorf("%d retries without any request, want the least rate", n)
		}
		for range 100 {
			b.request()
		}
		// 25 of 125 are 20 percent.
		if n := allowed(); n != 22 {
			t.Errorf("%d more retries", n)
		}
		time.Sleep(time.Second)
		if n := allowed(); n != 3 {
			t.Errorf("%d retries a second later, want the least rate", n)
		}
		time.Sleep(11 * time.Second)
		if n := allowed(); n != 3 {
			t.Errorf("%d retries when everything is forgotten", n)
		}
		none := newBudget(gateway.RetryBudget{Percent: 0, Interval: time.Second, MinCount: 1, MinInterval: time.Hour})
		if !none.retry() || none.retry() {
			t.Error("0 percent is not the least rate alone")
		}
	})
}
