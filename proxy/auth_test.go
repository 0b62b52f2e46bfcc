// What an authorization service has the say of, beside what cli/auth_test.go shows of a running gateway.

package proxy

import (
	"testing"

	"github.com/wicketgate/wicketgate/gateway"
	"github.com/wicketgate/wicketgate/message"
	"github.com/wicketgate/wicketgate/proxy/backend"
	"github.com/wicketgate/wicketgate/wire"
)

// A client cannot put into the trailer what only the service may say: backends may merge that into the header.
func TestTrailersDoNotContradictTheAuthorizationService(t *testing.T) {
	for name, taken := range map[string][]string{"named fields": {"x-user"}, "whatever it says": nil} {
		b := &trailed{Text: message.Text("hello")}
		b.trailers.Add([]byte("X-User"), []byte("root"))
		b.trailers.Add([]byte("Checksum"), []byte("1"))
		p, _ := fakes(Options{})
		defer p.Close()
		x := rpcExchange()
		x.body, x.req.Length = b, message.LengthUnknown
		c := &call{proxy: p, x: x, req: &x.req, match: &match{rule: &rule{filters: new(filters)}}, share: &share{filters: new(filters)}}
		var answer message.Head
		answer.Fields.Add([]byte("X-User"), []byte("guest"))
		c.take(&auth{taken: taken}, &answer)
		if got := c.screen().Trailers(); got == nil || got.Len() != 1 || !got.Has("checksum") {
			t.Errorf("%s: trailers %v, want the checksum alone", name, got)
		}
		if got := string(c.req.Fields.Get("x-user")); got != "guest" {
			t.Errorf("%s: the user is %q", name, got)
		}
	}
}

// asked is a service that lets everything pass, and remembers where it was asked.
type asked struct {
	upstream
	path string
}

func (a *asked) RoundTrip(_ wire.Exchange, req *message.Head, _ message.Body, _ backend.Timeouts, res *backend.Response) error {
	a.path = string(req.Path)
	res.Head.Reset()
	res.Head.Status = statusOK
	return nil
}

// OPTIONS * is about the root for the filters behind, and servers answer it without asking anybody.
func TestTheServiceIsAskedAboutThePathThatFiltersSee(t *testing.T) {
	p, _ := fakes(Options{})
	defer p.Close()
	x := rpcExchange()
	c := &call{proxy: p, x: x, req: &x.req, match: &match{rule: &rule{filters: new(filters), source: &gateway.Rule{}}}}
	c.req.Path, c.sent = []byte("*"), root
	service := &asked{}
	if status := c.authorize(&auth{backend: service}); status != 0 || service.path != "/" {
		t.Errorf("status %d; asked about %q", status, service.path)
	}
}

func TestAuthorizationThatLeadsNowhereLetsNothingPass(t *testing.T) {
	if a, unusable := new(compiler).compileAuth(&gateway.ExternalAuth{}, nil); a != nil || unusable == "" {
		t.Errorf("%v, %q", a, unusable)
	}
}
