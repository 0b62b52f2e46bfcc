// What the keys of YAML mappings become in JSON, where all keys are strings: "on" becomes "true", 0x10 becomes "16".

package config

import (
	"bytes"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
	sigsyaml "sigs.k8s.io/yaml"
)

// key is what a mapping's key becomes in JSON.
func (p *placer) key(n *yaml.Node) (string, error) {
	at := n
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	switch {
	case n.Kind == yaml.MappingNode && n.Style&yaml.FlowStyle != 0: // {{ .Values.name }} is a mapping with a mapping for a key
		return "", p.fail(at, "a key must be a single word or number (%s)", templateHint)
	case n.Kind != yaml.ScalarNode:
		return "", p.fail(at, "a key must be a single word or number")
	}
	if n.Style&yaml.TaggedStyle != 0 {
		return "", p.fail(at, "a key cannot have a tag")
	}
	if n.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) != 0 || plainWord(n.Value) {
		return n.Value, nil
	}
	// Numbers, dates, yes and no: the parser that reads the values says what they become. Not every tag shows in the node.
	if c := p.source(n); c != '!' && c != '&' {
		var keys map[string]int
		if err := sigsyaml.Unmarshal([]byte("? "+n.Value+"\n: 0\n"), &keys); err == nil {
			for key := range keys {
				return key, nil
			}
		}
	}
	return "", p.fail(at, "%q cannot be a key: put it in quotes", n.Value)
}

// source is the byte of the text where a node begins, or 0.
func (p *placer) source(n *yaml.Node) byte {
	if p.lines == nil {
		p.lines = bytes.SplitAfter(p.text, []byte("\n"))
	}
	if n.Line < 1 || n.Line > len(p.lines) {
		return 0
	}
	column := 1
	for _, c := range string(p.lines[n.Line-1]) {
		if column == n.Column {
			return byte(min(c, utf8.RuneSelf))
		}
		column++
	}
	return 0
}

// plainWord reports whether a plain scalar is certainly read as a string: it begins with a letter and is none of YAML's words.
func plainWord(s string) bool {
	if s == "" || (s[0]|0x20) < 'a' || (s[0]|0x20) > 'z' {
		return false
	}
	switch strings.ToLower(s) {
	case "y", "yes", "n", "no", "on", "off", "true", "false", "null":
		return false
	}
	return true
}
