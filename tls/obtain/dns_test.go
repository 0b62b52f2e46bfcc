// Which provider a dns01 solver becomes, and with what of its Secrets.

package obtain

import (
	"reflect"
	"strings"
	"testing"

	"github.com/wicketgate/wicketgate/certmanager"
	"github.com/wicketgate/wicketgate/config"
	"github.com/wicketgate/wicketgate/object"
	"github.com/wicketgate/wicketgate/tls/dns01"
	"github.com/wicketgate/wicketgate/tls/issue"
)

const dnsYAML = `apiVersion: v1
kind: Secret
metadata: {name: dns, namespace: cert-manager}
stringData:
  token: "T0\n"
  accounts: '{"shop.example.com": {"username": "u", "password": "p", "subdomain": "s"}}'
---
apiVersion: cert-manager.io/v1
kind: ClusterIssuer
metadata: {name: all}
spec:
  acme:
    server: https://acme.example/directory
    privateKeySecretRef: {name: account}
    solvers:
    - {dns01: {cnameStrategy: Follow, cloudflare: {apiTokenSecretRef: {name: dns, key: token}}}}
    - {dns01: {cloudflare: {email: ops@example.com, apiKeySecretRef: {name: dns, key: token}}}}
    - {dns01: {digitalocean: {tokenSecretRef: {name: dns, key: token}}}}
    - {dns01: {rfc2136: {nameserver: "192.0.2.1:54", tsigKeyName: k, tsigAlgorithm: HMACSHA512, tsigSecretSecretRef: {name: dns, key: token}}}}
    - {dns01: {rfc2136: {nameserver: ns.example.com}}}
    - {dns01: {acmeDNS: {host: auth.example.org, accountSecretRef: {name: dns, key: accounts}}}}
    - {dns01: {route53: {region: eu-central-1, hostedZoneID: Z1, accessKeyID: id, secretAccessKeySecretRef: {name: dns, key: token}}}}
    - {dns01: {route53: {accessKeyIDSecretRef: {name: dns, key: token}, secretAccessKeySecretRef: {name: dns, key: token}}}}
    - {dns01: {route53: {region: cn-north-1}}}
    - {dns01: {digitalocean: {tokenSecretRef: {name: dns, key: missing}}}}
    - {dns01: {digitalocean: {tokenSecretRef: {name: nowhere, key: token}}}}
    - {dns01: {acmeDNS: {host: auth.example.org, accountSecretRef: {name: dns, key: token}}}}
`

func TestProvidersOfDNSSolvers(t *testing.T) {
	objects, problems := config.Parse("in.yaml", []byte(dnsYAML))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	t.Setenv("AWS_ACCESS_KEY_ID", "env-id")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "env-key")
	t.Setenv("AWS_SESSION_TOKEN", "env-session")
	e, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	e.objects = object.NewSet(objects...)
	plan := issue.Read(e.objects, issue.Options{})
	want := []dns01.Provider{
		&dns01.Cloudflare{Token: "T0"},
		&dns01.Cloudflare{Email: "ops@example.com", Key: "T0"},
		&dns01.DigitalOcean{Token: "T0"},
		&dns01.RFC2136{Server: "192.0.2.1:54", Key: &dns01.TSIG{Name: "k", Algorithm: "HMACSHA512", Secret: "T0"}},
		&dns01.RFC2136{Server: "ns.example.com"},
		&dns01.ACMEDNS{Host: "auth.example.org", Accounts: map[string]dns01.ACMEDNSAccount{"shop.example.com": {Username: "u", Password: "p", Subdomain: "s"}}},
		&dns01.Route53{Region: "eu-central-1", ZoneID: "Z1", Lock: &e.route53Lock, Credentials: dns01.AWSCredentials{AccessKeyID: "id", SecretAccessKey: "T0"}},
		&dns01.Route53{Lock: &e.route53Lock, Credentials: dns01.AWSCredentials{AccessKeyID: "T0", SecretAccessKey: "T0"}},
		&dns01.Route53{
			Region: "cn-north-1", Lock: &e.route53Lock, Credentials: dns01.AWSCredentials{AccessKeyID: "env-id", SecretAccessKey: "env-key", SessionToken: "env-session"},
		},
	}
	wrong := []string{`has no key "missing"`, "Secret cert-manager/nowhere is not defined", "not an object of acme-dns accounts"}
	for i, s := range plan.Issuers[0].Spec.ACME.Solvers {
		p, err := e.dnsProvider(plan.Issuers[0], s.DNS01)
		if i >= len(want) {
			if w := wrong[i-len(want)]; err == nil || !strings.Contains(err.Error(), w) {
				t.Errorf("solver %d: %v, want %q", i, err, w)
			}
			continue
		}
		if err != nil {
			t.Errorf("solver %d: %v", i, err)
			continue
		}
		reflect.ValueOf(p).Elem().FieldByName("Network").SetZero()
		if !reflect.DeepEqual(p, want[i]) {
			t.Errorf("solver %d: %+v, want %+v", i, p, want[i])
		}
	}
	s, err := e.dnsSolver(plan.Issuers[0], plan.Issuers[0].Spec.ACME.Solvers[0].DNS01)
	if err != nil || !s.(dnsSolver).Follow {
		t.Errorf("cnameStrategy Follow: %v %v", s, err)
	}
	t.Setenv("AWS_ACCESS_KEY_ID", "")
	if _, err := e.dnsSolver(plan.Issuers[0], &certmanager.DNS01{Route53: &certmanager.Route53{}}); err == nil || !strings.Contains(err.Error(), "AWS_ACCESS_KEY_ID") {
		t.Errorf("no credentials of AWS: %v", err)
	}
}

func TestLoopbackIsForClusterIssuersThatNameIt(t *testing.T) {
	issuer := func(kind string) *issue.Issuer {
		return &issue.Issuer{Key: object.Key{GroupKind: object.GroupKind{Kind: kind}}}
	}
	for server, want := range map[string]bool{
		"127.0.0.1": true, "127.0.0.1:53": true, "[::1]:53": true, "localhost:53": true, "https://127.0.0.1:14000/dir": true, "http://localhost": true,
		"192.0.2.1:53": false, "ns.example.com": false, "https://acme.example/dir": false,
	} {
		if got := namesLoopback(issuer(certmanager.ClusterIssuerKind), server); got != want {
			t.Errorf("%s: %v", server, got)
		}
		if namesLoopback(issuer(certmanager.IssuerKind), server) {
			t.Errorf("%s: an Issuer's may be dialled", server)
		}
	}
}
