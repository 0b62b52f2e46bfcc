// The index compared with the oracle: every pair of routes of a representative kind, and tables made at random of
// few words, so that collisions are frequent.

package router

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// paths of one representative kind each, requests' and routes'.
var (
	hostPairs = [][2]string{ // Hostname, Declared
		{"", ""},
		{"a.x", "a.x"},
		{"a.x", "*.x"},
		{"a.x", ""},
		{"*.x", "*.x"},
		{"*.x", ""},
		{"*.a.x", "*.a.x"},
		{"*.a.x", "*.x"},
		{"b.a.x", "b.a.x"},
		{"x", "x"},
		{"y", ""},
	}
	routePaths = []Match{
		{Path: "/"},
		{Path: "/a"},
		{Path: "/a/"},
		{Path: "/a/b"},
		{Path: "/ab"},
		{Path: "/a/b/a"},
		{Path: "/a-b"},
		{Path: "/b/a/b"},
		{PathType: Exact, Path: "/"},
		{PathType: Exact, Path: "/a"},
		{PathType: Exact, Path: "/a/"},
		{PathType: Exact, Path: "/a/b"},
		{PathType: RegularExpression, Path: "/a"},
		{PathType: RegularExpression, Path: "/b"},
		{PathType: RegularExpression, Path: "/a/[ab]"},
		{PathType: RegularExpression, Path: "/[ab]/b"},
		{PathType: RegularExpression, Path: "/a.*"},
		{PathType: RegularExpression, Path: ".*"},
		{PathType: RegularExpression, Path: "^/ab?$"},
		{PathType: RegularExpression, Path: "(?i)/A"},
		{PathType: RegularExpression, Path: "/a/b|/b"},
		{PathType: GRPC},
		{PathType: GRPC, Call: Call{Service: "a", Method: "b"}},
		{PathType: GRPC, Call: Call{Service: "a"}},
		{PathType: GRPC, Call: Call{Service: "b"}},
		{PathType: GRPC, Call: Call{Service: "a/b"}},
		{PathType: GRPC, Call: Call{Method: "b"}},
		{PathType: GRPC, Call: Call{Method: "ab"}},
		{PathType: GRPC, Call: Call{Service: "[ab]", Regex: true}},
		{PathType: GRPC, Call: Call{Service: "[ba]", Method: "b|ab", Regex: true}},
		{PathType: GRPC, Call: Call{Service: "a.*", Method: ".", Regex: true}},
		{PathType: GRPC, Call: Call{Method: "b?", Regex: true}},
		{PathType: GRPC, Call: Call{Method: "a?b", Regex: true}},
		{PathType: GRPC, Call: Call{Regex: true}},
	}
	requestPaths = []string{"/", "/a", "/a/", "/A", "/b", "/ab", "/abc", "/a-b", "/a/b", "/a/b/", "/a/b/a", "/a/ab", "/a//b", "/b/b", "/b/a/b", "/b/a/bb", "*", ""}
	requestHosts = []string{"", "x", "y", "a.x", "b.x", "b.a.x", "c.b.a.x", ".x", ".a.x", "a..x", "a.y", "x."}
	methods      = []string{"GET", "POST"}
	headerTests  = []Predicate{
		{Name: "H", Value: "1"}, {Name: "h", Value: "2"}, {Name: "h", Value: "1, 2"}, {Name: "h", Value: "[12]", Regex: true}, {Name: "G", Value: "1"}, {Name: "g", Value: ".*", Regex: true},
	}
	queryTests = []Predicate{
		{Name: "q", Value: "1"}, {Name: "q", Value: "a b"}, {Name: "q", Value: "[^1]*", Regex: true}, {Name: "Q", Value: "1"}, {Name: "p q", Value: "1"}, {Name: "p q", Value: ""},
	}
	headerLists = []fields{nil, {}, {{"H", "1"}}, {{"h", "2"}}, {{"h", "1"}, {"H", "2"}}, {{"G", "1"}}, {{"g", "x"}, {"H", "1"}}, {{"h", ""}}}
	queries     = []string{"", "q=1", "q=2&q=1", "q=1&q=2", "q=a+b", "q=a%20b", "%71=1", "Q=1&&q=", "q", "p+q=1", "p%20q&q=a%2", "p%20q=1&Q=1&q=a%20b", "=&=1"}
)

func TestEveryPairOfRoutesAgreesWithTheOracle(t *testing.T) {
	matches := make([]Match, 0, len(routePaths)*2)
	for i, m := range routePaths {
		matches = append(matches, m)
		switch i % 3 {
		case 0:
			m.Method = "GET"
		case 1:
			m.Headers = headerTests[:1]
		default:
			m.Query = queryTests[:1]
		}
		matches = append(matches, m)
	}
	var requests []request
	for _, host := range []string{"a.x", "b.a.x", "y"} {
		for _, path := range requestPaths {
			requests = append(requests, request{host: host, path: path, method: "GET", header: headerLists[2], query: "q=1", grpc: true},
				request{host: host, path: path, method: "POST", header: headerLists[5]})
		}
	}
	for i, a := range matches {
		for j, b := range matches {
			hosts := [2][2]string{hostPairs[(i+j)%len(hostPairs)], hostPairs[(i*j)%len(hostPairs)]}
			if (i+j)%2 == 0 {
				hosts[1] = hosts[0]
			}
			routes := []Route[int]{
				{Hostname: hosts[0][0], Declared: hosts[0][1], Match: a, Order: 1, Value: 1},
				{Hostname: hosts[1][0], Declared: hosts[1][1], Match: b, Order: 0, Value: 0},
			}
			if err := check(routes, requests); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestEveryHostnameAgreesWithTheOracle(t *testing.T) {
	var routes []Route[int]
	for _, pair := range hostPairs {
		for _, path := range []string{"/", "/a", "/a/b"} {
			n := len(routes)
			routes = append(routes, Route[int]{Hostname: pair[0], Declared: pair[1], Match: Match{Path: path, Method: methods[n%2]}, Order: n, Value: n})
		}
	}
	var requests []request
	for _, host := range requestHosts {
		for _, path := range requestPaths {
			for _, method := range methods {
				requests = append(requests, request{host: host, path: path, method: method})
			}
		}
	}
	for skip := range routes {
		kept := append(append([]Route[int]{}, routes[:skip]...), routes[skip+1:]...)
		if err := check(kept, requests); err != nil {
			t.Fatal(err)
		}
	}
}

// picker makes choices from a fuzzer's bytes: the same bytes, the same choices.
type picker struct{ data []byte }

func (p *picker) n(limit int) int {
	if len(p.data) == 0 {
		return 0
	}
	c := p.data[0]
	p.data = p.data[1:]
	return int(c) % limit
}

func pick[T any](p *picker, list []T) T { return list[p.n(len(list))] }

func (p *picker) predicates(from []Predicate) []Predicate {
	var list []Predicate
	for range max(0, p.n(6)-2) {
		list = append(list, pick(p, from))
	}
	return list
}

var callPaths = slices.DeleteFunc(slices.Clone(routePaths), func(m Match) bool { return m.PathType != GRPC })

var patterns = slices.DeleteFunc(slices.Clone(routePaths), func(m Match) bool { return m.PathType != RegularExpression })

func (p *picker) route(order int) Route[int] {
	pair := pick(p, hostPairs)
	m := pick(p, routePaths)
	if p.n(4) == 0 {
		m.Method = pick(p, methods)
	}
	m.Headers = p.predicates(headerTests)
	m.Query = p.predicates(queryTests)
	return Route[int]{Hostname: pair[0], Declared: pair[1], Match: m, Order: order, Value: order}
}

func (p *picker) request() request {
	return request{host: pick(p, requestHosts), path: pick(p, requestPaths), method: pick(p, methods), header: pick(p, headerLists), query: pick(p, queries), grpc: p.n(2) == 1}
}

// agree makes a table and requests of data and compares. Some tables have all their routes on one path, others regular expressions or calls
// only under one hostname, so that much depends on the later criteria.
func agree(data []byte) error {
	p := &picker{data}
	routes := make([]Route[int], 0, 64)
	shape := p.n(5)
	size := 1 + p.n(64)
	for i := range size {
		r := p.route(size - i)
		if i > 0 && shape < 3 {
			r.Hostname, r.Declared = routes[0].Hostname, routes[0].Declared
		}
		if i > 0 && shape == 0 {
			r.Match.PathType, r.Match.Path, r.Match.Call = routes[0].Match.PathType, routes[0].Match.Path, routes[0].Match.Call
		}
		if shape == 1 {
			pattern := pick(p, patterns)
			r.Match.PathType, r.Match.Path, r.Match.Call = pattern.PathType, pattern.Path, Call{}
		}
		if shape == 2 {
			call := pick(p, callPaths)
			r.Match.PathType, r.Match.Call = call.PathType, call.Call
		}
		routes = append(routes, r)
	}
	var requests []request
	for range 40 {
		r := p.request()
		requests = append(requests, r)
		r.host, r.path = "a.x", "/a"
		if shape == 2 {
			r.path = "/a/b"
		}
		requests = append(requests, r)
	}
	return check(routes, requests)
}

func TestRandomTablesAgreeWithTheOracle(t *testing.T) {
	rounds := 1500
	if testing.Short() {
		rounds = 200
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range rounds {
		data := make([]byte, 800)
		for i := range data {
			data[i] = byte(random.Uint32())
		}
		if err := agree(data); err != nil {
			t.Fatal(err)
		}
	}
}

func FuzzLookup(f *testing.F) {
	random := rand.New(rand.NewPCG(3, 4))
	for range 8 {
		data := make([]byte, 400)
		for i := range data {
			data[i] = byte(random.Uint32())
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := agree(data); err != nil {
			t.Fatal(err)
		}
	})
}

// FuzzInput gives the table bytes as they never should arrive: it must not panic, and must agree with the trace.
func FuzzInput(f *testing.F) {
	var routes []Route[int]
	p := &picker{[]byte("a table of routes that is always the same, whatever the fuzzer tries to do with its requests")}
	for i := range 30 {
		routes = append(routes, p.route(i))
	}
	table, err := New(routes)
	if err != nil {
		f.Fatal(err)
	}
	f.Add("a.x", "/a/b", "GET", "q=1&p+q=%2", "1")
	f.Add("", "", "", "%", "")
	f.Add("..", "//", "*", "&&=%%+=", ",")
	f.Fuzz(func(t *testing.T, host, path, method, query, header string) {
		r := request{host, path, method, query, fields{{"h", header}}, len(header)%2 == 0}
		var tr Trace
		fast, okFast := table.Lookup(r.input(), nil)
		slow, okSlow := table.Lookup(r.input(), &tr)
		if fast != slow || okFast != okSlow {
			t.Fatalf("%+v: %d %t, with trace %d %t", r, fast, okFast, slow, okSlow)
		}
	})
}
