// Where HTTP/3 is served, and where it gives way.

package gateway

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/wicketgate/wicketgate/object"
)

// HTTP/3 gives way to UDP listeners, and is not offered past the proxies whose header connections have to begin with.
func TestWhereHTTP3IsServed(t *testing.T) {
	g := readGolden(t, "testdata/http3.txtar")
	graph := Build(object.NewSet(g.objects...), g.opts)
	want := []netip.AddrPort{netip.MustParseAddrPort("[::]:8443")}
	if got := graph.HTTP3(); !slices.Equal(got, want) {
		t.Errorf("HTTP/3 at %v, want %v", got, want)
	}
}
