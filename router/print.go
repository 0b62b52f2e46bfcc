// A table as text, for people and for golden tests.

package router

import (
	"bufio"
	"fmt"
	"io"
	"strings"
)

// Print writes the routes in the order of their precedence: a line for each hostname, and below it a line for each of its matches, with what
// describe says about the value after an arrow. Values are quoted where they are compared exactly and stand between slashes where they
// are regular expressions.
func (t *Table[T]) Print(w io.Writer, describe func(T) string) error {
	out := bufio.NewWriter(w)
	for _, p := range t.groups {
		fmt.Fprintln(out, p.routes[0].hostText())
		for _, r := range p.routes {
			fmt.Fprintf(out, "  %-17s %s -> %s\n", r.kind, r.matchText(), describe(r.value.(T)))
		}
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("print routes: %w", err)
	}
	return nil
}

func (r *route) hostText() string {
	text := func(hostname string) string {
		if hostname == "" {
			return "any host"
		}
		return hostname
	}
	if r.declared == r.hostname {
		return text(r.hostname)
	}
	return fmt.Sprintf("%s (route: %s)", text(r.hostname), text(r.declared))
}

func (r *route) matchText() string {
	var b strings.Builder
	if r.call != nil && r.call.Regex {
		fmt.Fprintf(&b, "=~ ")
	}
	b.WriteString(r.pathText())
	for _, t := range r.tests {
		switch {
		case t.kind == ofMethod:
			fmt.Fprintf(&b, ", %s", t.value)
		case t.pattern != nil:
			fmt.Fprintf(&b, ", %s %s =~ /%s/", t.kind, t.name, t.value)
		default:
			fmt.Fprintf(&b, ", %s %s = %q", t.kind, t.name, t.value)
		}
	}
	return b.String()
}
