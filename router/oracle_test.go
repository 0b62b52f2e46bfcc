// The oracle: the Gateway API's rules on matching and precedence in plain words, one route at a time, without an index.

package router

import (
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"sync"
)

// fields is a request's header, in the order in which it came.
type fields [][2]string

func (f fields) Combined(name string, scratch []byte) ([]byte, bool) {
	if strings.ToLower(name) != name {
		panic("the router must ask in lower case")
	}
	n := 0
	for i := range f {
		if strings.EqualFold(f[i][0], name) {
			if n > 0 {
				scratch = append(scratch, ", "...)
			}
			scratch = append(scratch, f[i][1]...)
			n++
		}
	}
	return scratch, n > 0
}

// request is an Input in strings.
type request struct {
	host, path, method, query string
	header                    fields
	grpc                      bool
}

func (r request) input() *Input {
	in := &Input{Host: []byte(r.host), Path: []byte(r.path), Method: []byte(r.method), Query: []byte(r.query), GRPC: r.grpc}
	if r.header != nil {
		in.Header = r.header
	}
	return in
}

// oracle returns the Order of the route that must answer, or -1.
func oracle(routes []Route[int], r request) int {
	best := -1
	for i := range routes {
		if !accepts(&routes[i], r) {
			continue
		}
		if best < 0 || beats(&routes[i], &routes[best]) {
			best = i
		}
	}
	if best < 0 {
		return -1
	}
	return routes[best].Order
}

func accepts(route *Route[int], r request) bool {
	m := &route.Match
	// "*.example.com would match both test.example.com, and foo.test.example.com, but not example.com."
	switch {
	case route.Hostname == "":
	case strings.HasPrefix(route.Hostname, "*."):
		front, ok := strings.CutSuffix(r.host, route.Hostname[1:])
		if !ok || front == "" {
			return false
		}
	case route.Hostname != r.host:
		return false
	}
	switch m.PathType {
	case Exact:
		if r.path != m.Path {
			return false
		}
	case RegularExpression:
		if !wholeMatch(m.Path, r.path) {
			return false
		}
	case GRPC:
		// "At least one of Service and Method": what is empty "will match any". "If no matches are specified, the implementation MUST match
		// every gRPC request": so, by our choice, does whatever leaves the service open, and nothing but gRPC.
		if !makesCall(&m.Call, r) {
			return false
		}
	case PathPrefix:
		// "For example, the paths /abc, /abc/, and /abc/def would all match the prefix /abc, but the path /abcd would not."
		prefix := strings.TrimSuffix(m.Path, "/")
		if prefix != "" && r.path != prefix && !strings.HasPrefix(r.path, prefix+"/") {
			return false
		}
	}
	if m.Method != "" && m.Method != r.method {
		return false
	}
	for _, p := range firstOfName(m.Headers, strings.ToLower) {
		value, ok := r.header.Combined(strings.ToLower(p.Name), nil)
		if !ok || !holds(p, string(value)) {
			return false
		}
	}
	for _, p := range firstOfName(m.Query, strings.Clone) {
		value, ok := firstValue(r.query, p.Name)
		if !ok || !holds(p, value) {
			return false
		}
	}
	return true
}

func makesCall(c *Call, r request) bool {
	if c.Service == "" && !r.grpc {
		return false
	}
	if c.Service == "" && c.Method == "" {
		return true
	}
	part := func(want, have string) bool {
		return want == "" || c.Regex && wholeMatch(want, have) || !c.Regex && want == have
	}
	slash := strings.LastIndex(r.path, "/")
	if slash < 1 || r.path[0] != '/' {
		return false
	}
	return part(c.Service, r.path[1:slash]) && part(c.Method, r.path[slash+1:])
}

func holds(p Predicate, value string) bool {
	if p.Regex {
		return wholeMatch(p.Value, value)
	}
	return p.Value == value
}

func wholeMatch(pattern, text string) bool {
	re, ok := compiledPatterns.Load(pattern)
	if !ok {
		re, _ = compiledPatterns.LoadOrStore(pattern, regexp.MustCompile(`\A(?:`+pattern+`)\z`))
	}
	return re.(*regexp.Regexp).MatchString(text)
}

var compiledPatterns sync.Map // by text, since the oracle asks for the same few again and again

// "Subsequent entries with an equivalent name MUST be ignored."
func firstOfName(list []Predicate, fold func(string) string) []Predicate {
	var kept []Predicate
	seen := make(map[string]bool)
	for _, p := range list {
		if !seen[fold(p.Name)] {
			seen[fold(p.Name)] = true
			kept = append(kept, p)
		}
	}
	return kept
}

// firstValue decodes with net/url, but keeps what that refuses.
func firstValue(query, name string) (string, bool) {
	decode := func(s string) string {
		if d, err := url.QueryUnescape(s); err == nil {
			return d
		}
		return strings.ReplaceAll(s, "+", " ") // the alphabet of the tests has no mixture of good and bad escapes
	}
	for pair := range strings.SplitSeq(query, "&") {
		key, value, _ := strings.Cut(pair, "=")
		if pair != "" && decode(key) == name {
			return decode(value), true
		}
	}
	return "", false
}

// beats says which of two routes that both match comes first.
func beats(a, b *Route[int]) bool {
	type criterion struct{ a, b int } // more wins
	ma, mb := &a.Match, &b.Match
	for _, c := range []criterion{
		// "the largest number of characters in a matching non-wildcard hostname, characters in a matching hostname"
		{fullHostname(a.Hostname), fullHostname(b.Hostname)},
		{len(a.Hostname), len(b.Hostname)},
		// "implementations SHOULD evaluate precedence using the original hostnames configured on the Route"
		{fullHostname(a.Declared), fullHostname(b.Declared)},
		{len(a.Declared), len(b.Declared)},
		// Our choice: what is for gRPC before the rest. Then "Characters in a matching service", "Characters in a matching method", where we put
		// expressions after what is compared exactly.
		{count(ma.PathType == GRPC), count(mb.PathType == GRPC)},
		{exactly(ma.Call.Service, &ma.Call), exactly(mb.Call.Service, &mb.Call)},
		{len(ma.Call.Service), len(mb.Call.Service)},
		{exactly(ma.Call.Method, &ma.Call), exactly(mb.Call.Method, &mb.Call)},
		{len(ma.Call.Method), len(mb.Call.Method)},
		// "Exact" path match, then (our choice) "RegularExpression", then "Prefix" path match with largest number of characters.
		{count(ma.PathType == Exact), count(mb.PathType == Exact)},
		{count(ma.PathType == RegularExpression), count(mb.PathType == RegularExpression)},
		{pathLength(ma), pathLength(mb)},
		// Method match, largest number of header matches, largest number of query param matches.
		{count(ma.Method != ""), count(mb.Method != "")},
		{len(firstOfName(ma.Headers, strings.ToLower)), len(firstOfName(mb.Headers, strings.ToLower))},
		{len(firstOfName(ma.Query, strings.Clone)), len(firstOfName(mb.Query, strings.Clone))},
	} {
		if c.a != c.b {
			return c.a > c.b
		}
	}
	return a.Order < b.Order
}

func fullHostname(hostname string) int {
	if strings.HasPrefix(hostname, "*") {
		return 0
	}
	return len(hostname)
}

// exactly is more the better a part of a call is compared.
func exactly(part string, c *Call) int {
	return count(part != "") + count(part != "" && !c.Regex)
}

func pathLength(m *Match) int {
	switch m.PathType {
	case GRPC:
		return 0
	case PathPrefix:
		return len(strings.TrimSuffix(m.Path, "/"))
	}
	return len(m.Path)
}

func count(b bool) int {
	if b {
		return 1
	}
	return 0
}

// check compares both ways of Lookup with the oracle. The Values are the Orders.
func check(routes []Route[int], requests []request) error {
	table, err := New(routes)
	if err != nil {
		return err
	}
	var tr Trace
	for _, r := range requests {
		want := oracle(routes, r)
		for _, trace := range []*Trace{nil, &tr} {
			got, ok := table.Lookup(r.input(), trace)
			if !ok {
				got = -1
			}
			if got != want {
				var text strings.Builder
				_ = table.Print(&text, func(v int) string { return fmt.Sprint(v) })
				return fmt.Errorf("%+v: got route %d, want %d (trace: %t)\n%s", r, got, want, trace != nil, &text)
			}
		}
	}
	return nil
}
