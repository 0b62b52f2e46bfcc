// Request trailers reach the backend only as far as the header policy lets them.

package proxy

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/wicketgate/wicketgate/message"
)

func TestTrailersFollowTheHeaderPolicy(t *testing.T) {
	text := strings.Replace(plainYAML, "backendRefs:", `filters:
    - type: RequestHeaderModifier
      requestHeaderModifier: {set: [{name: X-Team, value: shop}], remove: [X-User-Id]}
    backendRefs:`, 1)
	for _, tc := range []struct {
		name string
		opt  Options
		want []string
	}{
		{"dropped", Options{}, []string{"Checksum"}},
		{"underscores allowed", Options{Underscore: AllowUnderscore}, []string{"Checksum", "X_under"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.opt.Log = slog.New(slog.DiscardHandler)
			l := newLoopback(t, tc.opt)
			l.swap(graphOf(t, "plain.yaml", text))
			seen := make(chan []string, 1)
			l.origin.respond(func(w http.ResponseWriter, r *http.Request) {
				body, err := io.ReadAll(r.Body)
				if string(body) != "hello" || err != nil {
					t.Errorf("body %q (%v)", body, err)
				}
				var names []string
				for name, values := range r.Trailer {
					if len(values) > 0 { // else it was only announced
						names = append(names, name)
					}
				}
				slices.Sort(names)
				seen <- names
			})
			c := l.connect(t, anyOn80, netip.Addr{}, nil)
			fmt.Fprint(c, "POST /cart HTTP/1.1\r\nHost: shop.example.com\r\nTrailer: Checksum, X-User-Id, X-Team, X_under\r\nTransfer-Encoding: chunked\r\n\r\n"+
				"5\r\nhello\r\n0\r\nChecksum: 1\r\nX-User-Id: root\r\nx-team: evil\r\nX_under: 2\r\nX-Forwarded-For: 1.2.3.4\r\n\r\n")
			res, err := http.ReadResponse(bufio.NewReader(c), nil)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			if res.StatusCode != http.StatusOK {
				t.Fatalf("status %d", res.StatusCode)
			}
			if got := <-seen; !slices.Equal(got, tc.want) {
				t.Errorf("trailers %v, want %v", got, tc.want)
			}
		})
	}
}

// HTTP/2 and HTTP/3 have trailers behind content of known length, too, and HTTP/2 takes them to the backend.
func TestTrailersBehindContentOfKnownLengthFollowThePolicy(t *testing.T) {
	b := &trailed{Text: message.Text("hello")}
	for _, name := range []string{"checksum", "x-user-id", "x_under", "x-forwarded-for"} {
		b.trailers.Add([]byte(name), []byte("1"))
	}
	p, _ := fakes(Options{})
	defer p.Close()
	x := rpcExchange()
	x.body, x.req.Length = b, 5
	removes := &headerModifier{remove: []string{"x-user-id"}}
	c := &call{proxy: p, x: x, req: &x.req, match: &match{rule: &rule{filters: &filters{request: removes}}}, share: &share{filters: new(filters)}}
	if got := c.screen().Trailers(); got == nil || got.Len() != 1 || !got.Has("checksum") {
		t.Errorf("trailers %v, want checksum alone", got)
	}
}
