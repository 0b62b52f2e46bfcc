// A clock that is set, forwards or back, ends no connection and delays nothing: times are subtracted as time.Time, which goes by the monotonic
// clock, and not as numbers of seconds since 1970, which go by the wall's.

package policy

import (
	"go/ast"
	"slices"
	"strings"
	"testing"
)

// wallClock are the files that may ask for the wall's time as a number, because they tell somebody else what it is, or compare it with what
// somebody else has said.
var wallClock = []string{
	"wire/date.go", "wire/h2/sweep.go", "wire/h3/server.go", // the field Date, made once a second
	"proxy/session.go",         // ends of sessions are in cookies
	"proxy/extauth/extauth.go", // when the request arrived, for the authorization service
	"cli/objectmetrics.go",     // metrics of times
	"reconcile/metrics.go",
	"tls/obtain/metrics.go",
	"config/stamp_linux.go", "config/stamp_other.go", // the times of files, which are compared with each other
	"cli/introduce.go",     // looks out for a clock that was set back
	"tls/dns01/rfc2136.go", // signatures with the time
}

func TestDurationsGoByTheMonotonicClock(t *testing.T) {
	for _, f := range sources(t) {
		if f.test || strings.HasPrefix(f.dir, "bench") || slices.Contains(wallClock, f.path) {
			continue
		}
		ast.Inspect(f.tree, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok || len(call.Args) > 0 {
				return true
			}
			if method, ok := call.Fun.(*ast.SelectorExpr); ok && slices.Contains([]string{"Unix", "UnixMilli", "UnixMicro", "UnixNano"}, method.Sel.Name) {
				t.Errorf("%s: %s takes the wall clock's time: compare times with Sub, or add the file to wallClock with the reason", f.set.Position(n.Pos()), method.Sel.Name)
			}
			return true
		})
	}
}
