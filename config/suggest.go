// Suggestions: what somebody who wrote an unknown word most probably meant.

package config

import (
	"fmt"
	"slices"
	"strings"
)

// synonyms are what people write who come from Ingress, from other gateways or from memory, and what the Gateway API calls it. A
// suggestion is made only where one of the words on the right is a field.
var synonyms = map[string][]string{
	"backend":           {"backendRefs", "backendRef"},
	"backends":          {"backendRefs"},
	"services":          {"backendRefs"},
	"service":           {"backendRefs", "backendRef"},
	"forwardto":         {"backendRefs"},
	"destinations":      {"backendRefs"},
	"host":              {"hostnames", "hostname"},
	"hosts":             {"hostnames", "hostname"},
	"domains":           {"hostnames", "hostname"},
	"hostname":          {"hostnames"},
	"hostnames":         {"hostname"},
	"gateways":          {"parentRefs"},
	"gateway":           {"parentRefs"},
	"parents":           {"parentRefs"},
	"paths":             {"matches"},
	"routes":            {"rules"},
	"match":             {"matches"},
	"pathtype":          {"type"},
	"matchtype":         {"type"},
	"rewrite":           {"urlRewrite"},
	"redirect":          {"requestRedirect"},
	"mirror":            {"requestMirror"},
	"requestheaders":    {"requestHeaderModifier"},
	"responseheaders":   {"responseHeaderModifier"},
	"code":              {"statusCode"},
	"protocol":          {"scheme"},
	"query":             {"queryParams"},
	"queryparameters":   {"queryParams"},
	"classname":         {"gatewayClassName"},
	"gatewayclass":      {"gatewayClassName"},
	"class":             {"gatewayClassName"},
	"controller":        {"controllerName"},
	"secretname":        {"certificateRefs"},
	"certificates":      {"certificateRefs"},
	"servers":           {"listeners"},
	"servicename":       {"name"},
	"serviceport":       {"port"},
	"number":            {"port"},
	"containerport":     {"targetPort"},
	"section":           {"sectionName"},
	"listener":          {"sectionName"},
	"namespaceselector": {"selector"},
	"ip":                {"addresses", "address"},
	"ips":               {"addresses"},
	"verb":              {"method"},
	"methods":           {"method"},
	"timeout":           {"timeouts", "request"},
	"retries":           {"retry"},
	"kind":              {"kinds"},
	"prefix":            {"value", "replacePrefixMatch"},
	"regex":             {"value"},
	"exact":             {"value"},
	"data":              {"stringData"},
	"metadate":          {"metadata"},
}

// nearest returns the known word that was most probably meant, or "".
func nearest(word string, known []string) string {
	lower := strings.ToLower(word)
	for _, k := range known {
		if strings.ToLower(k) == lower {
			return k
		}
	}
	for _, s := range synonyms[lower] {
		if slices.Contains(known, s) {
			return s
		}
	}
	best, distance := "", min(3, max(1, len(word)/3))+1
	for _, k := range known {
		if d := editDistance(lower, strings.ToLower(k), distance); d < distance {
			best, distance = k, d
		}
	}
	return best
}

// editDistance counts the insertions, deletions, replacements and swaps of neighbours that turn a into b. It may give up at limit.
func editDistance(a, b string, limit int) int {
	if len(a) > 64 || len(b) > 64 || max(len(a), len(b))-min(len(a), len(b)) >= limit {
		return limit
	}
	var before, last, row [65]int
	for j := range len(b) + 1 {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last = last, row
	}
	return last[len(b)]
}

// unknownField says that a field does not exist. Known are the fields beside it; elsewhere names a place where a field of that name
// does exist, or is empty.
func unknownField(name string, known []string, elsewhere string) string {
	known = slices.Sorted(slices.Values(known))
	if guess := nearest(name, known); guess != "" {
		return fmt.Sprintf("unknown field (did you mean %q?)", guess)
	}
	if elsewhere != "" {
		return fmt.Sprintf("unknown field (it belongs in %s)", elsewhere)
	}
	if n := len(known); n > 0 && n <= 12 {
		return "unknown field (known here: " + strings.Join(known, ", ") + ")"
	}
	return "unknown field"
}
