// gRPC calls: paths of the form /service/method, whose two parts are compared apart (GRPCRouteRule.Matches).
//
// Under each hostname calls have tables of their own beside those of paths.go. What is compared exactly is in one hash, under
//
//	/shop.Cart/Get    service and method
//	/shop.Cart/       the service, any method
//	/Get              the method, of any service
//
// so that a request for /shop.Cart/Get looks up these three pieces of its path. Regular expressions are a list by rank, and last comes what
// matches any call. All candidates have ranks, and the smallest wins.
//
// A call that names no service is one only if the request says that it is gRPC (Input.GRPC): else a route for every gRPC request would take
// the pages of a web site under the same hostname. One that names a service says by that what it means, and takes other protocols of the
// same path as well.

package router

import (
	"bytes"
	"cmp"
)

// Call is what a Match of type GRPC compares the path with: /shop.Cart/Get calls method Get of service shop.Cart. An empty part matches
// every one.
type Call struct {
	Service, Method string
	Regex           bool // RE2, each the whole of its part
}

// key is equal for calls that match the same requests. Of those without Regex it is what the hash has.
func (c *Call) key() string {
	switch {
	case c.Regex:
		return c.Service + "\x00" + c.Method
	case c.Service == "" && c.Method == "":
		return ""
	case c.Service == "":
		return "/" + c.Method
	}
	return "/" + c.Service + "/" + c.Method
}

// String is the call as people write it: "shop.Cart/Get", "shop.Cart/*", "*/*".
func (c *Call) String() string {
	return cmp.Or(c.Service, "*") + "/" + cmp.Or(c.Method, "*")
}

// partRank orders the ways to compare a part: exactly, by an expression, not at all.
func partRank(text string, regex bool) int {
	switch {
	case text == "":
		return 2
	case regex:
		return 1
	}
	return 0
}

// compareParts puts the better way to compare a part first and, where it is the same, the longer text.
func compareParts(a string, aRegex bool, b string, bRegex bool) int {
	return cmp.Or(cmp.Compare(partRank(a, aRegex), partRank(b, bRegex)), cmp.Compare(len(b), len(a)))
}

// splitCall gives the service and the method of a path, or false if it is not that of a call. A service may have slashes of its own.
func splitCall(path []byte) (service, method []byte, ok bool) {
	last := bytes.LastIndexByte(path, '/')
	if last < 1 || path[0] != '/' {
		return nil, nil, false
	}
	return path[1:last], path[last+1:], true
}

// call is a Call made ready for matching.
type call struct {
	Call
	service, method *pattern // with Regex; nil: any
}

// matches says whether a request's service and method are those of the call.
func (c *call) matches(service, method []byte) bool {
	if c.Regex {
		return (c.service == nil || c.service.re.Match(service)) && (c.method == nil || c.method.re.Match(method))
	}
	return (c.Service == "" || c.Service == string(service)) && (c.Method == "" || c.Method == string(method))
}

// callPattern is a call with regular expressions, and the routes that have it.
type callPattern struct {
	*call
	entries []entry // until choice is made of them
	choice  *choice
}

// calls is what is known about the calls of one hostname.
type calls struct {
	exact    map[string]*choice
	patterns []callPattern // by their smallest rank
	any      *choice
	byKey    map[string]int // places in patterns, until they are settled
}

// add places the routes with the call of r. Those with one expression may come at several times, because the ranks of expressions of
// the same length interleave.
func (c *calls) add(r *route, entries []entry) {
	switch {
	case r.call.Regex:
		i, seen := c.byKey[r.path]
		if !seen {
			if c.byKey == nil {
				c.byKey = make(map[string]int)
			}
			i = len(c.patterns)
			c.byKey[r.path] = i
			c.patterns = append(c.patterns, callPattern{call: r.call})
		}
		c.patterns[i].entries = append(c.patterns[i].entries, entries...)
	case r.path == "":
		c.any = buildChoice(entries)
	default:
		if c.exact == nil {
			c.exact = make(map[string]*choice)
		}
		c.exact[r.path] = buildChoice(entries)
	}
}

// settle makes the patterns ready for match. Their order is right as they are: each came with its smallest rank first.
func (c *calls) settle() {
	for i := range c.patterns {
		p := &c.patterns[i]
		p.choice, p.entries = buildChoice(p.entries), nil
	}
	c.byKey = nil
}

// match returns the smallest rank of a route that the request's call matches, or none.
func (c *calls) match(in *Input) hit {
	best := nothing()
	if service, method, ok := splitCall(in.Path); ok {
		best = c.exact[string(in.Path)].find(in, none)
		best = best.or(c.exact[string(in.Path[:len(in.Path)-len(method)])].find(in, best.rank))
		if in.GRPC {
			best = best.or(c.exact[string(in.Path[len(service)+1:])].find(in, best.rank))
		}
		for i := range c.patterns {
			p := &c.patterns[i]
			if p.choice.rank >= best.rank {
				break
			}
			if (p.service != nil || in.GRPC) && p.matches(service, method) {
				best = best.or(p.choice.find(in, best.rank))
			}
		}
	}
	if in.GRPC {
		best = best.or(c.any.find(in, best.rank))
	}
	return best
}

// acceptsCall says whether a path is that of a call that r wants.
func (r *route) acceptsCall(path []byte) bool {
	if r.path == "" {
		return true
	}
	service, method, ok := splitCall(path)
	return ok && r.call.matches(service, method)
}

// foreign says whether r is for gRPC alone and the request is something else.
func (r *route) foreign(in *Input) bool {
	return r.call != nil && r.call.Service == "" && !in.GRPC
}
