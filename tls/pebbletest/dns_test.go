// DNS-01 by dynamic updates: a name server that takes them, and shows the authority what they set.

package pebbletest

import (
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

const tsigSecret = "YSBzZWNyZXQgb2YgdGhlIHRlc3RzJw=="

// updates starts a name server for example.com that hands the TXT records of updates to the authority's DNS server. It is the address.
func updates(t *testing.T, a *authority) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	handler := func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg)
		m.SetReply(q)
		signed := q.IsTsig() != nil && w.TsigStatus() == nil
		switch {
		case !signed:
			m.Rcode = dns.RcodeRefused
		case q.Opcode == dns.OpcodeUpdate:
			for _, rr := range q.Ns {
				if txt, ok := rr.(*dns.TXT); ok && txt.Hdr.Class == dns.ClassNONE {
					a.dns.DeleteDNSTXTRecord(txt.Hdr.Name)
				} else if ok {
					a.dns.AddDNSTXTRecord(txt.Hdr.Name, strings.Join(txt.Txt, ""))
				}
			}
		default:
			soa, err := dns.NewRR("example.com. 60 IN SOA ns.example.com. ops.example.com. 1 60 60 60 60")
			if err != nil {
				t.Error(err)
			}
			m.Ns = []dns.RR{soa}
		}
		if signed {
			m.SetTsig(q.IsTsig().Hdr.Name, q.IsTsig().Algorithm, 300, int64(q.IsTsig().TimeSigned)) //nolint:gosec // seconds
		}
		_ = w.WriteMsg(m)
	}
	server := &dns.Server{
		Listener: l, TsigSecret: map[string]string{"wicketgate.": tsigSecret}, Handler: dns.HandlerFunc(handler),
		MsgAcceptFunc: func(dns.Header) dns.MsgAcceptAction { return dns.MsgAccept },
	}
	go server.ActivateAndServe()
	t.Cleanup(func() { _ = server.Shutdown() })
	return l.Addr().String()
}

// A wildcard and its parent are proved under one name, with two values at a time.
func TestDNS01ByDynamicUpdates(t *testing.T) {
	a := newAuthority(t, settings{})
	solver := fmt.Sprintf(`    solvers: [{selector: {dnsZones: [example.com]}, dns01: {rfc2136: {nameserver: "%s", tsigKeyName: wicketgate,
      tsigAlgorithm: HMACSHA256, tsigSecretSecretRef: {name: tsig, key: secret}}}}]
`, updates(t, a))
	wildcard := strings.NewReplacer("hostname: shop.example.com", "hostname: example.com", "hostname: api.example.com", `hostname: "*.example.com"`)
	config := directory(t, "gateway.yaml", fmt.Sprintf(wildcard.Replace(listeners), "cert-manager.io/cluster-issuer: pebble"),
		"issuer.yaml", issuer(t, a, solver),
		"tsig.yaml", "apiVersion: v1\nkind: Secret\nmetadata: {name: tsig, namespace: cert-manager}\nstringData: {secret: "+tsigSecret+"}\n")
	g := start(t, a, config, t.TempDir(), "--dns-server", a.resolver)
	leaf := g.untilIssued(a, "shop.example.com")
	if !slices.Contains(leaf.DNSNames, "*.example.com") || !slices.Contains(leaf.DNSNames, "example.com") {
		t.Errorf("the certificate is for %v", leaf.DNSNames)
	}
	if strings.Contains(g.log.String(), "cannot be seen from here") {
		t.Error("the record was not waited for")
	}
}
