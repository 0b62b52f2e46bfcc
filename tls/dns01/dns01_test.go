// Records through every provider: dynamic updates against a name server that takes them, the others against servers that speak their APIs.

package dns01

import (
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
)

const (
	keyName   = "update."
	keySecret = "c2VjcmV0IGZvciB0aGUgdGVzdHM="
	shop      = "_acme-challenge.shop.example.com"
)

// nameServer serves zone example.com, and takes updates of it that are signed with the key.
type nameServer struct {
	addr string

	mu   sync.Mutex
	txts map[string][]string // by name
}

func newNameServer(t *testing.T) *nameServer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n := &nameServer{addr: l.Addr().String(), txts: map[string][]string{}}
	server := &dns.Server{
		Listener: l, TsigProvider: &TSIG{Secret: keySecret}, Handler: dns.HandlerFunc(n.serve),
		MsgAcceptFunc: func(dns.Header) dns.MsgAcceptAction { return dns.MsgAccept },
	}
	go server.ActivateAndServe()
	t.Cleanup(func() { _ = server.Shutdown() })
	return n
}

func (n *nameServer) serve(w dns.ResponseWriter, q *dns.Msg) {
	n.mu.Lock()
	defer n.mu.Unlock()
	a := new(dns.Msg)
	a.SetReply(q)
	name := strings.TrimSuffix(q.Question[0].Name, ".")
	switch {
	case q.Opcode == dns.OpcodeUpdate && (q.IsTsig() == nil || w.TsigStatus() != nil):
		a.Rcode = dns.RcodeRefused
	case q.Opcode == dns.OpcodeUpdate:
		n.update(q)
	case !strings.HasSuffix(name, "example.com"):
		a.Rcode = dns.RcodeRefused
	case q.Question[0].Qtype == dns.TypeTXT:
		for _, text := range n.txts[name] {
			a.Answer = append(a.Answer, record(name, text))
		}
	default:
		soa, err := dns.NewRR("example.com. 60 IN SOA ns.example.com. ops.example.com. 1 60 60 60 60")
		if err != nil {
			panic(err)
		}
		a.Ns = []dns.RR{soa}
	}
	if tsig := q.IsTsig(); tsig != nil && w.TsigStatus() == nil {
		a.SetTsig(tsig.Hdr.Name, tsig.Algorithm, clockSkew, time.Now().Unix())
	}
	_ = w.WriteMsg(a)
}

// update does what RFC 2136 section 3.4.2 says of records that are added and deleted.
func (n *nameServer) update(q *dns.Msg) {
	for _, rr := range q.Ns {
		txt, ok := rr.(*dns.TXT)
		if !ok {
			continue
		}
		name, text := strings.TrimSuffix(txt.Hdr.Name, "."), strings.Join(txt.Txt, "")
		if txt.Hdr.Class == dns.ClassNONE {
			n.txts[name] = slices.DeleteFunc(n.txts[name], func(v string) bool { return v == text })
		} else {
			n.txts[name] = append(n.txts[name], text)
		}
	}
}

func (n *nameServer) values(name string) []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.txts[name])
}

// local reaches everything directly, and knows no names.
func local() Network {
	return Network{Dial: (&net.Dialer{}).DialContext, Resolver: &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		return nil, errors.New("no resolver here")
	}}}
}

// exercise adds two values to a name, and removes them again; values gives what the service has.
func exercise(t *testing.T, p Provider, values func() []string) {
	t.Helper()
	step := func(what string, err error, want ...string) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if got := values(); !slices.Equal(got, want) {
			t.Fatalf("%s: the service has %q, want %q", what, got, want)
		}
	}
	ctx := t.Context()
	step("the first value", p.Add(ctx, shop, "one"), "one")
	step("a second value, of a wildcard's order", p.Add(ctx, shop, "two"), "one", "two")
	step("the first is done", p.Remove(ctx, shop, "one"), "two")
	step("again", p.Remove(ctx, shop, "one"), "two")
	step("the second is done", p.Remove(ctx, shop, "two"))
	step("again", p.Remove(ctx, shop, "two"))
}

func TestRFC2136(t *testing.T) {
	for _, algorithm := range []string{"", "HMACMD5", "HMACSHA1", "HMACSHA256", "HMACSHA512"} {
		t.Run(algorithm, func(t *testing.T) {
			n := newNameServer(t)
			exercise(t, &RFC2136{Network: local(), Server: n.addr, Key: &TSIG{"Update", algorithm, keySecret}}, func() []string { return n.values(shop) })
		})
	}
}

func TestRFC2136Refusals(t *testing.T) {
	n := newNameServer(t)
	for name, c := range map[string]struct {
		record string
		key    *TSIG
		want   string
	}{
		"no key":       {shop, nil, "refuses the update of zone example.com.: REFUSED"},
		"wrong key":    {shop, &TSIG{"update", "HMACSHA256", "d3Jvbmc="}, "REFUSED"},
		"not base64":   {shop, &TSIG{"update", "HMACSHA256", "?"}, "the TSIG secret is not base64"},
		"another zone": {"_acme-challenge.shop.example.org", &TSIG{"update", "HMACSHA256", keySecret}, "has no zone for _acme-challenge.shop.example.org (REFUSED)"},
	} {
		err := (&RFC2136{Network: local(), Server: n.addr, Key: c.key}).Add(t.Context(), c.record, "one")
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

func TestServersOfRFC2136(t *testing.T) {
	for text, want := range map[string]string{
		"10.0.0.2": "10.0.0.2:53", "10.0.0.2:5353": "10.0.0.2:5353", "ns.example.com": "ns.example.com:53", "[2001:db8::1]": "[2001:db8::1]:53", "[2001:db8::1]:54": "[2001:db8::1]:54",
	} {
		if got := (&RFC2136{Server: text}).server(); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
}

// service is a DNS service's API in a test.
type service struct {
	mu     sync.Mutex
	next   int
	values map[string]string // by the number of the record
	order  []string
}

func newService() *service { return &service{values: map[string]string{}} }

func (s *service) add(value string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.next++
	id := fmt.Sprint(s.next)
	s.values[id] = value
	s.order = append(s.order, id)
	return id
}

func (s *service) remove(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.values, id)
	s.order = slices.DeleteFunc(s.order, func(o string) bool { return o == id })
}

func (s *service) each(f func(id, value string)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range s.order {
		f(id, s.values[id])
	}
}

func (s *service) list() (values []string) {
	s.each(func(_, v string) { values = append(values, unquote(v)) })
	return values
}

func serve(t *testing.T, mux *http.ServeMux) string {
	t.Helper()
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server.URL
}

func decode(t *testing.T, r *http.Request) (tree map[string]any) {
	t.Helper()
	if err := json.NewDecoder(r.Body).Decode(&tree); err != nil {
		t.Error(err)
	}
	return tree
}

func TestCloudflare(t *testing.T) {
	s, mux := newService(), http.NewServeMux()
	answer := func(w http.ResponseWriter, result any) {
		_ = json.NewEncoder(w).Encode(map[string]any{"success": true, "result": result})
	}
	mux.HandleFunc("GET /zones", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer token" && r.Header.Get("X-Auth-Key") != "key" {
			http.Error(w, `{"success":false,"errors":[{"message":"Invalid access token"}]}`, http.StatusForbidden)
			return
		}
		zones := []any{}
		if r.URL.Query().Get("name") == "example.com" {
			zones = append(zones, map[string]string{"id": "z1"})
		}
		answer(w, zones)
	})
	mux.HandleFunc("GET /zones/z1/dns_records", func(w http.ResponseWriter, r *http.Request) {
		records := []any{}
		if q := r.URL.Query(); q.Get("type") == "TXT" && q.Get("name") == shop {
			s.each(func(id, v string) { records = append(records, map[string]string{"id": id, "content": v}) })
		}
		answer(w, records)
	})
	mux.HandleFunc("POST /zones/z1/dns_records", func(w http.ResponseWriter, r *http.Request) {
		if in := decode(t, r); in["type"] == "TXT" && in["name"] == shop {
			answer(w, map[string]string{"id": s.add(in["content"].(string))})
		}
	})
	mux.HandleFunc("DELETE /zones/z1/dns_records/{id}", func(w http.ResponseWriter, r *http.Request) {
		s.remove(r.PathValue("id"))
		answer(w, nil)
	})
	url := serve(t, mux)
	exercise(t, &Cloudflare{Network: local(), Token: "token", Endpoint: url}, s.list)
	exercise(t, &Cloudflare{Network: local(), Email: "ops@example.com", Key: "key", Endpoint: url}, s.list)
	err := (&Cloudflare{Network: local(), Token: "old", Endpoint: url}).Add(t.Context(), shop, "x")
	if err == nil || !strings.Contains(err.Error(), "403 Forbidden") || !strings.Contains(err.Error(), "Invalid access token") {
		t.Errorf("a token that is not valid: %v", err)
	}
	if err := (&Cloudflare{Network: local(), Token: "token", Endpoint: url}).Add(t.Context(), "_acme-challenge.example.org", "x"); err == nil || !strings.Contains(err.Error(), "no zone") {
		t.Errorf("a zone of others: %v", err)
	}
}

func TestDigitalOcean(t *testing.T) {
	s, mux := newService(), http.NewServeMux()
	mux.HandleFunc("GET /domains/{name}", func(w http.ResponseWriter, r *http.Request) {
		if r.PathValue("name") != "example.com" || r.Header.Get("Authorization") != "Bearer token" {
			http.Error(w, `{"id":"not_found"}`, http.StatusNotFound)
			return
		}
		_, _ = io.WriteString(w, `{}`)
	})
	mux.HandleFunc("POST /domains/example.com/records", func(w http.ResponseWriter, r *http.Request) {
		in := decode(t, r)
		if in["name"] != "_acme-challenge.shop" {
			t.Errorf("name %v", in["name"])
		}
		s.add(in["data"].(string))
	})
	mux.HandleFunc("GET /domains/example.com/records", func(w http.ResponseWriter, _ *http.Request) {
		records := []any{}
		s.each(func(id, v string) { records = append(records, map[string]any{"id": json.Number(id), "data": v}) })
		_ = json.NewEncoder(w).Encode(map[string]any{"domain_records": records})
	})
	mux.HandleFunc("DELETE /domains/example.com/records/{id}", func(w http.ResponseWriter, r *http.Request) {
		s.remove(r.PathValue("id"))
		w.WriteHeader(http.StatusNoContent)
	})
	url := serve(t, mux)
	exercise(t, &DigitalOcean{Network: local(), Token: "token", Endpoint: url}, s.list)
	if err := (&DigitalOcean{Network: local(), Token: "token", Endpoint: url}).Add(t.Context(), "_acme-challenge.example.org", "x"); err == nil || !strings.Contains(err.Error(), "no domain") {
		t.Errorf("a domain of others: %v", err)
	}
}

func TestRoute53(t *testing.T) {
	const namespace = `xmlns="https://route53.amazonaws.com/doc/2013-04-01/"`
	var set recordSet
	asked := 0
	mux := http.NewServeMux()
	mux.HandleFunc("GET /2013-04-01/hostedzonesbyname", func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.Header.Get("Authorization"), "AWS4-HMAC-SHA256 Credential=id/") || r.Header.Get("X-Amz-Security-Token") != "session" {
			http.Error(w, "<ErrorResponse/>", http.StatusForbidden)
			return
		}
		fmt.Fprintf(w, `<R %s><HostedZones>
			<HostedZone><Id>/hostedzone/PRIVATE</Id><Name>example.com.</Name><Config><PrivateZone>true</PrivateZone></Config></HostedZone>
			<HostedZone><Id>/hostedzone/Z1</Id><Name>example.com.</Name></HostedZone></HostedZones></R>`, namespace)
	})
	mux.HandleFunc("GET /2013-04-01/hostedzone/Z1/rrset", func(w http.ResponseWriter, _ *http.Request) {
		found := set
		if len(found.Records) == 0 { // the next one in the zone
			found = recordSet{Name: "www.example.com.", Type: "TXT", TTL: 1, Records: []resourceRecord{{`"other"`}}}
		}
		text, err := xml.Marshal(found)
		if err != nil {
			t.Error(err)
		}
		inner := strings.NewReplacer("<recordSet>", "<ResourceRecordSet>", "</recordSet>", "</ResourceRecordSet>").Replace(string(text))
		fmt.Fprintf(w, `<R %s><ResourceRecordSets>%s</ResourceRecordSets></R>`, namespace, inner)
	})
	mux.HandleFunc("POST /2013-04-01/hostedzone/Z1/rrset/", func(w http.ResponseWriter, r *http.Request) {
		var c change
		if err := xml.NewDecoder(r.Body).Decode(&c); err != nil {
			t.Error(err)
		}
		switch c.Action {
		case "UPSERT":
			set = c.Set
		case "DELETE":
			if !slices.Equal(c.Set.Records, set.Records) || c.Set.TTL != set.TTL {
				t.Errorf("deletes %v, and there is %v", c.Set, set)
			}
			set = recordSet{}
		}
		fmt.Fprintf(w, `<R %s><ChangeInfo><Id>/change/C1</Id><Status>PENDING</Status></ChangeInfo></R>`, namespace)
	})
	mux.HandleFunc("GET /2013-04-01/change/C1", func(w http.ResponseWriter, _ *http.Request) {
		asked++
		fmt.Fprintf(w, `<R %s><ChangeInfo><Id>/change/C1</Id><Status>INSYNC</Status></ChangeInfo></R>`, namespace)
	})
	p := &Route53{
		Network: local(), Endpoint: serve(t, mux), Lock: &sync.Mutex{},
		Credentials: AWSCredentials{AccessKeyID: "id", SecretAccessKey: "secret", SessionToken: "session"},
	}
	exercise(t, p, func() (values []string) {
		for _, r := range set.Records {
			values = append(values, unquote(r.Value))
		}
		return values
	})
	if asked != 2 {
		t.Errorf("whether a change is in sync was asked %d times, want once for each value that was added", asked)
	}
}

// The example get-vanilla of the signature's published test suite.
func TestSignatureOfAWS(t *testing.T) {
	q, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://example.amazonaws.com/", nil)
	if err != nil {
		t.Fatal(err)
	}
	c := AWSCredentials{AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"}
	c.sign(q, nil, "us-east-1", "service", time.Date(2015, 8, 30, 12, 36, 0, 0, time.UTC))
	const want = "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders=host;x-amz-date, " +
		"Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"
	if got := q.Header.Get("Authorization"); got != want {
		t.Errorf("signed with\n%s, want\n%s", got, want)
	}
}

func TestACMEDNS(t *testing.T) {
	var values []string
	mux := http.NewServeMux()
	mux.HandleFunc("POST /update", func(w http.ResponseWriter, r *http.Request) {
		in := decode(t, r)
		if r.Header.Get("X-Api-User") != "user" || r.Header.Get("X-Api-Key") != "password" || in["subdomain"] != "sub" {
			http.Error(w, `{"error":"forbidden"}`, http.StatusUnauthorized)
			return
		}
		values = append(values, in["txt"].(string))
	})
	accounts, err := ParseACMEDNSAccounts([]byte(`{"shop.example.com": {"username": "user", "password": "password", "fulldomain": "sub.auth.example.org", "subdomain": "sub", "allowfrom": []}}`))
	if err != nil {
		t.Fatal(err)
	}
	p := &ACMEDNS{Network: local(), Host: serve(t, mux) + "/", Accounts: accounts}
	if err := p.Add(t.Context(), shop, "one"); err != nil || !slices.Equal(values, []string{"one"}) {
		t.Errorf("%v %q", err, values)
	}
	if err := p.Remove(t.Context(), shop, "one"); err != nil {
		t.Error(err)
	}
	if err := p.Add(t.Context(), "_acme-challenge.api.example.com", "one"); err == nil || !strings.Contains(err.Error(), "no account for api.example.com") {
		t.Errorf("a host without an account: %v", err)
	}
	if _, err := ParseACMEDNSAccounts([]byte("[]")); err == nil {
		t.Error("a list is no object of accounts")
	}
}
