// Package router finds the rule that answers a request. It imports nothing else of this project.
//
// New compiles a list of routes once; the Table that it returns never changes, so any number of goroutines may look up requests
// in it without locks. A lookup does not allocate. Where one list follows another, Join shares what did not change (join.go).
//
// # How a lookup goes
//
// The routes of each hostname are sorted by the Gateway API's precedence (precedence.go), and a route's place in that order is its rank: of
// all routes of the hostname that match a request the one with the smallest rank wins. The tables below exist only to look at few routes:
//
//	hosts.go      a tree over the labels of the host from the right: shop.example.com, then *.example.com, then *.com, then any host
//	paths.go      under each hostname: a hash of exact paths, then regular expressions, then a radix tree over path elements
//	calls.go      under each hostname: the same for the services and methods of gRPC calls
//	predicates.go under each path: methods, headers and query parameters, in a list or, where there are many, in hashes by value
//
// A route that matches by host and path may still fail by its predicates, and then the next less specific one gets its turn. With
//
//	shop.example.com  PathPrefix  /cart/items          header x-env = prod    A
//	shop.example.com  PathPrefix  /cart                                       B
//	*.example.com     PathPrefix  /                    method POST            C
//
// the request GET shop.example.com/cart/items/7 walks to the node of A, where the header is missing, backs up to B, and has its answer;
// POST shop.example.com/about finds no path under the first hostname, backs up to the second and ends at C.
package router

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
)

// Route is one match of one rule under one hostname: what New compiles.
type Route[T any] struct {
	// Hostname is "" (every host), "*.example.com" (one label or more in front) or "shop.example.com"; lower case, no port.
	Hostname string
	// Declared is the hostname that the route's author wrote; where Hostnames are equal the more specific Declared wins.
	Declared string
	Match    Match
	// Order breaks the ties that the match leaves (oldest route, namespace/name, rule, match): smaller wins; unique in a table. Join goes by its
	// list instead.
	Order int
	Value T
}

// Match is a conjunction of predicates, as HTTPRouteMatch and GRPCRouteMatch.
type Match struct {
	PathType PathType
	Path     string // normalised as requests' paths are; for RegularExpression the pattern; not used for GRPC
	Call     Call   // for GRPC
	Method   string // "" is any
	// Headers and Query: of several predicates with one name only the first counts, as the Gateway API demands.
	Headers []Predicate
	Query   []Predicate
}

// PathType is how Match.Path is compared.
type PathType uint8

// The path types of the Gateway API.
const (
	// PathPrefix compares path elements: /foo matches /foo, /foo/ and /foo/bar, not /foobar; a trailing slash of the prefix is
	// ignored; the prefix / matches every request.
	PathPrefix PathType = iota
	// Exact compares bytes.
	Exact
	// RegularExpression compares the whole path with an RE2 expression.
	RegularExpression
	// GRPC compares the path with Match.Call. Such a route comes before those of the other types under the same hostname.
	GRPC
)

// String is the Gateway API's name of the type.
func (p PathType) String() string {
	switch p {
	case Exact:
		return "Exact"
	case RegularExpression:
		return "RegularExpression"
	case GRPC:
		return "gRPC"
	default:
		return "PathPrefix"
	}
}

// Predicate compares one header field or query parameter.
type Predicate struct {
	Name  string // header names compare case-insensitively, query parameter names exactly
	Value string
	Regex bool // RE2, the whole value
}

// Input is a request as the router sees it. Host is lower case and has no port; Path is normalised; Query has no '?'.
//
// An Input belongs to one goroutine. It is best reused: set the fields again, and the memory that the router keeps in it to join repeated header
// fields and to decode query parameters is kept.
type Input struct {
	Host, Path, Method, Query []byte
	Header                    Header // nil: no header fields
	// GRPC: the request's content-type says that it is gRPC.
	GRPC bool

	scratch []byte
}

// Header gives the combined value of a header field (RFC 9110 section 5.3), using scratch if it must join. The router asks
// for names in lower case.
type Header interface {
	Combined(name string, scratch []byte) (value []byte, ok bool)
}

// Table is a compiled list of routes. It is immutable and safe for concurrent use.
type Table[T any] struct {
	list   []*Compiled[T] // as Join got them
	groups []*paths       // by precedence of their hostnames
	hosts  hosts
}

// RouteError says which route New could not compile, and why.
type RouteError struct {
	Index int // in the list that New was given
	Err   error
}

func (e *RouteError) Error() string { return fmt.Sprintf("route %d: %v", e.Index, e.Err) }

// Unwrap returns the reason.
func (e *RouteError) Unwrap() error { return e.Err }

// New compiles routes, in any order, into a table. It does not keep the list. If routes cannot be compiled it returns a *RouteError
// for each of them, joined.
func New[T any](routes []Route[T]) (*Table[T], error) {
	var c Compiler[T]
	list := make([]*Compiled[T], len(routes))
	var errs []error
	for i := range routes {
		one, err := c.Compile(routes[i])
		if err != nil {
			errs = append(errs, &RouteError{Index: i, Err: err})
		}
		list[i] = one
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	slices.SortStableFunc(list, func(a, b *Compiled[T]) int { return cmp.Compare(a.order, b.order) })
	return Join(nil, list), nil
}

// Len is the number of routes.
func (t *Table[T]) Len() int { return len(t.list) }

// Lookup returns the value of the route that answers the request, or false if none matches. With a Trace it goes through all routes one by one
// and records why the others lost; without one it takes the fast path. Both have the same result.
func (t *Table[T]) Lookup(in *Input, tr *Trace) (T, bool) {
	var h hit
	if tr == nil {
		h = t.hosts.match(in)
	} else {
		h = tr.run(t.groups, in)
	}
	if h.rank == none {
		var zero T
		return zero, false
	}
	return h.value.(T), true
}
