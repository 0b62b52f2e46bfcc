// Where endpoints are: at an address and port, or at the path of a Unix socket.

package backend

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"

	"github.com/wicketgate/wicketgate/wire"
)

// place tells the endpoints of a backend apart. One of the two is zero.
type place struct {
	addr netip.AddrPort
	path string
}

// String is what logs and errors call it.
func (p place) String() string {
	if p.path != "" {
		return p.path
	}
	return p.addr.String()
}

// id is a keyed hash of the place, and never 0.
func (p place) id(key []byte) uint64 {
	h := hmac.New(sha256.New, key)
	_, _ = h.Write([]byte("endpoint " + p.String())) // never fails
	return max(1, binary.BigEndian.Uint64(h.Sum(nil)))
}

// places are the endpoints that a configuration gives.
func places(c Config) []place {
	all := make([]place, 0, len(c.Endpoints)+len(c.Sockets))
	for _, a := range c.Endpoints {
		all = append(all, place{addr: a})
	}
	for _, path := range c.Sockets {
		all = append(all, place{path: path})
	}
	return all
}

var errNoUnix = errors.New("unix sockets are not dialled here")

// connect opens a connection to the endpoint, for a client.
func (e *endpoint) connect(ctx context.Context, client *wire.Origin) (net.Conn, error) {
	c, err := e.reach(ctx)
	if err != nil || e.backend.introduce == 0 {
		return c, err
	}
	return introduced(ctx, c, client, e.backend.introduce)
}

func (e *endpoint) reach(ctx context.Context) (net.Conn, error) {
	o := &e.backend.registry.opt
	switch {
	case e.path == "":
		return o.Dial(ctx, e.addr, e.backend.loopback.Load())
	case o.DialUnix == nil:
		return nil, errNoUnix
	}
	return o.DialUnix(ctx, e.path)
}
