// How a line looks: JSON, or a template.
//
// A template is text with $names, which are the keys of the JSON form: "$client $method $path $status" makes "192.0.2.1 GET /cart 200".
// ${name} separates a name from letters that follow; $$ is a dollar sign. In a template what is unknown is "-", and quotes, backslashes and
// what is not printable ASCII are written as \xHH, so that a client cannot forge lines or fields.

package accesslog

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Combined is the template of the format that Apache and nginx call combined.
const Combined = `$client - - [$time_local] "$method $uri $protocol" $status $sent "$referer" "$user_agent"`

// Format makes lines. It is immutable.
type Format struct {
	fields []field // of the JSON form
	parts  []part  // of a template: text, then a value
}

// part is text and the value after it; the last part of a template may have none.
type part struct {
	text  string
	value func(dst []byte, e *Entry) []byte
}

// ParseFormat understands "json", "combined" and templates. An error names the variable that is not known, and those that are.
func ParseFormat(s string) (*Format, error) {
	switch s {
	case "json":
		return &Format{fields: fields()}, nil
	case "combined":
		s = Combined
	}
	if !strings.Contains(s, "$") {
		return nil, fmt.Errorf("%q is neither json nor combined nor a template with $names", s)
	}
	f := &Format{}
	var text strings.Builder
	for s != "" {
		before, after, found := strings.Cut(s, "$")
		text.WriteString(before)
		if !found {
			break
		}
		if strings.HasPrefix(after, "$") {
			text.WriteByte('$')
			s = after[1:]
			continue
		}
		name, rest := variable(after)
		value := values(name)
		if value == nil {
			return nil, fmt.Errorf("there is no variable $%s; there are $%s", name, strings.Join(names(), ", $"))
		}
		f.parts = append(f.parts, part{text.String(), value})
		text.Reset()
		s = rest
	}
	if text.Len() > 0 {
		f.parts = append(f.parts, part{text: text.String()})
	}
	return f, nil
}

// variable splits a name, bare or in braces, from what follows it.
func variable(s string) (name, rest string) {
	if inner, braced := strings.CutPrefix(s, "{"); braced {
		if name, rest, closed := strings.Cut(inner, "}"); closed {
			return name, rest
		}
	}
	end := strings.IndexFunc(s, func(r rune) bool { return r != '_' && (r < 'a' || r > 'z') })
	if end < 0 {
		end = len(s)
	}
	return s[:end], s[end:]
}

// names lists the variables.
func names() []string {
	list := []string{"time_local", "uri"}
	for _, f := range fields() {
		list = append(list, f.name)
	}
	slices.Sort(list)
	return list
}

// values finds the function that writes a variable in a template; nil if there is none of that name.
func values(name string) func(dst []byte, e *Entry) []byte {
	switch name {
	case "client":
		return func(dst []byte, e *Entry) []byte { return e.Client.Addr().AppendTo(dst) }
	case "time_local":
		return func(dst []byte, e *Entry) []byte { return e.Time.AppendFormat(dst, "02/Jan/2006:15:04:05 -0700") }
	case "uri":
		return func(dst []byte, e *Entry) []byte {
			dst = appendPlain(dst, e.Path)
			if len(e.Query) > 0 {
				dst = appendPlain(append(dst, '?'), e.Query)
			}
			return dst
		}
	}
	for _, f := range fields() {
		if f.name == name {
			return f.plain
		}
	}
	return nil
}

// append adds e's line to dst, without its end.
func (f *Format) append(dst []byte, e *Entry) []byte {
	if f.fields != nil {
		return f.appendJSON(dst, e)
	}
	for i := range f.parts {
		p := &f.parts[i]
		dst = append(dst, p.text...)
		if p.value == nil {
			continue
		}
		before := len(dst)
		if dst = p.value(dst, e); len(dst) == before {
			dst = append(dst, '-')
		}
	}
	return dst
}

// appendJSON adds an object of all values that are known.
func (f *Format) appendJSON(dst []byte, e *Entry) []byte {
	dst = append(dst, '{')
	first := len(dst)
	for i := range f.fields {
		at := len(dst)
		if at > first {
			dst = append(dst, ',')
		}
		dst = append(append(append(dst, '"'), f.fields[i].name...), '"', ':')
		value := len(dst)
		if dst = f.fields[i].json(dst, e); len(dst) == value {
			dst = dst[:at]
		}
	}
	return append(dst, '}')
}

// field is one value of an Entry: its key, how a template writes it, and how JSON does. Both write nothing for what is unknown.
type field struct {
	name        string
	plain, json func(dst []byte, e *Entry) []byte
}

// fields lists all values in the order of the JSON form.
func fields() []field {
	return []field{
		{"time", appendTime, quoted(appendTime)},
		number("duration", func(dst []byte, e *Entry) []byte { return appendSeconds(dst, e.Duration) }),
		address("client", func(e *Entry) netip.AddrPort { return e.Client }),
		address("local", func(e *Entry) netip.AddrPort { return e.Local }),
		word("protocol", func(e *Entry) string { return e.Protocol }),
		word("tls", func(e *Entry) string { return e.TLS }),
		word("server_name", func(e *Entry) string { return e.ServerName }),
		sent("method", func(e *Entry) []byte { return e.Method }),
		sent("host", func(e *Entry) []byte { return e.Host }),
		sent("path", func(e *Entry) []byte { return e.Path }),
		sent("query", func(e *Entry) []byte { return e.Query }),
		sent("referer", func(e *Entry) []byte { return e.Referer }),
		sent("user_agent", func(e *Entry) []byte { return e.UserAgent }),
		number("status", func(dst []byte, e *Entry) []byte {
			if e.Status == 0 {
				return dst
			}
			return strconv.AppendInt(dst, int64(e.Status), 10)
		}),
		word("grpc_status", func(e *Entry) string { return e.GRPCStatus }),
		number("sent", func(dst []byte, e *Entry) []byte { return strconv.AppendInt(dst, e.Sent, 10) }),
		number("received", func(dst []byte, e *Entry) []byte {
			if e.Method != nil {
				return dst
			}
			return strconv.AppendInt(dst, e.Received, 10)
		}),
		word("gateway", func(e *Entry) string { return e.Gateway }),
		word("listener", func(e *Entry) string { return e.Listener }),
		word("route", func(e *Entry) string { return e.Route }),
		word("rule", func(e *Entry) string { return e.Rule }),
		word("backend", func(e *Entry) string { return e.Backend }),
		either("endpoint", word("", func(e *Entry) string { return e.Socket }), address("", func(e *Entry) netip.AddrPort { return e.Endpoint })),
		number("attempts", func(dst []byte, e *Entry) []byte {
			if e.Attempts == 0 {
				return dst
			}
			return strconv.AppendInt(dst, int64(e.Attempts), 10)
		}),
		word("reason", func(e *Entry) string { return e.Reason }),
	}
}

func number(name string, write func(dst []byte, e *Entry) []byte) field {
	return field{name, write, write}
}

func word(name string, get func(*Entry) string) field {
	return field{
		name,
		func(dst []byte, e *Entry) []byte { return appendPlain(dst, get(e)) },
		func(dst []byte, e *Entry) []byte { return appendQuoted(dst, get(e)) },
	}
}

func sent(name string, get func(*Entry) []byte) field {
	return field{
		name,
		func(dst []byte, e *Entry) []byte { return appendPlain(dst, get(e)) },
		func(dst []byte, e *Entry) []byte { return appendQuoted(dst, get(e)) },
	}
}

// either writes the first value, or where that is nothing the second.
func either(name string, first, second field) field {
	choose := func(a, b func(dst []byte, e *Entry) []byte) func(dst []byte, e *Entry) []byte {
		return func(dst []byte, e *Entry) []byte {
			n := len(dst)
			if dst = a(dst, e); len(dst) > n {
				return dst
			}
			return b(dst, e)
		}
	}
	return field{name, choose(first.plain, second.plain), choose(first.json, second.json)}
}

func address(name string, get func(*Entry) netip.AddrPort) field {
	write := func(dst []byte, e *Entry) []byte {
		if a := get(e); a.IsValid() {
			return a.AppendTo(dst)
		}
		return dst
	}
	return field{name, write, quoted(write)}
}

// quoted puts what write writes between quotes, which it needs no escapes for, unless it is nothing.
func quoted(write func(dst []byte, e *Entry) []byte) func(dst []byte, e *Entry) []byte {
	return func(dst []byte, e *Entry) []byte {
		start := len(dst)
		dst = write(append(dst, '"'), e)
		if len(dst) == start+1 {
			return dst[:start]
		}
		return append(dst, '"')
	}
}

func appendTime(dst []byte, e *Entry) []byte {
	return e.Time.UTC().AppendFormat(dst, "2006-01-02T15:04:05.000000Z")
}

// appendSeconds writes a duration in seconds, to the microsecond.
func appendSeconds(dst []byte, d time.Duration) []byte {
	return strconv.AppendFloat(dst, d.Seconds(), 'f', 6, 64)
}

const hex = "0123456789abcdef"

// appendPlain writes a value of a template.
func appendPlain[S string | []byte](dst []byte, s S) []byte {
	for i := range len(s) {
		switch b := s[i]; {
		case b < ' ' || b >= 0x7f || b == '"' || b == '\\':
			dst = append(dst, '\\', 'x', hex[b>>4], hex[b&15])
		default:
			dst = append(dst, b)
		}
	}
	return dst
}

// appendQuoted writes a JSON string (RFC 8259 section 7), or nothing if s is empty. Bytes that are not UTF-8 become U+FFFD.
func appendQuoted[S string | []byte](dst []byte, s S) []byte {
	if len(s) == 0 {
		return dst
	}
	dst = append(dst, '"')
	for i := 0; i < len(s); {
		b := s[i]
		if b >= utf8.RuneSelf {
			r, n := utf8.DecodeRuneInString(string(s[i:min(i+utf8.UTFMax, len(s))]))
			dst = utf8.AppendRune(dst, r)
			i += n
			continue
		}
		switch {
		case b == '"' || b == '\\':
			dst = append(dst, '\\', b)
		case b < ' ' || b == 0x7f:
			dst = append(dst, '\\', 'u', '0', '0', hex[b>>4], hex[b&15])
		default:
			dst = append(dst, b)
		}
		i++
	}
	return append(dst, '"')
}
