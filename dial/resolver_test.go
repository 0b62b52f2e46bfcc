// Tests of the resolver against a name server that misbehaves.

package dial

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// resolverOf asks the servers and no file of the system.
func resolverOf(t testing.TB, servers ...*nameServer) *Resolver {
	t.Helper()
	opts := ResolverOptions{Hosts: filepath.Join(t.TempDir(), "hosts"), Timeout: 20 * time.Second, Attempts: 1}
	for _, s := range servers {
		opts.Servers = append(opts.Servers, s.addr)
	}
	return NewResolver(opts)
}

func addrs(list ...string) []netip.Addr {
	var out []netip.Addr
	for _, a := range list {
		out = append(out, netip.MustParseAddr(a))
	}
	return out
}

func TestLookup(t *testing.T) {
	z := zone{
		".":           {soa(600, 7)},
		"cart.":       {address("cart.", "10.0.0.1", 9), address("cart.", "10.0.0.2", 5)},
		"both.":       {address("both.", "fd00::1", 4), address("both.", "10.0.0.1", 9)},
		"six.":        {address("six.", "fd00::1", 9)},
		"docker.":     {address("docker.", "172.18.0.2", 600)},
		"hurried.":    {address("hurried.", "10.0.0.1", 0)},
		"huge.":       {address("huge.", "10.0.0.1", 1<<31)},
		"alias.":      {cname("alias.", "other.", 3)},
		"other.":      {cname("other.", "cart.", 20)},
		"upper.":      {address("UPPER.", "10.0.0.3", 9)},
		"stranger.":   {address("unrelated.", "10.0.0.4", 9)},
		"twice.":      {address("twice.", "10.0.0.1", 9), address("twice.", "10.0.0.1", 9), address("twice.", "::ffff:10.0.0.1", 9)},
		"empty.":      {},
		"public.":     {address("public.", "93.184.216.34", 9)},
		"mixed.":      {address("mixed.", "93.184.216.34", 9), address("mixed.", "192.168.1.1", 9)},
		"localish.":   {address("localish.", "127.0.0.1", 9)},
		"metadata.":   {address("metadata.", "169.254.169.254", 9)},
		"loopback6.":  {address("loopback6.", "::1", 9)},
		"mapped.":     {address("mapped.", "::ffff:127.0.0.1", 9)},
		"cgnat.":      {address("cgnat.", "100.64.0.1", 9)},
		"broadcast6.": {address("broadcast6.", "ff02::1", 9)},
		"loop.":       {cname("loop.", "pool.", 9)},
		"pool.":       {cname("pool.", "loop.", 9)},
	}
	r := resolverOf(t, serveNames(t, "127.0.0.1", z.reply))
	for _, c := range []struct {
		name  string
		names []string
		want  []netip.Addr
		ttl   time.Duration
		err   error
		text  string
	}{
		{"the smallest TTL counts", []string{"cart"}, addrs("10.0.0.1", "10.0.0.2"), 5 * time.Second, nil, ""},
		{"both families, IPv4 first", []string{"both."}, addrs("10.0.0.1", "fd00::1"), 4 * time.Second, nil, ""},
		{"IPv6 alone", []string{"six"}, addrs("fd00::1"), 9 * time.Second, nil, ""},
		{"a long TTL is cut", []string{"docker"}, addrs("172.18.0.2"), MaxTTL, nil, ""},
		{"a zero TTL is raised", []string{"hurried"}, addrs("10.0.0.1"), MinTTL, nil, ""},
		{"a TTL with the highest bit is zero", []string{"huge"}, addrs("10.0.0.1"), MinTTL, nil, ""},
		{"aliases are followed, with their TTLs", []string{"alias"}, addrs("10.0.0.1", "10.0.0.2"), 3 * time.Second, nil, ""},
		{"names compare without case", []string{"Upper"}, addrs("10.0.0.3"), 9 * time.Second, nil, ""},
		{"records of another name are not believed", []string{"stranger"}, nil, 7 * time.Second, ErrNoAddress, ""},
		{"duplicates are dropped", []string{"twice"}, addrs("10.0.0.1"), 9 * time.Second, nil, ""},
		{"a name without addresses holds as the SOA says", []string{"empty"}, nil, 7 * time.Second, ErrNoAddress, ""},
		{"a name that is not there", []string{"nowhere"}, nil, 7 * time.Second, ErrNoSuchName, "no address for nowhere: no such name"},
		{"the second name where the first is not there", []string{"cart.default", "cart"}, addrs("10.0.0.1", "10.0.0.2"), 5 * time.Second, nil, ""},
		{"the first name where both are there", []string{"both", "cart"}, addrs("10.0.0.1", "fd00::1"), 4 * time.Second, nil, ""},
		{"the second name where the first is public", []string{"public", "six"}, addrs("fd00::1"), 9 * time.Second, nil, ""},
		{"public addresses are not believed", []string{"public"}, nil, 9 * time.Second, ErrNotPrivate, "--backend-dns-cidr 93.184.216.34/32 allows it"},
		{"private ones among public ones are", []string{"mixed"}, addrs("192.168.1.1"), 9 * time.Second, nil, ""},
		{"loopback is not", []string{"localish"}, nil, 9 * time.Second, ErrNotPrivate, "list it in an EndpointSlice"},
		{"loopback of IPv6 is not", []string{"loopback6"}, nil, 9 * time.Second, ErrNotPrivate, "list it in an EndpointSlice"},
		{"loopback in disguise is not", []string{"mapped"}, nil, 9 * time.Second, ErrNotPrivate, ""},
		{"link-local is not", []string{"metadata"}, nil, 9 * time.Second, ErrNotPrivate, ""},
		{"multicast is not", []string{"broadcast6"}, nil, 9 * time.Second, ErrNotPrivate, ""},
		{"shared address space is not", []string{"cgnat"}, nil, 9 * time.Second, ErrNotPrivate, "--backend-dns-cidr 100.64.0.1/32"},
		{"aliases in a loop", []string{"loop"}, nil, failureTTL, errAliases, ""},
		{"a label that is too long", []string{strings.Repeat("a", 64)}, nil, MaxTTL, ErrNoSuchName, "cannot be a name"},
		{"an empty name", []string{""}, nil, MaxTTL, ErrNoSuchName, "cannot be a name"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, ttl, err := r.Lookup(t.Context(), c.names, false)
			if !slices.Equal(got, c.want) || ttl != c.ttl || !errors.Is(err, c.err) {
				t.Errorf("got %v %v %v\nwant %v %v %v", got, ttl, err, c.want, c.ttl, c.err)
			}
			if c.err != nil && !strings.Contains(err.Error(), c.text) {
				t.Errorf("the message %q does not say %q", err, c.text)
			}
			var le *LookupError
			if c.err != nil && !errors.As(err, &le) {
				t.Errorf("%T is no LookupError", err)
			}
		})
	}
}

func TestLookupBelievesWhatIsAllowedButNeverLinkLocalOrLoopback(t *testing.T) {
	z := zone{"public.": {address("public.", "93.184.216.34", 9)}, "bad.": {address("bad.", "169.254.169.254", 9), address("bad.", "127.0.0.1", 9), address("bad.", "0.0.0.0", 9)}}
	s := serveNames(t, "127.0.0.1", z.reply)
	r := NewResolver(ResolverOptions{Servers: []netip.AddrPort{s.addr}, Hosts: "/nowhere", Allow: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}})
	if got, _, err := r.Lookup(t.Context(), []string{"public"}, false); err != nil || len(got) != 1 {
		t.Errorf("got %v %v", got, err)
	}
	if got, _, err := r.Lookup(t.Context(), []string{"bad"}, false); !errors.Is(err, ErrNotPrivate) {
		t.Errorf("got %v %v", got, err)
	}
}

// TestLookupMistrustsAnswers sends what must be passed over before the true answer.
func TestLookupMistrustsAnswers(t *testing.T) {
	z := zone{"cart.": {address("cart.", "10.0.0.1", 9)}}
	forged := zone{"cart.": {address("cart.", "10.6.6.6", 9)}}
	otherName := dnsmessage.Question{Name: dnsmessage.MustNewName("other."), Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET}
	for name, forge := range map[string]func(query dnsmessage.Message) []byte{
		"garbage":  func(dnsmessage.Message) []byte { return []byte("not a message") },
		"nothing":  func(dnsmessage.Message) []byte { return nil },
		"wrong id": func(q dnsmessage.Message) []byte { q.ID++; return forged.message(q) },
		"wrong question": func(q dnsmessage.Message) []byte {
			m := dnsmessage.Message{ID: q.ID, Response: true, Questions: []dnsmessage.Question{otherName}, Answers: forged["cart."]}
			b, _ := m.Pack()
			return b
		},
		"no question": func(q dnsmessage.Message) []byte {
			m := dnsmessage.Message{ID: q.ID, Response: true, Answers: forged["cart."]}
			b, _ := m.Pack()
			return b
		},
		"the query itself": func(q dnsmessage.Message) []byte { b, _ := q.Pack(); return b },
	} {
		t.Run(name, func(t *testing.T) {
			s := serveNames(t, "127.0.0.1", func(_ string, q dnsmessage.Message) [][]byte { return [][]byte{forge(q), z.message(q)} })
			got, _, err := resolverOf(t, s).Lookup(t.Context(), []string{"cart"}, false)
			if err != nil || !slices.Equal(got, addrs("10.0.0.1")) {
				t.Errorf("got %v %v", got, err)
			}
		})
	}
}

func TestLookupAsksOverTCPWhatDoesNotFitADatagram(t *testing.T) {
	var many []dnsmessage.Resource
	for i := range 200 {
		many = append(many, address("many.", netip.AddrFrom4([4]byte{10, 1, 0, byte(i)}).String(), 9))
	}
	z := zone{"many.": many}
	s := serveNames(t, "127.0.0.1", func(network string, q dnsmessage.Message) [][]byte {
		if network == "tcp" {
			return [][]byte{z.message(q)}
		}
		m := dnsmessage.Message{ID: q.ID, Response: true, Truncated: true, Questions: q.Questions}
		b, _ := m.Pack()
		return [][]byte{b}
	})
	got, _, err := resolverOf(t, s).Lookup(t.Context(), []string{"many"}, false)
	if err != nil || len(got) != maxAddresses || s.tcp.Load() == 0 {
		t.Errorf("got %d addresses, %v, %d queries over TCP", len(got), err, s.tcp.Load())
	}
}

func TestLookupFollowsAnAliasThatTheServerDoesNot(t *testing.T) {
	z := zone{"end.": {address("end.", "10.0.0.1", 8)}}
	s := serveNames(t, "127.0.0.1", func(_ string, q dnsmessage.Message) [][]byte {
		if q.Questions[0].Name.String() == "end." {
			return [][]byte{z.message(q)}
		}
		m := dnsmessage.Message{ID: q.ID, Response: true, Questions: q.Questions, Answers: []dnsmessage.Resource{cname("start.", "end.", 6)}}
		b, _ := m.Pack()
		return [][]byte{b}
	})
	got, ttl, err := resolverOf(t, s).Lookup(t.Context(), []string{"start"}, false)
	if err != nil || !slices.Equal(got, addrs("10.0.0.1")) || ttl != 6*time.Second {
		t.Errorf("got %v %v %v", got, ttl, err)
	}
}

func TestLookupAsksTheNextServer(t *testing.T) {
	z := zone{"cart.": {address("cart.", "10.0.0.1", 9)}}
	good := serveNames(t, "127.0.0.1", z.reply)
	failing := func(code dnsmessage.RCode, question bool) reply {
		return func(_ string, q dnsmessage.Message) [][]byte {
			m := dnsmessage.Message{ID: q.ID, Response: true, RCode: code}
			if question {
				m.Questions = q.Questions
			}
			b, _ := m.Pack()
			return [][]byte{b}
		}
	}
	for name, bad := range map[string]reply{
		"when one fails":            failing(dnsmessage.RCodeServerFailure, true),
		"when one refuses":          failing(dnsmessage.RCodeRefused, true),
		"when one understands none": failing(dnsmessage.RCodeFormatError, false),
		"when one says nothing":     func(string, dnsmessage.Message) [][]byte { return nil },
		"when one breaks its answer": func(_ string, q dnsmessage.Message) [][]byte {
			m := z.message(q)
			if q.Questions[0].Type == dnsmessage.TypeA {
				m = m[:len(m)-2]
			}
			return [][]byte{m}
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := resolverOf(t, serveNames(t, "127.0.0.1", bad), good)
			if strings.Contains(name, "nothing") {
				r.opts.Timeout, r.opts.Attempts = 50*time.Millisecond, 500 // the other one may be late, too
			}
			got, _, err := r.Lookup(t.Context(), []string{"cart"}, false)
			if err != nil || !slices.Equal(got, addrs("10.0.0.1")) {
				t.Errorf("got %v %v", got, err)
			}
		})
	}
	r := resolverOf(t, serveNames(t, "127.0.0.1", failing(dnsmessage.RCodeServerFailure, true)))
	_, ttl, err := r.Lookup(t.Context(), []string{"cart"}, false)
	if ttl != failureTTL || err == nil || !strings.Contains(err.Error(), "name server 127.0.0.1:") || !strings.Contains(err.Error(), "ServerFailure") {
		t.Errorf("got %v %v", ttl, err)
	}
}

func TestLookupTriesAgainAfterSilence(t *testing.T) {
	z := zone{"cart.": {address("cart.", "10.0.0.1", 9)}}
	var asked atomic.Int32
	s := serveNames(t, "127.0.0.1", func(_ string, q dnsmessage.Message) [][]byte {
		if asked.Add(1) <= 2 { // the first try of both families
			return nil
		}
		return [][]byte{z.message(q)}
	})
	r := resolverOf(t, s)
	r.opts.Timeout, r.opts.Attempts = 100*time.Millisecond, 500
	if got, _, err := r.Lookup(t.Context(), []string{"cart"}, false); err != nil || len(got) != 1 {
		t.Errorf("got %v %v", got, err)
	}
}

func TestLookupDoesWithoutEDNSWhereAServerIsOld(t *testing.T) {
	z := zone{"cart.": {address("cart.", "10.0.0.1", 9)}}
	s := serveNames(t, "127.0.0.1", func(_ string, q dnsmessage.Message) [][]byte {
		if len(q.Additionals) == 0 {
			return [][]byte{z.message(q)}
		}
		if q.Additionals[0].Header.Class != datagram {
			t.Errorf("the query allows %d bytes", q.Additionals[0].Header.Class)
		}
		m := dnsmessage.Message{ID: q.ID, Response: true, RCode: dnsmessage.RCodeFormatError}
		b, _ := m.Pack()
		return [][]byte{b}
	})
	if got, _, err := resolverOf(t, s).Lookup(t.Context(), []string{"cart"}, false); err != nil || len(got) != 1 {
		t.Errorf("got %v %v", got, err)
	}
}

func TestLookupUsesOneFamilyWhereTheOtherFails(t *testing.T) {
	z := zone{"cart.": {address("cart.", "10.0.0.1", 9)}}
	s := serveNames(t, "127.0.0.1", func(_ string, q dnsmessage.Message) [][]byte {
		if q.Questions[0].Type == dnsmessage.TypeA {
			return [][]byte{z.message(q)}
		}
		m := dnsmessage.Message{ID: q.ID, Response: true, RCode: dnsmessage.RCodeServerFailure, Questions: q.Questions}
		b, _ := m.Pack()
		return [][]byte{b}
	})
	if got, _, err := resolverOf(t, s).Lookup(t.Context(), []string{"cart"}, false); err != nil || !slices.Equal(got, addrs("10.0.0.1")) {
		t.Errorf("got %v %v", got, err)
	}
}

func TestLookupEndsWithItsContext(t *testing.T) {
	arrived := make(chan struct{}, 16)
	s := serveNames(t, "127.0.0.1", func(string, dnsmessage.Message) [][]byte { arrived <- struct{}{}; return nil })
	r := resolverOf(t, s)
	r.opts.Timeout = time.Hour
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, _, err := r.Lookup(ctx, []string{"cart.default", "cart"}, false)
		done <- err
	}()
	<-arrived
	cancel()
	select {
	case err := <-done:
		if !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	case <-time.After(time.Minute):
		t.Error("the lookup goes on")
	}
	// A lookup that waits for its turn ends, too.
	for range maxLookups {
		r.slots <- struct{}{}
	}
	if _, _, err := r.Lookup(ctx, []string{"cart"}, false); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestLookupOverIPv6(t *testing.T) {
	z := zone{"cart.": {address("cart.", "fd00::1", 9)}}
	if got, _, err := resolverOf(t, serveNames(t, "::1", z.reply)).Lookup(t.Context(), []string{"cart"}, false); err != nil || !slices.Equal(got, addrs("fd00::1")) {
		t.Errorf("got %v %v", got, err)
	}
}

func TestHostsFileComesFirstAndIsReadAgainWhenItChanges(t *testing.T) {
	s := serveNames(t, "127.0.0.1", zone{"cart.": {address("cart.", "10.0.0.1", 9)}}.reply)
	r := resolverOf(t, s)
	lookup := func(want string) {
		t.Helper()
		if got, _, err := r.Lookup(t.Context(), []string{"Cart"}, false); err != nil || !slices.Equal(got, addrs(want)) {
			t.Errorf("got %v %v, want %s", got, err, want)
		}
	}
	lookup("10.0.0.1")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(r.opts.Hosts, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	asked := s.udp.Load()
	write("127.0.0.1 localhost\n10.2.0.1\tcart.default CART # a comment\n")
	lookup("10.2.0.1")
	if s.udp.Load() != asked {
		t.Error("the name server was asked nevertheless")
	}
	write("10.2.0.22 cart\n")
	lookup("10.2.0.22")
	if err := os.Remove(r.opts.Hosts); err != nil {
		t.Fatal(err)
	}
	lookup("10.0.0.1")
}

func TestResolvConfNamesTheServers(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       resolvConf
	}{
		{"as Docker writes it", "nameserver 127.0.0.11\noptions ndots:0 edns0\nsearch example.com\n", resolvConf{servers: servers("127.0.0.11:53")}},
		{"with options", "nameserver 10.0.0.1\nnameserver fd00::53\noptions timeout:3 attempts:4\n", resolvConf{servers("10.0.0.1:53", "[fd00::53]:53"), 3 * time.Second, 4}},
		{"with a zone", "nameserver fe80::1%eth0\n", resolvConf{servers: servers("[fe80::1%eth0]:53")}},
		{"no more than three servers", "nameserver 1.1.1.1\nnameserver 1.1.1.2\nnameserver 1.1.1.3\nnameserver 1.1.1.4\n", resolvConf{servers: servers("1.1.1.1:53", "1.1.1.2:53", "1.1.1.3:53")}},
		{"with nonsense", "nameserver\nnameserver x\n; nameserver 1.1.1.1\n# x\noptions timeout:x attempts timeout:-1 attempts:999\n\x00", resolvConf{timeout: time.Second, attempts: 5}},
		{"empty", "", resolvConf{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := parseResolvConf(c.text)
			if !slices.Equal(got.servers, c.want.servers) || got.timeout != c.want.timeout || got.attempts != c.want.attempts {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
	empty := resolvConf{}
	if got := empty.serversOrDefault(); !slices.Equal(got, servers("127.0.0.1:53")) {
		t.Errorf("without a file: %v", got)
	}
}

func servers(list ...string) []netip.AddrPort {
	var out []netip.AddrPort
	for _, s := range list {
		out = append(out, netip.MustParseAddrPort(s))
	}
	return out
}

func FuzzParseAnswer(f *testing.F) {
	q, err := newQuestion("cart", dnsmessage.TypeA)
	if err != nil {
		f.Fatal(err)
	}
	query := dnsmessage.Message{ID: 7, Questions: []dnsmessage.Question{q}}
	for _, z := range []zone{
		{".": {soa(600, 7)}, "cart.": {address("cart.", "10.0.0.1", 9)}},
		{"cart.": {cname("cart.", "other.", 3)}, "other.": {address("other.", "10.0.0.1", 9)}},
		{"cart.": {cname("cart.", "cart.", 3)}},
		{".": {soa(1, 1)}},
	} {
		f.Add(z.message(query))
	}
	f.Fuzz(func(t *testing.T, msg []byte) {
		a, err := parseAnswer(msg, 7, q)
		switch {
		case err != nil && (a.addrs != nil || a.alias != ""):
			t.Errorf("an error with an answer: %+v %v", a, err)
		case a.noSuchName && len(a.addrs) > 0, a.ttl > MaxTTL, a.ttl < 0:
			t.Errorf("%+v", a)
		}
	})
}

func FuzzParseFiles(f *testing.F) {
	f.Add("nameserver 127.0.0.11\noptions timeout:3\n")
	f.Add("10.0.0.1 a b # c\n\n")
	f.Fuzz(func(t *testing.T, text string) {
		if c := parseResolvConf(text); len(c.servers) > maxServers || c.timeout < 0 || c.attempts < 0 {
			t.Errorf("%+v", c)
		}
		for name, list := range parseHosts(text) {
			if name != strings.ToLower(name) || len(list) == 0 {
				t.Errorf("%q: %v", name, list)
			}
		}
	})
}

func TestHostsThatObjectsNameMayBeAnywhereButHere(t *testing.T) {
	s := serveNames(t, "127.0.0.1", zone{
		"public.":  {address("public.", "203.0.113.9", 9)},
		"private.": {address("private.", "10.0.0.1", 9)},
		"self.":    {address("self.", "127.0.0.1", 9)},
		"mapped.":  {address("mapped.", "::ffff:127.0.0.1", 9)},
		"cloud.":   {address("cloud.", "169.254.169.254", 9)},
	}.reply)
	r := resolverOf(t, s)
	for name, want := range map[string]string{"public": "203.0.113.9", "private": "10.0.0.1", "self": "", "mapped": "", "cloud": ""} {
		got, _, err := r.Lookup(t.Context(), []string{name}, true)
		if want == "" && !errors.Is(err, ErrNotPrivate) || want != "" && (err != nil || !slices.Equal(got, addrs(want))) {
			t.Errorf("%s: %v %v", name, got, err)
		}
	}
}
