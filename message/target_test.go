// Tests of the normalisation of request targets.

package message

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

func TestNormalizePath(t *testing.T) {
	for _, c := range []struct{ name, in, merged, unmerged string }{
		{"root", "/", "/", "/"},
		{"unreserved escapes are decoded", "/%61%2D%2e%5F%7E%39", "/a-._~9", "/a-._~9"},
		{"other escapes stay, in upper case", "/%2f%c3%a9%25%5c%3f%20", "/%2F%C3%A9%25%5C%3F%20", "/%2F%C3%A9%25%5C%3F%20"},
		{"an escape is decoded once", "/%2561", "/%2561", "/%2561"},
		{"bytes that browsers send as they are stay", "/{a}|\"é'", "/{a}|\"é'", "/{a}|\"é'"},
		{"dot segments", "/a/./b/../c", "/a/c", "/a/c"},
		{"dot segments at the end name a directory", "/a/b/..", "/a/", "/a/"},
		{"dot at the end names a directory", "/a/.", "/a/", "/a/"},
		{"escaped dot segments", "/a/%2e/b/%2E%2e/c/.%2e", "/a/", "/a/"},
		{"never above the root", "/../../a/../../b", "/b", "/b"},
		{"only dots above the root", "/..", "/", "/"},
		{"three dots are a name", "/.../a", "/.../a", "/.../a"},
		{"slashes in a row", "//a///b//", "/a/b/", "//a///b//"},
		{"dots and slashes", "/a//../b", "/b", "/a/b"},
		{"dots and slashes at the end", "/a//..", "/", "/a/"},
		{"an escaped slash is not a separator", "/a%2F../b", "/a%2F../b", "/a%2F../b"},
		{"what dots leave is not an authority", "/..//evil", "/evil", "//evil"},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, merge := range []bool{true, false} {
				want := map[bool]string{true: c.merged, false: c.unmerged}[merge]
				got, err := NormalizePath([]byte(c.in), merge)
				if err != nil || string(got) != want {
					t.Errorf("NormalizePath(%q, %v) = %q, %v, want %q", c.in, merge, got, err, want)
				}
			}
		})
	}
}

func TestNormalizeTarget(t *testing.T) {
	for _, c := range []struct {
		in, path, query string
		has             bool
	}{
		{"/a", "/a", "", false},
		{"/a?", "/a", "", true},
		{"/a/../b?x=%2e&y=//&z=100%", "/b", "x=%2e&y=//&z=100%", true},
		{"/a?b?c", "/a", "b?c", true},
		{"*", "*", "", false},
		{"", "", "", false},
	} {
		h := Head{Target: []byte(c.in)}
		if err := NormalizeTarget(&h, true); err != nil || string(h.Path) != c.path || string(h.Query) != c.query || h.HasQuery != c.has {
			t.Errorf("%q: path %q, query %q %v, %v; want %q, %q %v", c.in, h.Path, h.Query, h.HasQuery, err, c.path, c.query, c.has)
		}
	}
}

func TestNormalizeTargetRefuses(t *testing.T) {
	for in, want := range map[string]error{
		"a": ErrTargetForm, "?": ErrTargetForm, "**": ErrTargetForm, "http://a/": ErrTargetForm,
		"/%": ErrTargetEscape, "/%6": ErrTargetEscape, "/%6g": ErrTargetEscape, "/%00": ErrTargetEscape, "/a/%%36%31": ErrTargetEscape, "/%u0061": ErrTargetEscape,
		"/\\": ErrTargetByte, "/a b": ErrTargetByte, "/\x00": ErrTargetByte, "/\x7f": ErrTargetByte, "/a#b": ErrTargetByte,
		"/?\x00": ErrTargetByte, "/?#": ErrTargetByte, "/? ": ErrTargetByte, "/\t": ErrTargetByte,
	} {
		h := Head{Target: []byte(in)}
		if err := NormalizeTarget(&h, true); !errors.Is(err, want) {
			t.Errorf("%q: %v, want %v", in, err, want)
		}
	}
}

// FuzzNormalizePath: normalising twice changes nothing, nothing climbs above the root, and no segment is left that a backend would
// resolve.
func FuzzNormalizePath(f *testing.F) {
	for _, s := range []string{"/", "/a/%2e%2E/b", "//..//.", "/%2f%2F..", "/a/b/c/../../../../d/", "/%41%zz"} {
		f.Add(s, true)
		f.Add(s, false)
	}
	f.Fuzz(func(t *testing.T, s string, merge bool) {
		once, err := NormalizePath([]byte(s), merge)
		if err != nil {
			return
		}
		if len(once) > len(s) || len(once) == 0 || once[0] != '/' {
			t.Fatalf("%q became %q", s, once)
		}
		twice, err := NormalizePath(bytes.Clone(once), merge)
		if err != nil || !bytes.Equal(once, twice) {
			t.Fatalf("%q became %q, then %q, %v", s, once, twice, err)
		}
		for segment := range strings.SplitSeq(string(once), "/") {
			if segment == "." || segment == ".." {
				t.Fatalf("%q became %q", s, once)
			}
		}
		if merge && strings.Contains(string(once), "//") {
			t.Fatalf("%q became %q", s, once)
		}
	})
}

func BenchmarkNormalizeTarget(b *testing.B) {
	b.ReportAllocs()
	target := []byte("/shop/catalogue/items/1234?sort=price&page=2")
	var h Head
	for b.Loop() {
		h.Target = target
		if err := NormalizeTarget(&h, true); err != nil {
			b.Fatal(err)
		}
	}
}
