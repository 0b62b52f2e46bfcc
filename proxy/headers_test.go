// Header modifiers, one by one.

package proxy

import (
	"slices"
	"strings"
	"testing"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/wicketgate/wicketgate/message"
)

func headerList(lines ...string) (out []gatewayv1.HTTPHeader) {
	for _, l := range lines {
		name, value, _ := strings.Cut(l, ": ")
		out = append(out, gatewayv1.HTTPHeader{Name: gatewayv1.HTTPHeaderName(name), Value: value})
	}
	return out
}

func headOf(lines ...string) *message.Head {
	h := &message.Head{}
	for _, l := range lines {
		name, value, _ := strings.Cut(l, ": ")
		h.Fields.Add([]byte(name), []byte(value))
	}
	return h
}

func linesOf(f *message.Fields) (out []string) {
	for i := range f.Len() {
		out = append(out, string(f.At(i).Name)+": "+string(f.At(i).Value))
	}
	return out
}

func TestHeaderModifier(t *testing.T) {
	for name, c := range map[string]struct {
		filter     gatewayv1.HTTPHeaderFilter
		have, want []string
	}{
		"sets what is missing": {
			gatewayv1.HTTPHeaderFilter{Set: headerList("X-Set: new")}, []string{"A: 1"}, []string{"A: 1", "X-Set: new"},
		},
		"set replaces all values, whatever their case": {
			gatewayv1.HTTPHeaderFilter{Set: headerList("X-Set: new")}, []string{"x-set: 1", "A: 1", "X-SET: 2"}, []string{"X-Set: new", "A: 1"},
		},
		"add keeps what is there": {
			gatewayv1.HTTPHeaderFilter{Add: headerList("X-Add: b")}, []string{"x-add: a"}, []string{"x-add: a", "X-Add: b"},
		},
		"remove, whatever the case": {
			gatewayv1.HTTPHeaderFilter{Remove: []string{"X-Gone"}}, []string{"x-gone: 1", "A: 1", "X-GONE: 2"}, []string{"A: 1"},
		},
		"remove comes before set and add": {
			gatewayv1.HTTPHeaderFilter{Set: headerList("S: 2"), Add: headerList("D: 2"), Remove: []string{"s", "d"}},
			[]string{"S: 1", "D: 1"},
			[]string{"S: 2", "D: 2"},
		},
		"the first of several entries counts": {
			gatewayv1.HTTPHeaderFilter{Set: headerList("S: 1", "s: 2"), Add: headerList("D: 1", "d: 2")}, nil, []string{"S: 1", "D: 1"},
		},
		"the newline of a block scalar is not part of a value": {
			gatewayv1.HTTPHeaderFilter{Set: headerList("S: 1\n")}, nil, []string{"S: 1"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			m, err := compileHeaderModifier(&c.filter)
			if err != nil {
				t.Fatal(err)
			}
			h := headOf(c.have...)
			m.apply(h)
			if got := linesOf(&h.Fields); !slices.Equal(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestHeaderModifierRefuses(t *testing.T) {
	for name, f := range map[string]gatewayv1.HTTPHeaderFilter{
		"a line break in a value": {Set: headerList("A: 1\r\nB: 2")},
		"a null byte":             {Add: headerList("A: 1\x002")},
		"a name that is none":     {Remove: []string{"a b"}},
	} {
		if _, err := compileHeaderModifier(&f); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
	for _, name := range append([]string{"CONNECTION", "Transfer-Encoding", "Host"}, reserved...) {
		for what, f := range map[string]gatewayv1.HTTPHeaderFilter{
			"set": {Set: headerList(name + ": x")}, "add": {Add: headerList(name + ": x")}, "remove": {Remove: []string{name}},
		} {
			if _, err := compileHeaderModifier(&f); err == nil {
				t.Errorf("%s %s was accepted", what, name)
			}
		}
	}
}
