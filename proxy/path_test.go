// Path modifiers, by the tables of the specification.

package proxy

import (
	"testing"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
)

func prefixModifier(value string) *gatewayv1.HTTPPathModifier {
	return &gatewayv1.HTTPPathModifier{Type: gatewayv1.PrefixMatchHTTPPathModifier, ReplacePrefixMatch: &value}
}

func fullModifier(value string) *gatewayv1.HTTPPathModifier {
	return &gatewayv1.HTTPPathModifier{Type: gatewayv1.FullPathHTTPPathModifier, ReplaceFullPath: &value}
}

// The first rows are the table in the specification of ReplacePrefixMatch.
func TestReplacePrefixMatch(t *testing.T) {
	for _, c := range []struct{ path, prefix, replace, want string }{
		{"/foo/bar", "/foo", "/xyz", "/xyz/bar"},
		{"/foo/bar", "/foo", "/xyz/", "/xyz/bar"},
		{"/foo/bar", "/foo/", "/xyz", "/xyz/bar"},
		{"/foo/bar", "/foo/", "/xyz/", "/xyz/bar"},
		{"/foo", "/foo", "/xyz", "/xyz"},
		{"/foo/", "/foo", "/xyz", "/xyz/"},
		{"/foo/bar", "/foo", "", "/bar"},
		{"/foo/", "/foo", "", "/"},
		{"/foo", "/foo", "", "/"},
		{"/foo/", "/foo", "/", "/"},
		{"/foo", "/foo", "/", "/"},
		{"/foo/bar", "/", "/xyz", "/xyz/foo/bar"},
		{"/foo/bar", "/", "/", "/foo/bar"},
		{"/foo/bar/", "/foo/bar", "/a/b", "/a/b/"},
		{"/foo/a%2Fb", "/foo", "/xyz", "/xyz/a%2Fb"},
		{"/foo/bar", "/foo", "xyz", "/xyz/bar"},
		{"/foo/bar", "/foo", "/a b?c#d", "/a%20b%3Fc%23d/bar"},
		{"/foo/bar", "/foo", "/x/../y", "/y/bar"},
	} {
		m, err := compilePathModifier(prefixModifier(c.replace))
		if err != nil {
			t.Errorf("replace %q: %v", c.replace, err)
			continue
		}
		if got := string(m.appendPath(nil, []byte(c.path), len(trimSlash(c.prefix)))); got != c.want {
			t.Errorf("%s with prefix %s replaced by %q is %s, want %s", c.path, c.prefix, c.replace, got, c.want)
		}
	}
}

func TestReplaceFullPath(t *testing.T) {
	for replace, want := range map[string]string{
		"/new": "/new", "/new/": "/new/", "new": "/new", "": "/", "/": "/", "/a//b": "/a//b", "/é": "/%C3%A9", "/a%2fb": "/a%2Fb", "/100%": "/100%25",
	} {
		m, err := compilePathModifier(fullModifier(replace))
		if err != nil {
			t.Errorf("replace %q: %v", replace, err)
			continue
		}
		if got := string(m.appendPath(nil, []byte("/old/path"), 4)); got != want {
			t.Errorf("replaced by %q is %s, want %s", replace, got, want)
		}
	}
}

func TestPathModifierRefuses(t *testing.T) {
	for name, m := range map[string]*gatewayv1.HTTPPathModifier{
		"null byte":     fullModifier("/a%00b"),
		"no value":      {Type: gatewayv1.FullPathHTTPPathModifier},
		"unknown type":  {Type: "ReplaceSuffix"},
		"value of both": {Type: gatewayv1.FullPathHTTPPathModifier, ReplacePrefixMatch: new(string)},
	} {
		if _, err := compilePathModifier(m); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
}

func FuzzPathModifier(f *testing.F) {
	f.Add("/foo/bar", "/xyz/", 4)
	f.Add("/", "", 0)
	f.Fuzz(func(t *testing.T, path, replace string, prefix int) {
		if path == "" || path[0] != '/' || prefix < 0 || prefix > len(path) || prefix < len(path) && path[prefix] != '/' {
			t.Skip()
		}
		m, err := compilePathModifier(prefixModifier(replace))
		if err != nil {
			return
		}
		if got := m.appendPath(nil, []byte(path), prefix); len(got) == 0 || got[0] != '/' {
			t.Errorf("%q after %d bytes replaced by %q is %q, which is no path", path, prefix, replace, got)
		}
	})
}
