// Which solver, when to renew, how long to wait: decisions without any network.

package obtain

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mholt/acmez/v3/acme"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/wicketgate/wicketgate/certmanager"
	"github.com/wicketgate/wicketgate/object"
	"github.com/wicketgate/wicketgate/tls/issue"
)

// wanted is a certificate for names from an ACME issuer with solvers.
func wanted(labels map[string]string, solvers ...certmanager.Solver) *issue.Certificate {
	return &issue.Certificate{
		Object: &object.Object{Meta: metav1.ObjectMeta{Labels: labels}}, Spec: &certmanager.CertificateSpec{},
		Issuer: &issue.Issuer{Spec: &certmanager.IssuerSpec{ACME: &certmanager.ACMEIssuer{Server: "https://acme.example", Solvers: solvers}}},
	}
}

func TestMostSpecificSolverWins(t *testing.T) {
	mark := func(email string, s *certmanager.Selector) certmanager.Solver {
		return certmanager.Solver{Selector: s, DNS01: &certmanager.DNS01{Cloudflare: &certmanager.Cloudflare{Email: email}}}
	}
	solvers := []certmanager.Solver{
		mark("any", nil),
		mark("zone", &certmanager.Selector{DNSZones: []string{"example.com"}}),
		mark("long zone", &certmanager.Selector{DNSZones: []string{"example.org", "shop.example.com"}}),
		mark("name", &certmanager.Selector{DNSNames: []string{"exact.shop.example.com"}}),
		mark("label", &certmanager.Selector{MatchLabels: map[string]string{"team": "shop"}}),
		mark("second label", &certmanager.Selector{MatchLabels: map[string]string{"team": "shop"}}),
		mark("zone and label", &certmanager.Selector{DNSZones: []string{"example.com"}, MatchLabels: map[string]string{"team": "shop"}}),
	}
	for _, c := range []struct {
		name   string
		labels map[string]string
		want   string
	}{
		{"other.example", nil, "any"},
		{"example.com", nil, "zone"},
		{"notexample.com", nil, "any"},
		{"*.example.com", nil, "zone"},
		{"a.shop.example.com", nil, "long zone"},
		{"exact.shop.example.com", nil, "name"},
		{"other.example", map[string]string{"team": "shop"}, "label"},
		{"a.example.com", map[string]string{"team": "shop"}, "zone and label"},
	} {
		s, err := solverFor(wanted(c.labels, solvers...), c.name)
		if err != nil || s.DNS01.Cloudflare.Email != c.want {
			t.Errorf("%s %v: %v %v, want %s", c.name, c.labels, s, err, c.want)
		}
	}
	if _, err := solverFor(wanted(nil, solvers[1]), "other.example"); err == nil || !strings.Contains(err.Error(), "no solver") {
		t.Errorf("a name that no selector matches: %v", err)
	}
}

func TestTimeOfRenewal(t *testing.T) {
	pair, err := placeholder([]string{"a.example"})
	if err != nil {
		t.Fatal(err)
	}
	h, err := newHeld(held{Key: pair.Key, Chain: pair.Chain})
	if err != nil {
		t.Fatal(err)
	}
	lifetime := h.leaf.NotAfter.Sub(h.leaf.NotBefore)
	left := func(c *issue.Certificate) time.Duration { return h.leaf.NotAfter.Sub(h.renewal(c)) }
	c := wanted(nil)
	if d := left(c); d < lifetime/3 || d > lifetime/3+lifetime/20 {
		t.Errorf("by default %v of %v before the end", d, lifetime)
	}
	c.Spec.RenewBefore = &metav1.Duration{Duration: 48 * time.Hour}
	if d := left(c); d != 48*time.Hour {
		t.Errorf("renewBefore 48h: %v", d)
	}
	c.Spec.RenewBefore.Duration = 2 * lifetime
	if d := left(c); d < lifetime/3 || d > lifetime/2 {
		t.Errorf("renewBefore beyond the validity: %v", d)
	}
	percent := int32(10)
	c.Spec.RenewBefore, c.Spec.RenewBeforePercentage = nil, &percent
	if d := left(c); d != lifetime/10 {
		t.Errorf("renewBeforePercentage 10: %v of %v", d, lifetime)
	}
	ca := *h.leaf
	ca.NotAfter = ca.NotBefore.Add(30 * 365 * 24 * time.Hour) // of an authority
	long := &held{leaf: &ca}
	for percent = 1; percent < 100; percent++ {
		want := ca.NotAfter.Add(-ca.NotAfter.Sub(ca.NotBefore) / 100 * time.Duration(percent))
		if at := long.renewal(c); at.Sub(want).Abs() > time.Second {
			t.Fatalf("renewBeforePercentage %d of 30 years: %v, want %v", percent, at, want)
		}
	}
	c.Spec.RenewBeforePercentage = nil
	h.Renewal = acme.RenewalInfo{SelectedTime: h.leaf.NotAfter.Add(-time.Hour)}
	if d := left(c); d != time.Hour {
		t.Errorf("the server says an hour before the end: %v", d)
	}
	h.Renewal.SelectedTime = h.leaf.NotAfter.Add(time.Hour)
	if d := left(c); d < lifetime/3 {
		t.Errorf("the server says after the end: %v", d)
	}
}

func TestPausesGrowAndStayBelowTheLimitOfFailures(t *testing.T) {
	elapsed, inFirstHour := time.Duration(0), 1
	for n := 1; n < 30; n++ {
		d := pause(n)
		if d > longestPause+longestPause/10 || n > 2 && d < 9*time.Minute {
			t.Errorf("pause %d is %v", n, d)
		}
		if elapsed += d; elapsed < time.Hour {
			inFirstHour++
		}
	}
	if inFirstHour > 5 {
		t.Errorf("%d attempts in the first hour", inFirstHour)
	}
}

func TestOrdersAreSpreadOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := orderLimits{byAccount: map[string]*bucket{}}
		begun := time.Now()
		for range orderBurst {
			if err := l.wait(t.Context(), "a"); err != nil {
				t.Fatal(err)
			}
		}
		if d := time.Since(begun); d > 0 {
			t.Errorf("the first orders waited %v", d)
		}
		if err := l.wait(t.Context(), "a"); err != nil || time.Since(begun) == 0 {
			t.Errorf("one more did not wait: %v", err)
		}
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := l.wait(short, "a"); err == nil || !strings.Contains(err.Error(), "too many orders") {
			t.Errorf("without time to wait: %v", err)
		}
		if err := l.wait(t.Context(), "b"); err != nil {
			t.Error(err)
		}
	})
}

func TestLoopbackServersOfFlagsAndClusterIssuersOnly(t *testing.T) {
	for _, c := range []struct {
		kind, server string
		want         bool
	}{
		{certmanager.ClusterIssuerKind, "https://127.0.0.1:14000/dir", true},
		{certmanager.ClusterIssuerKind, "https://localhost:14000/dir", true},
		{certmanager.ClusterIssuerKind, "https://acme.example/dir", false},
		{certmanager.IssuerKind, "https://127.0.0.1:14000/dir", false},
	} {
		i := &issue.Issuer{Spec: &certmanager.IssuerSpec{ACME: &certmanager.ACMEIssuer{Server: c.server}}}
		i.Key.Kind = c.kind
		if got := mayDialLoopback(i); got != c.want {
			t.Errorf("%s %s: %v", c.kind, c.server, got)
		}
	}
}

func TestAnswersToHTTP01(t *testing.T) {
	w := newWorld(t, nil, chainYAML)
	ch := acme.Challenge{Token: "abcdefghijklmnopqrstuvwx", KeyAuthorization: "abcdefghijklmnopqrstuvwx.key", Identifier: acme.Identifier{Type: "dns", Value: "shop.example"}}
	s := httpSolver{w.engine.challenges}
	if err := s.present(t.Context(), ch); err != nil {
		t.Fatal(err)
	}
	ask := func(e *Engine, host, path string) string {
		text, _ := e.HTTP(t.Context(), host, path)
		return text
	}
	other, err := New(Options{Storage: w.engine.storage})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range []*Engine{w.engine, other} { // the second shares the storage
		if got := ask(e, "Shop.Example", ChallengePath+ch.Token); got != ch.KeyAuthorization {
			t.Errorf("answer %q", got)
		}
		for _, wrong := range [][2]string{
			{"other.example", ChallengePath + ch.Token},
			{"shop.example", ChallengePath + "abcdefghijklmnopqrstuvwy"},
			{"shop.example", ChallengePath + "../../accounts"},
			{"shop.example", ChallengePath},
			{"shop.example", "/" + ch.Token},
		} {
			if got := ask(e, wrong[0], wrong[1]); got != "" {
				t.Errorf("%v is answered with %q", wrong, got)
			}
		}
	}
	if err := s.cleanUp(t.Context(), ch); err != nil {
		t.Fatal(err)
	}
	if got := ask(w.engine, "shop.example", ChallengePath+ch.Token) + ask(other, "shop.example", ChallengePath+ch.Token); got != "" {
		t.Errorf("after it was taken down: %q", got)
	}
}

func TestAnswersToTLSALPN01(t *testing.T) {
	w := newWorld(t, nil, chainYAML)
	ch := acme.Challenge{Token: "abcdefghijklmnopqrstuvwx", KeyAuthorization: "abcdefghijklmnopqrstuvwx.key", Identifier: acme.Identifier{Type: "dns", Value: "shop.example"}}
	s := alpnSolver{w.engine.challenges}
	if err := s.present(t.Context(), ch); err != nil {
		t.Fatal(err)
	}
	other, err := New(Options{Storage: w.engine.storage})
	if err != nil {
		t.Fatal(err)
	}
	if w.engine.Handshake(t.Context(), "shop.example") == nil || other.Handshake(t.Context(), "SHOP.example") == nil {
		t.Error("no answer")
	}
	if w.engine.Handshake(t.Context(), "other.example") != nil || other.Handshake(t.Context(), "../x") != nil {
		t.Error("an answer for a name without a challenge")
	}
	if err := s.cleanUp(t.Context(), ch); err != nil || w.engine.Handshake(t.Context(), "shop.example") != nil {
		t.Errorf("after it was taken down there is an answer: %v", err)
	}
}

func FuzzParseKey(f *testing.F) {
	f.Add([]byte("-----BEGIN EC PRIVATE KEY-----\n-----END EC PRIVATE KEY-----\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if key, err := parseKey(text); err == nil && key == nil {
			t.Error("neither a key nor an error")
		}
	})
}
