// Why a request got the route it got: the answer for a person who asks, not for the path of a request.

package router

import (
	"fmt"
	"strings"
)

// Trace collects what Lookup found out about the routes that lost. The zero value is ready; Lookup empties it first.
type Trace struct {
	// Steps has, in the order of precedence, the route that won, those that match but come after it, and the near misses: routes that would match if
	// the request were different in one of host, path, method, header fields or query.
	// At most maxSteps of those that lost by one Cause are in it.
	Steps []Step
	// Others counts the routes that are further away, or too many.
	Others int

	lost [ByPrecedence + 1]int // steps by cause
}

// maxSteps bounds how many routes that lost by one cause are told of: who has a hundred thousand routes does not want to read them all.
const maxSteps = 64

// Step is what became of one route.
type Step struct {
	Order    int    // the Route's
	Hostname string // the Route's
	Cause    Cause
	Detail   string // for people: `header x-env is "dev", not "prod"`
}

// Cause is what a route lost by.
type Cause uint8

// The causes. A route that lost by precedence matches, as the one that won does.
const (
	Won Cause = iota
	ByHost
	ByPath
	ByMethod
	ByHeader
	ByQuery
	ByPrecedence
)

// String is a word for the cause.
func (c Cause) String() string {
	return [...]string{"won", "host", "path", "method", "header", "query", "precedence"}[c]
}

// run goes through the routes of groups, which are sorted by precedence, and returns the first that matches, or nil.
func (tr *Trace) run(groups []*paths, in *Input) hit {
	var winner *route
	found := nothing()
	*tr = Trace{Steps: tr.Steps[:0]}
	for _, p := range groups {
		for rank, r := range p.routes {
			cause, misses := r.misses(in)
			switch {
			case misses == 0 && winner == nil:
				winner, found = r, hit{rank, r.value}
			case misses == 0:
				cause = ByPrecedence
			}
			if misses > 1 || cause != Won && tr.lost[cause] == maxSteps {
				tr.Others++
				continue
			}
			tr.add(r, winner, cause, in)
		}
	}
	return found
}

// add tells of a route.
func (tr *Trace) add(r, winner *route, cause Cause, in *Input) {
	tr.lost[cause]++
	step := Step{Order: r.order, Hostname: r.hostname, Cause: cause}
	switch cause {
	case Won:
	case ByPrecedence:
		step.Detail = "the other one has " + decisive(winner, r)
	default:
		step.Detail = r.detail(in, cause)
	}
	tr.Steps = append(tr.Steps, step)
}

// misses returns in how many of host, path, method, header fields and query the request is not what r wants, and the first of them. It
// stops at two.
func (r *route) misses(in *Input) (first Cause, n int) {
	miss := func(cause Cause) {
		if n == 0 {
			first = cause
		}
		if n == 0 || cause != first {
			n++
		}
	}
	if !r.acceptsHost(in.Host) {
		miss(ByHost)
	}
	if !r.acceptsPath(in.Path) {
		miss(ByPath)
	}
	if r.foreign(in) {
		miss(ByHeader)
	}
	for i := 0; i < len(r.tests) && n < 2; i++ {
		if t := &r.tests[i]; !t.matches(in) {
			miss(t.kind.cause())
		}
	}
	return first, n
}

// detail says what is wrong with the request, for a route that lost by cause.
func (r *route) detail(in *Input, cause Cause) string {
	switch cause {
	case ByHost:
		return fmt.Sprintf("the host is %q, not %q", in.Host, r.hostname)
	case ByPath:
		return fmt.Sprintf("the path is %q, not %s %q", in.Path, r.kind, r.pathText())
	case ByHeader:
		if r.foreign(in) {
			return "the request is not gRPC: its content-type is not application/grpc"
		}
	}
	for i := range r.tests {
		t := &r.tests[i]
		if t.matches(in) {
			continue
		}
		value, ok := in.value(t.dimension)
		if !ok {
			return fmt.Sprintf("%s is missing, not %s", t.subject(), t.object())
		}
		return fmt.Sprintf("%s is %q, not %s", t.subject(), value, t.object())
	}
	return ""
}

func (k kind) cause() Cause {
	return [...]Cause{ByMethod, ByHeader, ByQuery}[k]
}

func (r *route) acceptsHost(host []byte) bool {
	if suffix, wild := strings.CutPrefix(r.hostname, "*"); wild {
		return len(host) > len(suffix) && string(host[len(host)-len(suffix):]) == suffix
	}
	return r.hostname == "" || string(host) == r.hostname
}

func (r *route) acceptsPath(path []byte) bool {
	switch r.kind {
	case Exact:
		return string(path) == r.path
	case RegularExpression:
		return r.pattern.re.Match(path)
	case GRPC:
		return r.acceptsCall(path)
	default:
		n := len(r.path)
		return n == 0 || len(path) >= n && string(path[:n]) == r.path && (len(path) == n || path[n] == '/')
	}
}

// pathText is the path as people write it.
func (r *route) pathText() string {
	if r.call != nil {
		return r.call.String()
	}
	if r.kind == PathPrefix && r.path == "" {
		return "/"
	}
	return r.path
}

// subject and object are the two sides of a test, in words.
func (t *test) subject() string {
	if t.kind == ofMethod {
		return "the method"
	}
	return fmt.Sprintf("%s %s", t.kind, t.name)
}

func (t *test) object() string {
	if t.pattern != nil {
		return fmt.Sprintf("~ %q", t.value)
	}
	return fmt.Sprintf("%q", t.value)
}
