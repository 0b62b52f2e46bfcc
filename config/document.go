// Reading one YAML document: its values as kubectl reads them, and where in the text each of them stands.

package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
	kjson "sigs.k8s.io/json"
	sigsyaml "sigs.k8s.io/yaml"
)

// document is one document of a file, read.
type document struct {
	value any    // nil, map[string]any, []any, string, bool, int64 or float64
	json  []byte // value as JSON with sorted keys
	tree  places
}

// readDocument reads the text of one document twice: its values by the rules that kubectl reads them by, and the places of
// those values from the nodes of the same bytes. Both have the same shape. A document without content has the value nil.
//
// The nodes come first, because a parser that does not expand aliases is the one to say that it is safe to expand them.
func readDocument(c chunk, lim limits) (d document, err error) {
	defer func() {
		// Parsers of third parties meet whatever people write.
		if r := recover(); r != nil {
			err = &textError{line: c.line + 1, message: fmt.Sprintf("the YAML parser failed: %v", r)}
		}
	}()
	var node yaml.Node
	decoder := yaml.NewDecoder(bytes.NewReader(c.text))
	if err := decoder.Decode(&node); err != nil {
		if errors.Is(err, io.EOF) {
			return document{}, nil
		}
		return document{}, parserError(err, c)
	}
	if err := decoder.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		if err != nil {
			return document{}, parserError(err, c)
		}
		return document{}, &textError{line: c.line + 1, message: "more than one document without a line of --- between them"}
	}
	d.tree, err = newPlaces(&node, c, lim)
	if err != nil {
		return document{}, err
	}
	d.json, err = sigsyaml.YAMLToJSON(c.text)
	if err != nil {
		return document{}, parserError(err, c)
	}
	if err := kjson.UnmarshalCaseSensitivePreserveInts(d.json, &d.value); err != nil {
		return document{}, parserError(err, c)
	}
	return d, nil
}

// parserLine finds the line that a parser's message names.
var parserLine = regexp.MustCompile(`line (\d+): `)

// parserQuote finds what a parser quotes from the text, which may be part of a secret.
var parserQuote = regexp.MustCompile(" (`.*`|'[^']+' referenced)")

// unknownAnchor finds the name of an alias without an anchor, for which the parser gives no line.
var unknownAnchor = regexp.MustCompile(`unknown anchor '([^']+)'`)

// parserError makes a textError of what a YAML parser says about a text, with what usually is the cause.
func parserError(err error, c chunk) error {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	text = strings.TrimPrefix(text, "unmarshal errors:\n  ")
	out := &textError{line: c.line + 1}
	if m := parserLine.FindStringSubmatchIndex(text); m != nil {
		if n, err := strconv.Atoi(text[m[2]:m[3]]); err == nil && m[0] == 0 {
			out.line = c.line + n
			text = text[m[1]:]
		}
	}
	if m := unknownAnchor.FindStringSubmatch(text); m != nil {
		before, _, _ := strings.Cut(string(c.text), "*"+m[1])
		out.line = c.line + strings.Count(before, "\n") + 1
		out.column = utf8.RuneCountInString(before[strings.LastIndexByte(before, '\n')+1:]) + 1
	}
	text, _, _ = strings.Cut(text, "\n")
	text = parserQuote.ReplaceAllString(text, "")
	if bytes.Contains(c.text, []byte("{{")) {
		out.message = "not valid YAML: " + text + " (" + templateHint + ")"
		return out
	}
	for _, h := range parserHints {
		if strings.Contains(text, h.message) {
			text += " (" + h.hint + ")"
			break
		}
	}
	out.message = "not valid YAML: " + text
	return out
}

// templateHint is for text with {{ in it.
const templateHint = "if it is a template, give Wicketgate what helm template or its like makes of it"

// parserHints say what usually is behind a parser's message.
var parserHints = []struct{ message, hint string }{
	{"found character that cannot start any token", "indent with spaces, not tabs; put a value that begins with @, ` or % in quotes"},
	{"found a tab character", "indent with spaces, not tabs"},
	{"mapping values are not allowed", "put a value that contains \": \" in quotes, or compare the indentation with the line above"},
	{"did not find expected key", "compare the indentation with the lines above; an opening quote or bracket may lack its closing one"},
	{"did not find expected '-' indicator", "compare the indentation with the lines above"},
	{"could not find expected ':'", "a key is followed by a colon and a space"},
	{"did not find expected alphabetic or numeric character", "put a value that begins with * in quotes: \"*.example.com\""},
	{"unknown anchor", "put a value that begins with * in quotes"},
	{"unexpected end of stream", "a quote is never closed"},
	{"control characters are not allowed", "is this a text file in UTF-8?"},
	{"invalid UTF-8", "save the file as UTF-8"},
	{"invalid leading UTF-8 octet", "save the file as UTF-8"},
	{"invalid trailing UTF-8 octet", "save the file as UTF-8"},
	{"incomplete UTF-8 octet sequence", "save the file as UTF-8"},
	{"did not find expected node content", "a value is missing here, or an opening bracket or brace has none to close it; put text that begins with { or [ in quotes"},
}
