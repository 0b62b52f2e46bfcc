// From a Match as its author wrote it to one that can be compared and tested: names folded, duplicates dropped, regular
// expressions compiled, everything checked.

package router

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// expressions are the regular expressions that routes share, by text.
type expressions map[string]*pattern

// route compiles one route.
func (c *expressions) route(hostname, declared string, m *Match) (*route, error) {
	r := &route{hostname: hostname, declared: declared, kind: m.PathType, path: m.Path}
	if err := checkHostname(hostname); err != nil {
		return r, err
	}
	if err := c.path(r, m); err != nil {
		return r, err
	}
	if m.Method != "" {
		r.tests = append(r.tests, test{kind: ofMethod, value: m.Method})
		r.methods = 1
	}
	var err error
	if r.headers, err = c.predicates(r, ofHeader, m.Headers); err != nil {
		return r, err
	}
	r.query, err = c.predicates(r, ofQuery, m.Query)
	return r, err
}

func (c *expressions) path(r *route, m *Match) error {
	switch r.kind {
	case RegularExpression:
		p, err := c.get(r.path)
		if err != nil {
			return fmt.Errorf("path: %w", err)
		}
		r.pattern = p
		return nil
	case Exact, PathPrefix:
		if !strings.HasPrefix(r.path, "/") {
			return fmt.Errorf("path %q must begin with a slash", r.path)
		}
		if r.kind == PathPrefix {
			r.path = strings.TrimSuffix(r.path, "/")
		}
		return nil
	case GRPC:
		return c.call(r, m.Call)
	default:
		return fmt.Errorf("unknown path type %d", r.kind)
	}
}

// call compiles what a route of type GRPC compares the path with.
func (c *expressions) call(r *route, want Call) (err error) {
	if want.Service == "" && want.Method == "" {
		want.Regex = false
	}
	r.call, r.path = &call{Call: want}, want.key()
	if !want.Regex {
		if strings.Contains(want.Method, "/") {
			return fmt.Errorf("method %q must not have a slash", want.Method)
		}
		return nil
	}
	if want.Service != "" {
		if r.call.service, err = c.get(want.Service); err != nil {
			return fmt.Errorf("service: %w", err)
		}
	}
	if want.Method != "" {
		if r.call.method, err = c.get(want.Method); err != nil {
			return fmt.Errorf("method: %w", err)
		}
	}
	return nil
}

// predicates appends the tests for list to r and returns how many there are: of several with one name only the first
// counts (HTTPHeaderMatch.Name, HTTPQueryParamMatch.Name).
func (c *expressions) predicates(r *route, kind kind, list []Predicate) (int, error) {
	n := len(r.tests)
	for _, p := range list {
		t := test{kind: kind, name: p.Name, value: p.Value}
		if kind == ofHeader {
			t.name = strings.ToLower(p.Name)
		}
		if p.Name == "" {
			return 0, fmt.Errorf("a match of a %s without a name", kind)
		}
		if slices.ContainsFunc(r.tests[n:], func(other test) bool { return other.name == t.name }) {
			continue
		}
		if p.Regex {
			re, err := c.get(p.Value)
			if err != nil {
				return 0, fmt.Errorf("%s %s: %w", kind, p.Name, err)
			}
			t.pattern = re
		}
		r.tests = append(r.tests, t)
	}
	return len(r.tests) - n, nil
}

var errHostname = errors.New(`want "" for every host, a host name in lower case without a port, or one that begins with "*."`)

func checkHostname(hostname string) error {
	rest := strings.TrimPrefix(hostname, "*.")
	bad := strings.ContainsAny(rest, "*: ") || strings.ToLower(rest) != rest || rest == "" ||
		rest[0] == '.' || rest[len(rest)-1] == '.' || strings.Contains(rest, "..")
	if hostname != "" && bad {
		return fmt.Errorf("hostname %q: %w", hostname, errHostname)
	}
	return nil
}
