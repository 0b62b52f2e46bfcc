// The program of --acme-dns-hook: what it is told, and what is told of it.

package obtain

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mholt/acmez/v3/acme"

	"github.com/wicketgate/wicketgate/certmanager"
)

func script(t *testing.T, text string) Hook {
	t.Helper()
	path := filepath.Join(t.TempDir(), "hook")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text), 0o700); err != nil { //nolint:gosec // it is to be run
		t.Fatal(err)
	}
	return Hook{Command: path}
}

func TestHookIsToldNameAndValue(t *testing.T) {
	out := filepath.Join(t.TempDir(), "told")
	h := script(t, "echo \"$@\" >> "+out+"\n")
	ch := acme.Challenge{KeyAuthorization: "token.key", Identifier: acme.Identifier{Type: "dns", Value: "shop.example"}}
	if err := h.present(t.Context(), ch); err != nil {
		t.Fatal(err)
	}
	if err := h.cleanUp(t.Context(), ch); err != nil {
		t.Fatal(err)
	}
	told, err := os.ReadFile(out)
	value := ch.DNS01KeyAuthorization()
	want := "present _acme-challenge.shop.example " + value + "\ncleanup _acme-challenge.shop.example " + value + "\n"
	if err != nil || string(told) != want {
		t.Errorf("the program was told\n%s%v\nwant\n%s", told, err, want)
	}
}

func TestHookThatFails(t *testing.T) {
	err := script(t, "echo no such zone >&2; exit 3\n").present(t.Context(), acme.Challenge{Identifier: acme.Identifier{Type: "dns", Value: "shop.example"}})
	if err == nil || !strings.Contains(err.Error(), "exit status 3") || !strings.Contains(err.Error(), "no such zone") {
		t.Errorf("error %v", err)
	}
}

func TestHookIsForTheFlagsIssuerAlone(t *testing.T) {
	w := newWorld(t, nil, chainYAML)
	w.engine.opt.Hook = Hook{Command: "/bin/false"}
	c := wanted(nil, certmanager.Solver{HTTP01: &certmanager.HTTP01{}})
	if p, err := w.engine.proofOf(c, nil, "*.shop.example", 0); err != nil || p.kind != acme.ChallengeTypeDNS01 {
		t.Errorf("the flags' issuer: %v %v", p, err)
	}
	c.Issuer.Object = c.Object
	if p, err := w.engine.proofOf(c, nil, "*.shop.example", 0); err == nil || !strings.Contains(err.Error(), "dns01 solver") {
		t.Errorf("an issuer of the files: %v %v", p, err)
	}
}
