// Matches: defaults, and what of them cannot be compiled. The bounds of regular expressions are the router's.

package gateway

import (
	"fmt"
	"regexp/syntax"
	"slices"
	"strconv"
	"strings"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// The bounds of a regular expression: its text, and the instructions that it compiles to. The router refuses what exceeds them.
const (
	maxPatternBytes   = 4096
	maxPatternProgram = 2000
)

// checkMatches gives the matches of a rule with defaults filled in, without those that are faulty. It returns the spec's own slice if
// that is all of them.
func checkMatches(rule *Rule, spec []gatewayv1.HTTPRouteMatch, dropped *faults) []gatewayv1.HTTPRouteMatch {
	if len(spec) == 0 {
		return []gatewayv1.HTTPRouteMatch{{Path: everyPath()}}
	}
	valid := spec
	copied := false
	own := func(i int) { // before the first change, at i
		if !copied {
			valid, copied = slices.Clone(spec[:i]), true
		}
	}
	for i := range spec {
		if path, message := checkMatch(&spec[i]); message != "" {
			own(i)
			at := "matches[" + strconv.Itoa(i) + "]." + path
			rule.drop(dropped, reasonUnsupportedValue, at, message)
			continue
		}
		match := spec[i]
		if match.Path == nil || match.Path.Type == nil || match.Path.Value == nil {
			own(i)
			match.Path = defaultPath(match.Path)
		}
		if copied {
			valid = append(valid, match)
		}
	}
	return valid
}

// everyPath is the match that the specification defines for a rule without any.
func everyPath() *gatewayv1.HTTPPathMatch { return defaultPath(nil) }

// defaultPath fills in what the schema would.
func defaultPath(p *gatewayv1.HTTPPathMatch) *gatewayv1.HTTPPathMatch {
	kind, value := gatewayv1.PathMatchPathPrefix, "/"
	if p != nil {
		kind, value = deref(p.Type, kind), deref(p.Value, value)
	}
	return &gatewayv1.HTTPPathMatch{Type: &kind, Value: &value}
}

// checkMatch says which field of a match cannot be served, and why; both are empty if all can.
func checkMatch(m *gatewayv1.HTTPRouteMatch) (path, message string) {
	if message := checkPath(defaultPath(m.Path)); message != "" {
		return "path", message
	}
	if m.Method != nil && !slices.Contains(methods(), *m.Method) {
		return "method", "method " + strconv.Quote(string(*m.Method)) + " is not known"
	}
	for i, h := range m.Headers {
		if message := checkValue(string(deref(h.Type, gatewayv1.HeaderMatchExact)), h.Value); message != "" {
			return "headers[" + strconv.Itoa(i) + "]", message
		}
	}
	for i, q := range m.QueryParams {
		if message := checkValue(string(deref(q.Type, gatewayv1.QueryParamMatchExact)), q.Value); message != "" {
			return "queryParams[" + strconv.Itoa(i) + "]", message
		}
	}
	return "", ""
}

// methods are those that the specification lists.
func methods() []gatewayv1.HTTPMethod {
	return []gatewayv1.HTTPMethod{
		gatewayv1.HTTPMethodGet, gatewayv1.HTTPMethodHead, gatewayv1.HTTPMethodPost, gatewayv1.HTTPMethodPut, gatewayv1.HTTPMethodDelete,
		gatewayv1.HTTPMethodConnect, gatewayv1.HTTPMethodOptions, gatewayv1.HTTPMethodTrace, gatewayv1.HTTPMethodPatch,
	}
}

// checkPath says why a path cannot be matched.
func checkPath(p *gatewayv1.HTTPPathMatch) string {
	switch *p.Type {
	case gatewayv1.PathMatchRegularExpression:
		return checkPattern(*p.Value)
	case gatewayv1.PathMatchExact, gatewayv1.PathMatchPathPrefix:
		return checkPathValue(*p.Value)
	}
	return "path type " + strconv.Quote(string(*p.Type)) + " is not known: use Exact, PathPrefix or RegularExpression"
}

// checkPathValue refuses paths that no request can have once it is normalised: the schema refuses most, but not those with escapes.
func checkPathValue(value string) string {
	if !strings.HasPrefix(value, "/") {
		return "path " + strconv.Quote(value) + " must begin with a slash"
	}
	for element := range strings.SplitSeq(value[1:], "/") {
		switch plain := strings.NewReplacer("%2e", ".", "%2E", ".").Replace(element); {
		case plain == "." || plain == "..":
			return "path " + strconv.Quote(value) + " has a dot segment, which requests are rid of before they are matched: write the path without it"
		case strings.Contains(element, "%00"):
			return "path " + strconv.Quote(value) + " has %00, and requests with it are refused"
		}
	}
	return ""
}

// checkValue says why a header's or query parameter's value cannot be matched.
func checkValue(kind, value string) string {
	switch kind {
	case string(gatewayv1.HeaderMatchExact):
		return ""
	case string(gatewayv1.HeaderMatchRegularExpression):
		return checkPattern(value)
	}
	return "match type " + strconv.Quote(kind) + " is not known: use Exact or RegularExpression"
}

// checkPattern says why a regular expression cannot be used. It costs one compilation; nothing of it is kept.
func checkPattern(text string) string {
	if len(text) > maxPatternBytes {
		return fmt.Sprintf("the regular expression is too large: %d bytes, at most %d are allowed", len(text), maxPatternBytes)
	}
	parsed, err := syntax.Parse(text, syntax.Perl)
	if err == nil { // it is used between anchors, and so is nested more deeply
		_, err = syntax.Parse("^(?:"+parsed.String()+")$", syntax.Perl)
	}
	if err != nil {
		return "not a regular expression in RE2 syntax: " + strings.TrimPrefix(err.Error(), "error parsing regexp: ")
	}
	prog, err := syntax.Compile(parsed.Simplify())
	if err != nil {
		return "not a regular expression in RE2 syntax: " + err.Error()
	}
	if n := len(prog.Inst); n > maxPatternProgram {
		return fmt.Sprintf("the regular expression is too large: it compiles to %d instructions, at most %d are allowed; use smaller repetition counts", n, maxPatternProgram)
	}
	return ""
}
