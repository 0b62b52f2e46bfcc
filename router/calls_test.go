// Calls: what of a path is compared, and what is gRPC at all.

package router

import (
	"fmt"
	"slices"
	"testing"
)

// rpc is a route for calls. It has Regex if the service begins with '~'.
func rpc(service, method string) Route[string] {
	c := Call{Service: service, Method: method}
	if service != "" && service[0] == '~' {
		c.Service, c.Regex = service[1:], true
	}
	return Route[string]{Match: Match{PathType: GRPC, Call: c}, Value: service + " " + method}
}

func TestCalls(t *testing.T) {
	table := mustNew(t, []Route[string]{
		rpc("shop.Cart", "Get"), rpc("shop.Cart", ""), rpc("", "Get"), rpc("~admin\\..*", "(List|Get)"), {Match: Match{Path: "/"}, Value: "web"},
	})
	all := mustNew(t, []Route[string]{rpc("", ""), {Match: Match{Path: "/"}, Value: "web"}})
	for _, c := range []struct {
		path string
		grpc bool
		want string
		any  string // of the table with a route for every call
	}{
		{"/shop.Cart/Get", true, "shop.Cart Get", " "},
		{"/shop.Cart/Put", true, "shop.Cart ", " "},
		{"/shop.Cart/", true, "shop.Cart ", " "},
		{"/shop.cart/Get", true, " Get", " "},
		{"/other/Get", true, " Get", " "},
		{"/other/Get", false, "web", "web"},            // a page of a web site
		{"/shop.Cart/Put", false, "shop.Cart ", "web"}, // the service is named: other protocols of its server
		{"/shop.Cart", true, "web", " "},
		{"/admin.Users/List", true, "~admin\\..* (List|Get)", " "},
		{"/admin.Users/Get", true, "~admin\\..* (List|Get)", " "},
		{"/admin.Users/ListAll", true, "web", " "},
		{"/a/shop.Cart/Get", true, " Get", " "}, // services may have slashes
		{"/", true, "web", " "},
		{"*", true, "", " "},
		{"", true, "web", " "},
	} {
		in := request{path: c.path, grpc: c.grpc}.input()
		got, _ := table.Lookup(in, nil)
		every, _ := all.Lookup(in, nil)
		if c.path == "*" || c.path == "" {
			got, c.want = "", ""
		}
		if got != c.want || every != c.any {
			t.Errorf("%q, gRPC %t: got %q and %q, want %q and %q", c.path, c.grpc, got, every, c.want, c.any)
		}
	}
}

func TestTraceOfCalls(t *testing.T) {
	table := mustNew(t, []Route[string]{rpc("shop.Cart", "Get"), rpc("", "Get"), rpc("", "")})
	var tr Trace
	if got, _ := table.Lookup(request{path: "/shop.Cart/Put", grpc: true}.input(), &tr); got != " " {
		t.Errorf("got %q", got)
	}
	table.Lookup(request{path: "/other/Get"}.input(), &tr)
	var got []string
	for _, s := range tr.Steps {
		got = append(got, fmt.Sprintf("%s: %s", s.Cause, s.Detail))
	}
	want := []string{
		`path: the path is "/other/Get", not gRPC "shop.Cart/Get"`,
		`header: the request is not gRPC: its content-type is not application/grpc`,
		`header: the request is not gRPC: its content-type is not application/grpc`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}
