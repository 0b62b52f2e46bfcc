// Package router finds the rule that answers a request. It imports nothing else of this project.
package router

// Route is one match of one rule under one hostname: what New compiles.
type Route[T any] struct {
	// Hostname is "" (every host), "*.example.com" (one label or more in front) or "shop.example.com"; lower case, no port.
	Hostname string
	// Declared is the hostname that the route's author wrote; where Hostnames are equal the more specific Declared wins.
	Declared string
	Match    Match
	// Order breaks the ties that the match leaves (oldest route, namespace/name, rule, match): smaller wins; unique in a table.
	Order int
	Value T
}

// Match is a conjunction of predicates, as HTTPRouteMatch.
type Match struct {
	PathType PathType
	Path     string // normalised as requests' paths are; for RegularExpression the pattern
	Method   string // "" is any
	Headers  []Predicate
	Query    []Predicate
}

// PathType is how Match.Path is compared.
type PathType uint8

// The path types of the Gateway API.
const (
	PathPrefix PathType = iota
	Exact
	RegularExpression
)

// Predicate compares one header field or query parameter.
type Predicate struct {
	Name  string // header names compare case-insensitively, query parameter names exactly
	Value string
	Regex bool // RE2, the whole value
}

// Input is a request as the router sees it. Host is lower case and has no port.
type Input struct {
	Host, Path, Method, Query []byte
	Header                    Header
}

// Header gives the combined value of a header field (RFC 9110 section 5.3), using scratch if it must join.
type Header interface {
	Combined(name string, scratch []byte) (value []byte, ok bool)
}
