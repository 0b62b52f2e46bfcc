// Regular expressions: RE2 by package regexp, which runs in time linear in the text, anchored at both ends, and bounded in
// size, because that linear time is also proportional to the size of the compiled program.

package router

import (
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"
	"strings"
)

// The bounds of a regular expression.
const (
	// MaxPatternBytes is the longest text of a regular expression: the longest header value that the Gateway API admits.
	MaxPatternBytes = 4096
	// MaxPatternProgram is the largest number of instructions that a regular expression may compile to.
	MaxPatternProgram = 2000
)

// pattern is a compiled regular expression that matches whole values.
type pattern struct {
	re *regexp.Regexp
	// literal is what every text that matches begins with, as far as that is easily known.
	literal string
}

var errPatternSize = errors.New("the regular expression is too large")

// get compiles an expression, if it is not there.
func (c *expressions) get(text string) (*pattern, error) {
	if p := (*c)[text]; p != nil {
		return p, nil
	}
	p, err := compilePattern(text)
	if err == nil {
		if *c == nil {
			*c = expressions{}
		}
		(*c)[text] = p
	}
	return p, err
}

func compilePattern(text string) (*pattern, error) {
	if len(text) > MaxPatternBytes {
		return nil, fmt.Errorf("%w: %d bytes, at most %d are allowed; use several shorter ones", errPatternSize, len(text), MaxPatternBytes)
	}
	// The text is parsed alone first, lest "a)|(b" become valid within the anchors, and written anew, lest the quote of `a\Qb` go on behind it.
	parsed, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		return nil, fmt.Errorf("not a regular expression in RE2 syntax: %w", err)
	}
	literal := literalPrefix(parsed)
	prog, err := syntax.Compile(parsed.Simplify())
	if err != nil {
		return nil, fmt.Errorf("not a regular expression in RE2 syntax: %w", err)
	}
	if n := len(prog.Inst); n > MaxPatternProgram {
		return nil, fmt.Errorf("%w: it compiles to %d instructions, at most %d are allowed; use smaller repetition counts", errPatternSize, n, MaxPatternProgram)
	}
	re, err := regexp.Compile("^(?:" + parsed.String() + ")$")
	if err != nil {
		return nil, fmt.Errorf("not a regular expression in RE2 syntax: %w", err)
	}
	return &pattern{re: re, literal: literal}, nil
}

// literalPrefix returns what every match of an expression begins with: "/item/" of "/item/[0-9]+" or "^/item/.*".
func literalPrefix(re *syntax.Regexp) string {
	list := []*syntax.Regexp{re}
	if re.Op == syntax.OpConcat {
		list = re.Sub
	}
	var b strings.Builder
	for _, sub := range list {
		switch {
		case sub.Op == syntax.OpBeginText && b.Len() == 0:
		case sub.Op == syntax.OpLiteral && sub.Flags&syntax.FoldCase == 0:
			b.WriteString(string(sub.Rune))
		default:
			return b.String()
		}
	}
	return b.String()
}
