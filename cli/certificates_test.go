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
	for _, c := range []struct {
		name  string
		flags acmeFlags
		wrong string
	}{
		{"none", acmeFlags{askLimit: 60}, ""},
		{"by ACME", acmeFlags{email: "ops@example.com", ask: "https://app.example/allowed?key=1", askLimit: 1}, ""},
		{"by the local authority", acmeFlags{localCA: true, ask: "http://127.0.0.1:5555", askLimit: 60}, ""},
		{"from nobody", acmeFlags{ask: "http://127.0.0.1:5555", askLimit: 60}, "give --acme-email or --local-ca"},
		{"a limit of nothing", acmeFlags{localCA: true, askLimit: 5}, "--on-demand-limit"},
		{"no limit", acmeFlags{localCA: true, ask: "http://127.0.0.1:5555", askLimit: 0}, "--on-demand-limit 0"},
		{"no scheme", acmeFlags{localCA: true, ask: "127.0.0.1:5555/allowed", askLimit: 60}, "is not a URL such as"},
		{"a file", acmeFlags{localCA: true, ask: "file:///etc/names", askLimit: 60}, "is not a URL such as"},
	} {
		at, err := c.flags.onDemand()
		if (err == nil) != (c.wrong == "") || err != nil && !strings.Contains(err.Error(), c.wrong) || (at != nil) != (c.flags.ask != "" && c.wrong == "") {
			t.Errorf("on demand, %s: %v %v, want %q", c.name, at, err, c.wrong)
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
