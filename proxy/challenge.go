// Answers to certificate authorities (HTTP-01, RFC 8555 section 8.3): on plain HTTP, before any route.

package proxy

import (
	"bytes"

	"github.com/wicketgate/wicketgate/message"
	"github.com/wicketgate/wicketgate/wire"
)

// challengePath begins the paths that authorities ask for.
var challengePath = []byte("/.well-known/acme-challenge/")

// challenge answers a request that proves control of its host, and returns the status; 0: it is a request like any other.
func (c *call) challenge() int {
	if c.proxy.opt.Challenge == nil || c.peer.TLS != nil || !bytes.HasPrefix(c.req.Path, challengePath) {
		return 0
	}
	if method := string(c.req.Method); method != "GET" && method != "HEAD" {
		return 0
	}
	wire.Block(c.x)
	host := message.AppendHost(nil, c.req.Authority)
	answer, ok := c.proxy.opt.Challenge(c.x.Context(), string(host), string(c.req.Path))
	if !ok {
		return 0
	}
	body := []byte(answer)
	c.own.Reset()
	c.own.Status, c.own.Length = statusOK, int64(len(body))
	c.own.Fields.Add(nameContentType, plainText)
	c.txt = body
	return c.respond(&c.own, &c.txt)
}
