// Tests of the matcher by hand-written tables; the oracle's are in oracle_test.go and lookup_test.go.

package router

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func mustNew[T any](t testing.TB, routes []Route[T]) *Table[T] {
	t.Helper()
	table, err := New(routes)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

// prefix is a route of any host, whose Value is its path.
func prefix(path string) Route[string] {
	return Route[string]{Match: Match{Path: path}, Value: path}
}

func TestPathPrefixComparesElements(t *testing.T) {
	for _, c := range []struct {
		prefix, path string
		want         bool
	}{
		{"/foo", "/foo", true},
		{"/foo", "/foo/", true},
		{"/foo", "/foo/bar", true},
		{"/foo", "/foobar", false},
		{"/foo", "/fo", false},
		{"/foo/", "/foo", true},
		{"/foo/", "/foo/bar", true},
		{"/foo/", "/foobar", false},
		{"/foo/bar", "/foo", false},
		{"/foo/bar", "/foo/bar/baz", true},
		{"/foo", "/Foo", false},
		{"/foo", "/foo%2Fbar", false},
		{"/", "/", true},
		{"/", "/anything", true},
		{"/", "*", true},
		{"/foo", "*", false},
	} {
		table := mustNew(t, []Route[string]{prefix(c.prefix)})
		if _, ok := table.Lookup(request{path: c.path}.input(), nil); ok != c.want {
			t.Errorf("prefix %s, path %s: got %t", c.prefix, c.path, ok)
		}
	}
}

// TestPrecedence has pairs of routes that both match the request; the first wins, whatever its place and Order.
func TestPrecedence(t *testing.T) {
	r := request{host: "shop.example.com", path: "/cart/items", method: "GET", query: "a=1&b=2", header: fields{{"x-a", "1"}, {"x-b", "2"}}, grpc: true}
	header := func(names ...string) (list []Predicate) {
		for _, name := range names {
			list = append(list, Predicate{Name: name, Value: ".*", Regex: true})
		}
		return list
	}
	of := func(m Match) Route[string] { return Route[string]{Match: m} }
	call := func(service, method string, regex bool) Match {
		return Match{PathType: GRPC, Call: Call{Service: service, Method: method, Regex: regex}}
	}
	for _, c := range []struct {
		name          string
		winner, loser Route[string]
		why           string
	}{
		{
			"a full hostname before a wildcard with an exact path",
			Route[string]{Hostname: "shop.example.com", Declared: "shop.example.com", Match: Match{Path: "/"}},
			Route[string]{Hostname: "*.example.com", Declared: "*.example.com", Match: Match{PathType: Exact, Path: "/cart/items"}},
			"a more specific hostname",
		},
		{
			"a longer wildcard before a shorter one",
			Route[string]{Hostname: "*.example.com", Match: Match{Path: "/"}},
			Route[string]{Hostname: "*.com", Match: Match{Path: "/cart"}},
			"a more specific hostname",
		},
		{
			"a hostname that the route itself names before one that only the listener names",
			Route[string]{Hostname: "shop.example.com", Declared: "shop.example.com", Match: Match{Path: "/"}},
			Route[string]{Hostname: "shop.example.com", Declared: "", Match: Match{Path: "/cart"}},
			"a more specific hostname in the route itself",
		},
		{"exact before regular expression", of(Match{PathType: Exact, Path: "/cart/items"}), of(Match{PathType: RegularExpression, Path: "/(cart)/(items)"}), "the path type"},
		{"regular expression before prefix", of(Match{PathType: RegularExpression, Path: "/.*"}), of(Match{Path: "/cart/items"}), "the path type"},
		{"the longer prefix", of(Match{Path: "/cart/items"}), of(Match{Path: "/cart", Method: "GET", Headers: header("x-a")}), "a longer path"},
		{"the longer regular expression", of(Match{PathType: RegularExpression, Path: "/c[a]rt/.*"}), of(Match{PathType: RegularExpression, Path: "/cart/.*", Method: "GET"}), "a longer path"},
		{"a method before headers", of(Match{Path: "/", Method: "GET"}), of(Match{Path: "/", Headers: header("x-a", "x-b")}), "a method match"},
		{"more headers before more query parameters", of(Match{Path: "/", Headers: header("x-a", "x-b")}), of(Match{Path: "/", Headers: header("x-a"), Query: header("a", "b")}), "more header matches"},
		{"a header named twice counts once", of(Match{Path: "/", Headers: header("x-a", "x-b")}), of(Match{Path: "/", Headers: header("x-a", "X-A", "x-A")}), "more header matches"},
		{"more query parameters", of(Match{Path: "/", Query: header("a", "b")}), of(Match{Path: "/", Query: header("a")}), "more query parameter matches"},
		{"a call before a path", of(Match{PathType: GRPC}), of(Match{PathType: Exact, Path: "/cart/items"}), "the path type"},
		{"a service before a method", of(call("cart", "", false)), of(call("", "items", false)), "a better match of the service"},
		{"a service before an expression", of(call("cart", "", false)), of(call("ca.*", "it.*", true)), "a better match of the service"},
		{"an expression before any service", of(call("ca.*", "", true)), of(call("", "items", false)), "a better match of the service"},
		{"the longer expression", of(call("c[a]rt", "", true)), of(call("cart", "items", true)), "a better match of the service"},
		{"a method before none", of(call("cart", "items", false)), of(call("cart", "", false)), "a better match of the method"},
		{"the earlier route", of(Match{Path: "/cart"}), of(Match{Path: "/cart/"}), "an earlier route or rule"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.winner.Value, c.loser.Value = "winner", "loser"
			c.winner.Order = 2
			c.loser.Order = 1
			if strings.Contains(c.why, "earlier") {
				c.loser.Order = 3
			}
			var tr Trace
			for _, routes := range [][]Route[string]{{c.winner, c.loser}, {c.loser, c.winner}} {
				table := mustNew(t, routes)
				if got, _ := table.Lookup(r.input(), nil); got != "winner" {
					t.Errorf("got %q", got)
				}
				table.Lookup(r.input(), &tr)
				if len(tr.Steps) != 2 || tr.Steps[1].Cause != ByPrecedence || !strings.HasSuffix(tr.Steps[1].Detail, " "+c.why) {
					t.Errorf("trace: %+v", tr)
				}
			}
		})
	}
}

func TestLookupFallsBackToALessSpecificHostname(t *testing.T) {
	table := mustNew(t, []Route[string]{
		{Hostname: "a.b.example.com", Match: Match{PathType: Exact, Path: "/one"}, Value: "full"},
		{Hostname: "*.b.example.com", Match: Match{Path: "/two"}, Value: "near"},
		{Hostname: "*.example.com", Match: Match{Path: "/three"}, Value: "far"},
		{Match: Match{Path: "/"}, Value: "any"},
	})
	for path, want := range map[string]string{"/one": "full", "/two": "near", "/three": "far", "/four": "any"} {
		if got, _ := table.Lookup(request{host: "a.b.example.com", path: path}.input(), nil); got != want {
			t.Errorf("%s: got %s, want %s", path, got, want)
		}
	}
}

func TestNewSaysWhatIsWrong(t *testing.T) {
	path := func(kind PathType, path string) Route[string] {
		return Route[string]{Match: Match{PathType: kind, Path: path}}
	}
	headerRegex := prefix("/")
	headerRegex.Match.Headers = []Predicate{{Name: "x-env", Value: "a)(b", Regex: true}}
	nameless := prefix("/")
	nameless.Match.Query = []Predicate{{Value: "1"}}
	for _, c := range []struct {
		name  string
		route Route[string]
		want  string
	}{
		{"a bad regular expression", path(RegularExpression, "/(a"), "path: not a regular expression in RE2 syntax: error parsing regexp: missing closing ): `/(a`"},
		{"one that only the anchors would mend", path(RegularExpression, "/a)|(?:b"), "unexpected ): `/a)|(?:b`"},
		{"lookahead, which RE2 has not", path(RegularExpression, "/(?!admin).*"), "invalid or unsupported Perl syntax"},
		{"one that is too long", path(RegularExpression, strings.Repeat("a", MaxPatternBytes+1)), "4097 bytes, at most 4096 are allowed"},
		{"one whose program is too large", path(RegularExpression, "(ab?c?d?e?){1,500}"), "instructions, at most 2000 are allowed; use smaller repetition counts"},
		{"one that explodes", path(RegularExpression, "(((a{1,999}){1,999}){1,999})"), "invalid repeat count"},
		{"a bad header expression", headerRegex, "header x-env: not a regular expression in RE2 syntax"},
		{"a predicate without a name", nameless, "a match of a query parameter without a name"},
		{"a bad service", Route[string]{Match: Match{PathType: GRPC, Call: Call{Service: "(", Regex: true}}}, "service: not a regular expression in RE2 syntax"},
		{"a bad method", Route[string]{Match: Match{PathType: GRPC, Call: Call{Method: "(", Regex: true}}}, "method: not a regular expression in RE2 syntax"},
		{"a method with a slash", Route[string]{Match: Match{PathType: GRPC, Call: Call{Service: "a", Method: "b/c"}}}, `method "b/c" must not have a slash`},
		{"a relative path", path(Exact, "cart"), `path "cart" must begin with a slash`},
		{"an unknown path type", path(9, "/"), "unknown path type 9"},
		{"a hostname in upper case", Route[string]{Hostname: "Shop.example.com", Match: Match{Path: "/"}}, `hostname "Shop.example.com": want`},
		{"a hostname with a port", Route[string]{Hostname: "shop.example.com:80", Match: Match{Path: "/"}}, "without a port"},
		{"a wildcard within a hostname", Route[string]{Hostname: "shop.*.com", Match: Match{Path: "/"}}, `hostname "shop.*.com"`},
		{"a bare wildcard", Route[string]{Hostname: "*", Match: Match{Path: "/"}}, `hostname "*"`},
		{"an empty label", Route[string]{Hostname: "*.", Match: Match{Path: "/"}}, `hostname "*."`},
	} {
		t.Run(c.name, func(t *testing.T) {
			table, err := New([]Route[string]{prefix("/fine"), c.route})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got %v, want %s", err, c.want)
			}
			var re *RouteError
			if !errors.As(err, &re) || re.Index != 1 || table != nil {
				t.Errorf("got %#v and a table: %t", err, table != nil)
			}
		})
	}
	if _, err := New([]Route[string]{{Match: Match{PathType: RegularExpression, Path: `/items/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}(/.*)?`}}}); err != nil {
		t.Errorf("a usual expression is refused: %v", err)
	}
}

func TestPatternLiteralPrefix(t *testing.T) {
	for text, want := range map[string]string{
		"/item/[0-9]+": "/item/",
		"^/item/.*$":   "/item/",
		"/item":        "/item",
		"/items?":      "/item",
		"(?i)/item":    "",
		"/a|/b":        "/",
		"/a/x|/a/y":    "/a/",
		"(/a)/b":       "",
		".*":           "",
		"/a*":          "/",
	} {
		p, err := compilePattern(text)
		if err != nil {
			t.Fatal(err)
		}
		if p.literal != want {
			t.Errorf("%s: got %q, want %q", text, p.literal, want)
		}
	}
}

// An expression means between its anchors what it means alone.
func TestPatternsMatchWholeValues(t *testing.T) {
	for _, c := range []struct{ text, matches, not string }{
		{"/a|/ab", "/ab", "/abc"},
		{"(?i)/a|/b", "/B", "/bb"},
		{`/a\Q.b`, "/a.b", "/a.b)$"}, // a quote that nothing ends but the text
		{`/a\Q.b\E+`, "/a.bb", "/acb"},
		{"(?m)^/a$", "/a", "/a\n/a"},
		{"(?U)/a+", "/aa", "/ab"},
		{"", "", "/"},
	} {
		p, err := compilePattern(c.text)
		if err != nil {
			t.Errorf("%s: %v", c.text, err)
		} else if !p.re.MatchString(c.matches) || p.re.MatchString(c.not) {
			t.Errorf("%s: want it to match %q and not %q", c.text, c.matches, c.not)
		}
	}
}

func TestQueryParameter(t *testing.T) {
	for _, c := range []struct {
		query, name, want string
		ok                bool
	}{
		{"a=1", "a", "1", true},
		{"b=2&a=1", "a", "1", true},
		{"a=1&a=2", "a", "1", true},
		{"aa=1", "a", "", false},
		{"a", "a", "", true},
		{"a=", "a", "", true},
		{"a=b=c", "a", "b=c", true},
		{"a+b=1", "a b", "1", true},
		{"a%20b=1", "a b", "1", true},
		{"%61=%31", "a", "1", true},
		{"a=x+y%2Bz", "a", "x y+z", true},
		{"a=%", "a", "%", true},
		{"a=%4", "a", "%4", true},
		{"a=%zz%41", "a", "%zzA", true},
		{"a=%C3%a9", "a", "é", true},
		{"a;b=1", "a", "", false},
		{"&&a=1", "a", "1", true},
		{"", "a", "", false},
		{"a=1", "A", "", false},
	} {
		got, _, ok := queryParameter([]byte(c.query), c.name, nil)
		if string(got) != c.want || ok != c.ok {
			t.Errorf("%q of %q: got %q %t, want %q %t", c.name, c.query, got, ok, c.want, c.ok)
		}
	}
}

func TestPrintGolden(t *testing.T) {
	table := mustNew(t, printed())
	var b bytes.Buffer
	if err := table.Print(&b, func(s string) string { return s }); err != nil {
		t.Fatal(err)
	}
	const golden = "testdata/print.txt"
	if *update {
		if err := os.WriteFile(golden, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(b.Bytes(), want) {
		t.Errorf("got\n%s\nwant\n%s", &b, want)
	}
	if err := table.Print(brokenWriter{}, func(s string) string { return s }); err == nil {
		t.Error("a write error is lost")
	}
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, errors.New("disk full") }

func printed() []Route[string] {
	routes := []Route[string]{
		{Match: Match{Path: "/"}, Value: "default/rest rule 0"},
		{Hostname: "*.example.com", Declared: "*.example.com", Match: Match{Path: "/"}, Value: "default/wild rule 0"},
		{Hostname: "shop.example.com", Declared: "*.example.com", Match: Match{Path: "/cart"}, Value: "default/wild rule 1"},
		{Hostname: "shop.example.com", Declared: "shop.example.com", Match: Match{Path: "/cart"}, Value: "default/shop rule 0"},
		{Hostname: "shop.example.com", Declared: "shop.example.com", Match: Match{
			Path: "/cart/", Method: "POST", Headers: []Predicate{{Name: "X-Env", Value: "prod"}, {Name: "User-Agent", Value: ".*Mobile.*", Regex: true}},
		}, Value: "default/shop rule 1"},
		{Hostname: "shop.example.com", Declared: "shop.example.com", Match: Match{Path: "/cart", Query: []Predicate{{Name: "beta", Value: `"1"`}}}, Value: "default/shop rule 2"},
		{Hostname: "shop.example.com", Declared: "shop.example.com", Match: Match{PathType: RegularExpression, Path: "/item/[0-9]+"}, Value: "default/shop rule 3"},
		{Hostname: "shop.example.com", Declared: "shop.example.com", Match: Match{PathType: Exact, Path: "/cart/"}, Value: "default/shop rule 4"},
	}
	for i := range routes {
		routes[i].Order = i
	}
	return routes
}

func TestTraceNamesNearMissesAndWhy(t *testing.T) {
	table := mustNew(t, printed())
	r := request{host: "shop.example.com", path: "/cart", method: "GET", query: "beta=2", header: fields{{"x-env", "dev"}}}
	var tr Trace
	if got, _ := table.Lookup(r.input(), &tr); got != "default/shop rule 0" {
		t.Errorf("got %q", got)
	}
	var got []string
	for _, s := range tr.Steps {
		got = append(got, fmt.Sprintf("%d %s: %s", s.Order, s.Cause, s.Detail))
	}
	want := []string{
		`7 path: the path is "/cart", not Exact "/cart/"`,
		`6 path: the path is "/cart", not RegularExpression "/item/[0-9]+"`,
		`5 query: query parameter beta is "2", not "\"1\""`,
		`3 won: `,
		`2 precedence: the other one has a more specific hostname in the route itself`,
		`1 precedence: the other one has a more specific hostname`,
		`0 precedence: the other one has a more specific hostname`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if tr.Others != 1 { // rule 1: method and headers
		t.Errorf("others: %d", tr.Others)
	}
	if _, ok := mustNew(t, printed()[1:]).Lookup(request{host: "example.org", path: "/"}.input(), &tr); ok || len(tr.Steps) != 1 || tr.Steps[0].Cause != ByHost || tr.Others != 6 {
		t.Errorf("no route: %+v", tr)
	}
}

func TestTraceIsBoundedWhateverTheNumberOfRoutes(t *testing.T) {
	table := mustNew(t, append(manyPaths(1000), manyHosts(1000)...))
	var tr Trace
	if _, ok := table.Lookup(request{host: "h.example.com", path: "/nowhere"}.input(), &tr); ok {
		t.Fatal("found")
	}
	if len(tr.Steps) != 2*maxSteps || len(tr.Steps)+tr.Others != table.Len() { // by path and by host
		t.Errorf("%d steps, %d others", len(tr.Steps), tr.Others)
	}
}

func TestTableIsSafeForConcurrentUse(t *testing.T) {
	table := mustNew(t, manyHeaders(100))
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			r := request{host: "h", path: "/a", method: "GET", header: fields{{"x-tenant", fmt.Sprint(g)}}}
			in := r.input()
			for range 1000 {
				if got, _ := table.Lookup(in, nil); got != g {
					t.Errorf("got %d, want %d", got, g)
					return
				}
			}
		})
	}
	wg.Wait()
}

func TestEmptyTableHasNoRoute(t *testing.T) {
	table := mustNew(t, []Route[string]{})
	if _, ok := table.Lookup(request{host: "a.b", path: "/"}.input(), nil); ok || table.Len() != 0 {
		t.Error("found a route")
	}
}
