// What a graph is for the data plane: everything that a request needs, computed.

package proxy

import (
	"net/netip"

	"github.com/wicketgate/wicketgate/gateway"
	"github.com/wicketgate/wicketgate/object"
	"github.com/wicketgate/wicketgate/proxy/backend"
	"github.com/wicketgate/wicketgate/proxy/datagram"
	"github.com/wicketgate/wicketgate/router"
	"github.com/wicketgate/wicketgate/tls"
	"github.com/wicketgate/wicketgate/wire"
)

// Snapshot is the compiled configuration. It is immutable and may be used concurrently.
type Snapshot struct {
	generation uint64
	sockets    []*socket
	byBind     map[netip.AddrPort][]int32 // indices of sockets: those confined to a local address first
	packets    []*packetSocket
	tables     map[netip.AddrPort]*datagram.Table // of packets, by Bind
	certs      *tls.Certificates
	problems   []object.Problem
	balancers  map[ruleKey]*balancer // for the next Compile; those of rules that were taken over are with these
	budgets    map[string]*budget    // as well; all of them
	life       *lifetime
}

// socket is one gateway.Socket.
type socket struct {
	source    *gateway.Socket
	opening   Opening
	listeners []*listener
	hosts     hostIndex
	grpc      bool                      // one of the listeners has GRPCRoutes
	clients   *gateway.ClientValidation // the same for all of its HTTPS listeners; nil: clients need no certificate
}

// admits says whether a connection may be used for the socket's listeners.
func (s *socket) admits(peer *wire.Peer) bool {
	if s.clients == nil {
		return true
	}
	return peer.TLS != nil && s.clients.Admits(peer.TLS.Chains)
}

// listener is one listener on one or more sockets.
type listener struct {
	name   labels
	source *gateway.Listener
	port   []byte // the Gateway API's port, in digits
	// alternative is the Alt-Svc of answers to clients that can come back over HTTP/3; nil: there is none.
	alternative []byte
	table       *router.Table[*match]
	// routes are those on the listener, and attached what became of each: table was made of that. None where there are streams.
	routes    []*gateway.Attachment
	attached  []*attached
	streams   *streams // nil for HTTP and HTTPS; otherwise table is empty
	unmatched *series  // requests that no rule matches
	grpc      bool     // there are GRPCRoutes among its routes
}

// match is what the router finds: one match of one rule on one listener.
type match struct {
	rule   *rule
	series *series
	// prefix is the length of the path prefix that the match compares, without a trailing slash; 0 for other types of match.
	prefix int32
	grpc   bool // the rule is a GRPCRoute's
}

// rule is a gateway.Rule, compiled once and shared by all listeners that its route is attached to.
//
// Of very many rules each has left the processor's caches by the time of its next request, which then waits for the memory that it reads, one line of 64 bytes
// after the other. So what a plain request reads is three lines: the first two of its rule, and the first of its series. A test holds them to that.
type rule struct {
	own match // the first that was compiled; others of the same rule are by themselves
	// unusable says why every request is answered with 500 (UNAVAILABLE); empty if the rule works.
	unusable string
	filters  *filters
	balance  *balancer // nil where there is nothing to choose
	// patient is the source if that has timeouts or a retry stanza; nil: there is nothing to read.
	patient *gateway.Rule

	first share // the only one of most rules

	others []share // those after the first. Shares of weight 0 are left out
	// The rest is for compiling.
	source   *gateway.Rule
	identity *gateway.Identity // towards its backends
	held     []*holding
}

// share is one backendRef.
type share struct {
	source   *gateway.Backend // nil: there is none
	unusable string           // why this share of the requests is answered with 500
	filters  *filters
	backend  upstream // nil if unusable
	session  *session // nil: requests are balanced
	budget   *budget  // nil: retries are not bounded
}

// share returns the i-th, as the balancer counts them.
func (r *rule) share(i int) *share {
	if i == 0 {
		return &r.first
	}
	return &r.others[i-1]
}

// shares is how many there are.
func (r *rule) shares() int {
	if r.first.source == nil {
		return 0
	}
	return 1 + len(r.others)
}

// noSocket stands for a socket that the snapshot does not know: it was removed, or the proxy has no configuration yet.
const noSocket int32 = -1

// socket returns the index of the socket that a connection belongs to, or noSocket.
func (s *Snapshot) socket(bind netip.AddrPort, local netip.Addr) int32 {
	for _, at := range s.byBind[bind] {
		if l := s.sockets[at].source.Local; !l.IsValid() || l == local.Unmap() {
			return at
		}
	}
	return noSocket
}

// Problems are what Compile had to leave out or answers with 500 although the graph calls it usable, with the places in the files.
// The slice is shared: do not write to it.
func (s *Snapshot) Problems() []object.Problem { return s.problems }

// Discard releases what the snapshot holds. It is for snapshots that never served; Swap does it for the others.
func (s *Snapshot) Discard() { s.life.retire() }

// empty is a snapshot without sockets.
func (p *Proxy) empty() *Snapshot {
	unbound := p.metrics.acquire(labels{})
	s := &Snapshot{generation: p.generation.Add(1)}
	s.life = newLifetime(p.shards, func() { p.metrics.release([]*series{unbound}) })
	s.life.unbound = unbound
	return s
}

// backendConfig is the backend that a target is.
func backendConfig(t *gateway.Target, id *gateway.Identity, p backend.Protocol) backend.Config {
	c := backend.Config{
		Key: backendKey(t, id, p), Endpoints: t.Endpoints, Sockets: t.Sockets, Protocol: p, Introduce: t.ProxyProtocol,
		// Addresses that are written down may be this machine's own; what a name resolves to may not.
		Loopback: len(t.Endpoints) > 0,
	}
	for _, h := range t.Hosts {
		c.Hosts = append(c.Hosts, backend.Host{Names: h.Names, Port: h.Port, Public: h.Public})
	}
	if t.TLS != nil {
		c.TLS = backendTLS(t.TLS, id)
	}
	return c
}
