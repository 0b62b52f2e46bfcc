// The format of the examples' requests.txt: what is sent and what must come back, in the manner of `curl -v`.
//
//	# What this shows.                  begins a case
//	> GET https://shop.example.com/     is sent; further lines with > are header fields
//	< 200                               the status; further lines with < are header fields of the answer
//	< X-Not-There:                      a field without a value must be absent
//	= path /cart                        a member of the JSON with which the echo backend says what it received
//	= headers.X-Secret                  a member without a value must be absent
//	10x X-Echo-Name: a 8, b 2           send it ten times, and count the values of a field of the answers
//
// A case that begins with > OPEN and a URL of scheme tcp, tls or udp is a conversation: further lines with > are lines, or datagrams, that are sent, lines
// with < those that must come back, and END says that the connection is closed then (streams_test.go).

package examples

import (
	"bufio"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// request is one case of a requests.txt.
type request struct {
	name, method, url string
	fields            []pair
	status            int
	answer            []pair // fields; an empty value means absent
	members           []pair // of the JSON body; an empty value means absent
	times             int    // 0: once, and nothing is counted
	counted           string
	counts            map[string]int
	steps             []step // of a conversation
}

type pair struct{ name, value string }

var repeat = regexp.MustCompile(`^(\d+)x ([\w-]+): (.+)$`)

// readRequests parses a requests.txt. Errors name the line.
func readRequests(r io.Reader) ([]*request, error) {
	var list []*request
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		text := strings.TrimSpace(lines.Text())
		if text == "" {
			continue
		}
		if name, ok := strings.CutPrefix(text, "# "); ok {
			list = append(list, &request{name: name})
			continue
		}
		if len(list) == 0 {
			return nil, fmt.Errorf("line %d: a case begins with '# '", n)
		}
		if err := list[len(list)-1].line(text); err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
	}
	for _, c := range list {
		if c.url == "" || c.status == 0 && len(c.steps) == 0 {
			return nil, fmt.Errorf("case %q has no request or no status", c.name)
		}
	}
	return list, lines.Err()
}

// line adds one line to a case.
func (c *request) line(text string) error {
	if c.method == open {
		return c.step(text)
	}
	if m := repeat.FindStringSubmatch(text); m != nil {
		return c.repeat(m[1], m[2], m[3])
	}
	kind, rest, _ := strings.Cut(text, " ")
	name, value, isField := strings.Cut(rest, ":")
	field := pair{name, strings.TrimSpace(value)}
	var err error
	switch {
	case kind == ">" && c.url == "":
		c.method, c.url, _ = strings.Cut(rest, " ")
	case kind == ">" && isField:
		c.fields = append(c.fields, field)
	case kind == "<" && c.status == 0:
		c.status, err = strconv.Atoi(rest)
	case kind == "<" && isField:
		c.answer = append(c.answer, field)
	case kind == "=":
		member, want, _ := strings.Cut(rest, " ")
		c.members = append(c.members, pair{member, want})
	default:
		err = fmt.Errorf("cannot read %q", text)
	}
	return err
}

// repeat reads "10x X-Echo-Name: a 8, b 2".
func (c *request) repeat(times, field, counts string) error {
	c.counted, c.counts = field, map[string]int{}
	var err error
	if c.times, err = strconv.Atoi(times); err != nil {
		return err
	}
	for part := range strings.SplitSeq(counts, ", ") {
		value, count, _ := strings.Cut(part, " ")
		if c.counts[value], err = strconv.Atoi(count); err != nil {
			return err
		}
	}
	return nil
}

func TestRequestsAreRead(t *testing.T) {
	list, err := readRequests(strings.NewReader(`
# First.
> POST http://shop.example.com:81/a?b=c
> X-One: 1
< 200
< X-Two: 2: two
< X-None:
= headers.X-One 1
= query

# Second.
> GET https://shop.example.com/
< 404
10x X-Echo-Name: a 8, b 2

# Third.
> OPEN tcp://localhost:25
< 220 mail
>
> QUIT
END
`))
	if err != nil || len(list) != 3 {
		t.Fatalf("got %d cases, %v", len(list), err)
	}
	first, second := list[0], list[1]
	if first.method != "POST" || first.url != "http://shop.example.com:81/a?b=c" || first.status != 200 ||
		!slices.Equal(first.fields, []pair{{"X-One", "1"}}) ||
		!slices.Equal(first.answer, []pair{{"X-Two", "2: two"}, {"X-None", ""}}) ||
		!slices.Equal(first.members, []pair{{"headers.X-One", "1"}, {"query", ""}}) {
		t.Errorf("first case: %+v", first)
	}
	if second.status != 404 || second.times != 10 || second.counted != "X-Echo-Name" || second.counts["a"] != 8 || second.counts["b"] != 2 {
		t.Errorf("second case: %+v", second)
	}
	if third := list[2]; third.method != open || !slices.Equal(third.steps, []step{{hear, "220 mail"}, {say, ""}, {say, "QUIT"}, {end, ""}}) {
		t.Errorf("third case: %+v", third)
	}
}

func TestUnreadableRequestsNameTheLine(t *testing.T) {
	for name, text := range map[string]string{
		"no case":         "> GET http://a/",
		"unknown mark":    "# A.\n> GET http://a/\n! what",
		"no number":       "# A.\n> GET http://a/\n< OK",
		"count no number": "# A.\n> GET http://a/\n< 200\n2x A: b c",
		"no request":      "# A.\n< 200",
		"no conversation": "# A.\n> OPEN tcp://a:1",
		"unknown step":    "# A.\n> OPEN tcp://a:1\n= path /",
	} {
		t.Run(name, func(t *testing.T) {
			if list, err := readRequests(strings.NewReader(text)); err == nil {
				t.Errorf("read as %+v", list[0])
			}
		})
	}
}
