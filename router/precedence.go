// Which of two routes wins where both match: the order that the Gateway API prescribes for HTTPRouteSpec.Hostnames,
// HTTPRouteRule.Matches and GRPCRouteRule.Matches, complete, so that there are no ties between routes.

package router

import (
	"cmp"
	"strings"
)

// route is a Route made ready for comparison and matching.
type route struct {
	hostname, declared string
	kind               PathType
	path               string   // a PathPrefix without its trailing slash: "/" is ""; of GRPC the call's key
	pattern            *pattern // of a RegularExpression
	call               *call    // of GRPC
	tests              []test   // method, then headers, then query parameters
	methods            int      // 0 or 1
	headers, query     int      // how many of each count
	order              int      // as given
	value              any
}

// criteria are the steps of the comparison, first to last, each with the words that explain what decides. What none of them decides the places in the
// list do.
var criteria = [...]struct {
	compare func(a, b *route) int
	why     string
}{
	{func(a, b *route) int { return compareHostnames(a.hostname, b.hostname) }, "a more specific hostname"},
	{func(a, b *route) int { return compareHostnames(a.declared, b.declared) }, "a more specific hostname in the route itself"},
	{func(a, b *route) int { return cmp.Compare(typeRank(a.kind), typeRank(b.kind)) }, "the path type"},
	{comparePaths, "a longer path"},
	{compareServices, "a better match of the service"},
	{compareMethods, "a better match of the method"},
	{func(a, b *route) int { return cmp.Compare(b.methods, a.methods) }, "a method match"},
	{func(a, b *route) int { return cmp.Compare(b.headers, a.headers) }, "more header matches"},
	{func(a, b *route) int { return cmp.Compare(b.query, a.query) }, "more query parameter matches"},
}

// lastOfPath is the last of the criteria that are about the path.
const lastOfPath = 5

// comparePaths, compareServices and compareMethods have nothing to say about routes of the other types.
func comparePaths(a, b *route) int {
	if a.call != nil {
		return 0
	}
	return cmp.Compare(len(b.path), len(a.path))
}

func compareServices(a, b *route) int {
	if a.call == nil {
		return 0
	}
	return compareParts(a.call.Service, a.call.Regex, b.call.Service, b.call.Regex)
}

func compareMethods(a, b *route) int {
	if a.call == nil {
		return 0
	}
	return compareParts(a.call.Method, a.call.Regex, b.call.Method, b.call.Regex)
}

// compare orders routes by precedence. Routes that can never match the same request are kept together by hostname and path, so that the sorted
// list reads well; this changes no outcome.
func compare(a, b *route) int {
	for i := range criteria {
		if c := criteria[i].compare(a, b); c != 0 {
			return c
		}
		if i == 0 {
			if c := strings.Compare(a.hostname, b.hostname); c != 0 {
				return c
			}
		}
		if i == lastOfPath && a.kind != RegularExpression && !(a.call != nil && a.call.Regex) {
			if c := strings.Compare(a.path, b.path); c != 0 {
				return c
			}
		}
	}
	return 0
}

// decisive says why winner comes before loser, where both match.
func decisive(winner, loser *route) string {
	for i := range criteria {
		if criteria[i].compare(winner, loser) != 0 {
			return criteria[i].why
		}
	}
	return "an earlier route or rule"
}

// compareHostnames puts full hostnames before wildcards before "", and longer ones before shorter ones.
func compareHostnames(a, b string) int {
	if c := cmp.Compare(hostnameRank(a), hostnameRank(b)); c != 0 {
		return c
	}
	return cmp.Compare(len(b), len(a))
}

func hostnameRank(hostname string) int {
	switch {
	case hostname == "":
		return 2
	case hostname[0] == '*':
		return 1
	default:
		return 0
	}
}

// typeRank places RegularExpression, whose precedence the Gateway API leaves open, between the two others, and GRPC before all: a request
// that a GRPCRoute wants is not for an HTTPRoute. (Of kinds that share a hostname the Gateway API says nothing but that they are not merged.)
func typeRank(p PathType) int {
	switch p {
	case GRPC:
		return 0
	case Exact:
		return 1
	case RegularExpression:
		return 2
	default:
		return 3
	}
}
