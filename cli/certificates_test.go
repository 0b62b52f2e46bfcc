// The flags that ask for certificates, and the local authority's command.

package cli

import (
	"bytes"
	"context"
	"crypto/x509"
	"strings"
	"testing"
)

func TestFlagsForCertificates(t *testing.T) {
	for _, c := range []struct {
		name  string
		flags acmeFlags
		wrong string // part of the error
	}{
		{"none", acmeFlags{directory: letsEncrypt}, ""},
		{"email", acmeFlags{directory: letsEncrypt, email: "ops@example.com"}, ""},
		{"local", acmeFlags{directory: letsEncrypt, localCA: true}, ""},
		{"both", acmeFlags{directory: letsEncrypt, localCA: true, email: "ops@example.com"}, "exclude each other"},
		{"staging alone", acmeFlags{directory: letsEncrypt, staging: true}, "give that, too"},
		{"hook alone", acmeFlags{directory: letsEncrypt, dnsHook: "/bin/true"}, "give that, too"},
		{"staging and directory", acmeFlags{directory: "https://acme.example", staging: true, email: "ops@example.com"}, "exclude each other"},
		{"not an address", acmeFlags{directory: letsEncrypt, email: "yes"}, "not an email address"},
		{"no such file", acmeFlags{directory: letsEncrypt, email: "ops@example.com", caFile: "nowhere.pem"}, "--acme-ca-file"},
	} {
		_, err := c.flags.options()
		if (err == nil) != (c.wrong == "") || err != nil && !strings.Contains(err.Error(), c.wrong) {
			t.Errorf("%s: %v, want %q", c.name, err, c.wrong)
		}
	}
	o, err := (&acmeFlags{directory: letsEncrypt, staging: true, email: "ops@example.com"}).options()
	if err != nil || o.ACME.Server != letsEncryptStaging {
		t.Errorf("--acme-staging asks %v: %v", o.ACME, err)
	}
}

func TestExportedAuthority(t *testing.T) {
	dir := t.TempDir()
	export := func() string {
		var out, errs bytes.Buffer
		if code := Execute(context.Background(), Program{Stdout: &out, Stderr: &errs}, []string{"ca", "export", "--state-dir", dir}); code != 0 {
			t.Fatalf("status %d: %s", code, errs.String())
		}
		return out.String()
	}
	first := export()
	if !x509.NewCertPool().AppendCertsFromPEM([]byte(first)) || strings.Contains(first, "PRIVATE KEY") {
		t.Errorf("exported:\n%s", first)
	}
	if export() != first {
		t.Error("the second export is another authority")
	}
}
