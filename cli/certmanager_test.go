// cert-manager's kinds as `wicketgate get` and the metrics show them.

package cli

import (
	"net/http"
	"strings"
	"testing"
)

const selfSignedYAML = `apiVersion: cert-manager.io/v1
kind: Issuer
metadata: {name: self}
spec: {selfSigned: {}}
---
apiVersion: cert-manager.io/v1
kind: ClusterIssuer
metadata: {name: vault}
spec: {vault: {server: "https://vault.example"}}
`

func TestCertificatesAndIssuersAreListed(t *testing.T) {
	port := freePort(t)
	yaml := secureYAML(port, map[string]string{"shop-tls": "shop.test"})
	yaml = strings.Replace(yaml, "{name: web}", "{name: web, annotations: {cert-manager.io/issuer: self}}", 1)
	if !strings.Contains(yaml, "cert-manager.io/issuer") {
		t.Fatal(yaml)
	}
	g := startGate(t, map[string]string{"gateway.yaml": yaml, "issuers.yaml": selfSignedYAML})
	fields := func(args ...string) (rows [][]string) {
		out, errs, code := g.get(args...)
		if code != 0 {
			t.Fatalf("get %v: %d %s", args, code, errs)
		}
		for line := range strings.Lines(out) {
			rows = append(rows, strings.Fields(line))
		}
		return rows
	}
	row := func(rows [][]string, i int) string {
		if i >= len(rows) {
			return ""
		}
		return strings.Join(rows[i], " ")
	}
	eventually(t, "the certificate is issued", func() bool { return strings.HasPrefix(row(fields("certificates"), 1), "shop-tls True shop-tls") })
	for _, c := range []struct{ kind, head, first string }{
		{"certificates", "NAME READY SECRET AGE", "shop-tls True shop-tls"},
		{"issuers", "NAME READY AGE", "self True"},
		{"clusterissuers", "NAME READY AGE", "vault False"},
	} {
		rows := fields(c.kind)
		if row(rows, 0) != c.head || !strings.HasPrefix(row(rows, 1), c.first) {
			t.Errorf("%s: %q", c.kind, rows)
		}
	}
	if wide := row(fields("clusterissuers", "-o", "wide"), 1); !strings.Contains(wide, "issuers of type vault are not supported") {
		t.Errorf("wide: %q", wide)
	}
	// The listener tells the truth: it is programmed now that its certificate is there.
	eventually(t, "the listener is programmed", func() bool {
		status, _, _ := g.get("gateway", "web", "-o", `jsonpath={.status.listeners[0].conditions[?(@.type=="Programmed")].status}`)
		return strings.TrimSpace(status) == "True"
	})
	for _, want := range []string{
		`wicketgate_certificate_not_after_timestamp_seconds{namespace="default",secret="shop-tls"}`, `wicketgate_certificates_obtained_total{issuer="default/self"} 1`,
	} {
		g.shows(want)
	}
}

// A certificate that was obtained by hostname has no Secret, and a placeholder is nothing that should be looked after.
func TestExpiryOfWhatIsObtainedByHostname(t *testing.T) {
	port := freePort(t)
	yaml := strings.Replace(secureYAML(port, map[string]string{"shop-tls": "shop.test"}), ", tls: {certificateRefs: [{name: shop-tls}]}", "", 1)
	if strings.Contains(yaml, "certificateRefs") {
		t.Fatal(yaml)
	}
	g := startGate(t, map[string]string{"gateway.yaml": yaml}, "--local-ca")
	expiries := func() (lines []string) {
		_, text := g.ask(http.MethodGet, "/metrics")
		for line := range strings.Lines(text) {
			if strings.HasPrefix(line, "wicketgate_certificate_not_after_timestamp_seconds{") {
				lines = append(lines, line)
			}
		}
		return lines
	}
	eventually(t, "the certificate is issued", func() bool { return len(expiries()) > 0 })
	if lines := expiries(); len(lines) != 1 || !strings.Contains(lines[0], `{namespace="default",secret="shop.test"}`) {
		t.Errorf("%q", lines)
	}
}
