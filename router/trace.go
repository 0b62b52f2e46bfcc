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
	Steps []Step
	// Others counts the routes that are further away.
	Others int
}

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

// run goes through routes, which are sorted by precedence, and returns the rank of the first that matches, or none.
func (tr *Trace) run(routes []*route, in *Input) int {
	*tr = Trace{Steps: tr.Steps[:0]}
	winner := none
	for rank := range routes {
		r := routes[rank]
		step := Step{Order: r.order, Hostname: r.hostname}
		misses := r.misses(in, &step)
		switch {
		case misses > 1:
			tr.Others++
			continue
		case misses == 1:
		case winner == none:
			winner = rank
		default:
			step.Cause = ByPrecedence
			step.Detail = "the other one has " + decisive(routes[winner], r)
		}
		tr.Steps = append(tr.Steps, step)
	}
	return winner
}

// misses returns in how many of host, path, method, header fields and query the request is not what r wants, and describes the first one.
func (r *route) misses(in *Input, step *Step) int {
	n := 0
	miss := func(cause Cause, format string, args ...any) {
		if n == 0 || step.Cause != cause {
			n++
		}
		if n == 1 && step.Detail == "" {
			step.Cause, step.Detail = cause, fmt.Sprintf(format, args...)
		}
	}
	if !r.acceptsHost(in.Host) {
		miss(ByHost, "the host is %q, not %q", in.Host, r.hostname)
	}
	if !r.acceptsPath(in.Path) {
		miss(ByPath, "the path is %q, not %s %q", in.Path, r.kind, r.pathText())
	}
	for i := range r.tests {
		t := &r.tests[i]
		if t.matches(in) {
			continue
		}
		value, ok := in.value(t.dimension)
		switch {
		case !ok:
			miss(t.kind.cause(), "%s is missing, not %s", t.subject(), t.object())
		default:
			miss(t.kind.cause(), "%s is %q, not %s", t.subject(), value, t.object())
		}
	}
	return n
}

func (k kind) cause() Cause {
	return [...]Cause{ByMethod, ByHeader, ByQuery}[k]
}

func (r *route) acceptsHost(host []byte) bool {
	if suffix, wild := strings.CutPrefix(r.hostname, "*"); wild {
		return len(host) > len(suffix) && strings.HasSuffix(string(host), suffix)
	}
	return r.hostname == "" || string(host) == r.hostname
}

func (r *route) acceptsPath(path []byte) bool {
	switch r.kind {
	case Exact:
		return string(path) == r.path
	case RegularExpression:
		return r.pattern.re.Match(path)
	default:
		rest, ok := strings.CutPrefix(string(path), r.path)
		return ok && (r.path == "" || rest == "" || rest[0] == '/')
	}
}

// pathText is the path as people write it.
func (r *route) pathText() string {
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
