// Findings: what is wrong with one object, before it is known where it stands.

package config

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/wicketgate/wicketgate/object"
)

// finding is a Problem of one object before its position is known: admission does not know where an object stands, so that its
// outcome is remembered for every place with the same text.
type finding struct {
	severity object.Severity
	field    string
	message  string
}

// findings collects what is wrong with one object.
type findings []finding

func (f *findings) errorf(path *field.Path, format string, args ...any) {
	*f = append(*f, finding{severity: object.Error, field: pathString(path), message: fmt.Sprintf(format, args...)})
}

func (f *findings) warnf(path *field.Path, format string, args ...any) {
	*f = append(*f, finding{severity: object.Warning, field: pathString(path), message: fmt.Sprintf(format, args...)})
}

// rejected reports whether any finding is an error.
func (f findings) rejected() bool {
	for _, x := range f {
		if x.severity == object.Error {
			return true
		}
	}
	return false
}

func pathString(p *field.Path) string {
	if p == nil {
		return ""
	}
	return p.String()
}

// add takes over the errors of Kubernetes' validation, in the words of this program.
func (f *findings) add(errs field.ErrorList) {
	var alternatives findings
	for _, err := range errs {
		path := err.Field
		if path == "<nil>" {
			path = ""
		}
		if m := failedAlternatives.FindStringSubmatch(err.Detail); m != nil {
			alternatives = append(alternatives, finding{severity: object.Error, field: m[1], message: "has none of the forms that are allowed here"})
			continue
		}
		*f = append(*f, finding{severity: object.Error, field: path, message: words(err)})
	}
	for _, a := range alternatives {
		// Usually one of the alternatives says more.
		if !slices.ContainsFunc(*f, func(x finding) bool { return strings.HasPrefix(x.field, a.field) }) {
			*f = append(*f, a)
		}
	}
}

// failedAlternatives matches what a validator says of anyOf, oneOf and allOf. It names the field in the text.
var failedAlternatives = regexp.MustCompile(`^"([^"]*)" must validate .*schema`)

// words says what a validation error means.
func words(err *field.Error) string {
	detail := strings.TrimSpace(strings.TrimPrefix(err.Detail, err.Field+" in body "))
	switch err.Type {
	case field.ErrorTypeRequired:
		if detail == "" {
			return "is required"
		}
		return "is required: " + detail
	case field.ErrorTypeNotSupported:
		return notSupported(err)
	case field.ErrorTypeDuplicate:
		return "another item of the list has the same " + identity(err.BadValue)
	case field.ErrorTypeTypeInvalid:
		return typeInvalid(err, detail)
	}
	detail = ruleHint(patternHint(err.BadValue, detail))
	if err.BadValue != nil && err.BadValue != "" {
		if v := quoted(err.BadValue); v != "" {
			return v + ": " + detail
		}
	}
	return detail
}

// identity shows what two items of a list have in common: a value, or the keys that tell items apart.
func identity(v any) string {
	keys, ok := v.(map[string]any)
	if !ok {
		return "value " + quoted(v)
	}
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(keys)) {
		parts = append(parts, k+" "+quoted(keys[k]))
	}
	return strings.Join(parts, " and ")
}

// ruleHint says what to do where a rule's own words only say what is wrong.
func ruleHint(detail string) string {
	if detail == "Must have port for Service reference" {
		return "must have a port for a Service: add the one that the Service listens on, such as port: 80"
	}
	return detail
}

// hostCharacters are what names of hosts are made of.
const hostCharacters = "abcdefghijklmnopqrstuvwxyz0123456789-.*"

// patternHint makes a message about a pattern easier to act on.
func patternHint(value any, detail string) string {
	before, _, _ := strings.Cut(detail, ", regex used for validation is")
	if before != detail {
		return before + ")"
	}
	pattern, ok := strings.CutPrefix(detail, "should match '")
	text, isText := value.(string)
	if !ok || !isText {
		return detail
	}
	re, err := regexp.Compile(strings.TrimSuffix(pattern, "'"))
	if err != nil {
		return detail
	}
	host, _, _ := strings.Cut(text, ":")
	if _, rest, isURL := strings.Cut(text, "://"); isURL {
		if host = rest[:len(rest)-len(strings.TrimLeft(rest, hostCharacters))]; re.MatchString(host) {
			return "is a URL: write " + strconv.Quote(host)
		}
		return detail
	}
	switch {
	case text != strings.ToLower(text) && re.MatchString(strings.ToLower(text)):
		return "must be in lower case"
	case text != strings.TrimSpace(text) && re.MatchString(strings.TrimSpace(text)):
		return "has a blank at its begin or end"
	case host != text && re.MatchString(host):
		return "has a colon: write " + strconv.Quote(host)
	case strings.Contains(text, "_") && re.MatchString(strings.ToLower(strings.ReplaceAll(text, "_", "-"))):
		return "must be of lower-case letters, digits, '-' and '.', without underscores"
	}
	return detail
}

// notSupported lists the values of an enumeration, and guesses which one was meant.
func notSupported(err *field.Error) string {
	supported := strings.TrimPrefix(err.Detail, "supported values: ")
	value, isText := err.BadValue.(string)
	if !isText {
		return fmt.Sprintf("%v is not supported; use one of %s", err.BadValue, supported)
	}
	var options []string
	for o := range strings.SplitSeq(supported, ", ") {
		options = append(options, strings.Trim(o, `"`))
	}
	if guess := nearest(value, options); guess != "" {
		return fmt.Sprintf("%q is not supported (did you mean %q?); use one of %s", value, guess, supported)
	}
	return fmt.Sprintf("%q is not supported; use one of %s", value, supported)
}

// typeInvalid names both types.
func typeInvalid(err *field.Error, detail string) string {
	want, _, ok := strings.Cut(strings.TrimPrefix(detail, "must be of type "), ":")
	if !ok {
		return detail
	}
	got, _ := err.BadValue.(string) // kube-openapi gives the type's name, or, of a format, the value
	switch want {
	case "string", "integer", "number", "boolean", "array", "object":
		return mismatch(want, got, nil)
	case "ipv4", "ipv6":
		want = "IP address"
	}
	return fmt.Sprintf("%q is not a valid %s", got, want)
}

// quoted shows a value in a message; large values are not shown.
func quoted(v any) string {
	switch v := v.(type) {
	case string:
		if v == "object" || v == "array" || len(v) > 200 {
			return ""
		}
		return fmt.Sprintf("%q", v)
	case int, int32, int64, float64, bool:
		return fmt.Sprint(v)
	}
	return ""
}

// mismatch says that a value has the wrong type. Types are named as in JSON Schema; value is the offending one, if known.
func mismatch(want, got string, value any) string {
	m := "must be " + withArticle(want) + ", not " + withArticle(got)
	switch {
	case want == "string" && (got == "boolean" || got == "integer" || got == "number"):
		if value != nil {
			return fmt.Sprintf("%s: put it in quotes: \"%v\"", m, value)
		}
		return m + ": put it in quotes"
	case (want == "integer" || want == "number") && got == "string":
		return m + ": write a number, without quotes"
	case want == "boolean" && got == "string":
		return m + ": write true or false, without quotes"
	case want == "array":
		return m + ": begin the item with \"- \""
	case want == "object" && got == "array":
		return m + ": remove the \"- \""
	}
	return m
}

// withArticle names a JSON type in a sentence.
func withArticle(t string) string {
	switch t {
	case "object":
		return "a mapping"
	case "array":
		return "a list"
	case "integer":
		return "an integer"
	case "null", "":
		return "empty"
	}
	return "a " + t
}

// typeOf names the JSON type of a decoded value.
func typeOf(v any) string {
	switch v.(type) {
	case nil:
		return "null"
	case map[string]any:
		return "object"
	case []any:
		return "array"
	case string:
		return "string"
	case bool:
		return "boolean"
	case int64:
		return "integer"
	}
	return "number"
}
