// The RequestMirror filter: copies of requests, sent to another backend, whose answers nobody sees (GEP-3171).
//
// A mirror gets what is forwarded, and nothing else: not what the gateway answers itself, and no upgrades. It gets the host, the path and the query
// of the client, whatever URLRewrite makes of them for the backend, and the header as the filters of the mirror's level (rule or
// backendRef) and above have left it. It is sent once, however often the request is retried.
//
// The original never waits for a mirror, in no way but for the copying of bytes. The copy is sent by a goroutine of its own, at once, so that it
// arrives about when the original does. A body goes through a feed (feed.go). A copy is dropped, and counted as that, when its mirror is further
// behind than the feed's buffer, when it takes nothing or does not answer for mirrorTimeout, or when too many are under way already.

package proxy

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/wicketgate/wicketgate/gateway"
	"github.com/wicketgate/wicketgate/message"
	"github.com/wicketgate/wicketgate/proxy/backend"
	"github.com/wicketgate/wicketgate/wire"
)

const (
	// mirrorTimeout is how long a mirror may take to go on with what it has been sent, or to answer.
	mirrorTimeout = 30 * time.Second
	// maxReflections is how many requests may be under way to one mirror.
	maxReflections = 1024
	// maxMirrorAnswer is how much of an answer is read so that the connection can be used again.
	maxMirrorAnswer = 256 << 10
)

// mirror is a RequestMirror filter, compiled.
type mirror struct {
	source  *gateway.Mirror
	backend upstream
	busy    atomic.Int32
}

// mirrors compiles those mirrors of a rule that lead somewhere. Where the gateway should be somebody towards backends and cannot, nothing is sent.
func (c *compiler) mirrors(list []*gateway.Mirror, r *rule) (out []*mirror) {
	for _, source := range list {
		t := source.Target
		if source.Unusable != "" || t == nil || source.Numerator == 0 {
			continue
		}
		id := presented(t, r.identity)
		if id != nil && id.Unusable != "" {
			continue
		}
		h := c.holding(t, id, protocolOf(gatewayv1.Kind(r.source.Object.Kind), t))
		out, r.held = append(out, &mirror{source: source, backend: h.upstream}), append(r.held, h)
	}
	return out
}

// chosen draws whether a request is mirrored.
func (m *mirror) chosen() bool {
	return m.source.Numerator >= m.source.Denominator || rand.Int32N(m.source.Denominator) < m.source.Numerator
}

// mirror sends copies of the request as it is now, but for host and path, which are given.
func (c *call) mirror(list []*mirror, authority, path []byte) {
	if len(c.req.Upgrade) > 0 {
		return
	}
	for _, m := range list {
		if !m.chosen() {
			continue
		}
		counts := &c.proxy.metrics.mirrors
		if m.busy.Add(1) > maxReflections {
			m.busy.Add(-1)
			counts.dropped.Add(1)
			continue
		}
		r := newReflection(m, c)
		r.copyHead(c.req, authority, path)
		c.fill(r)
		if !c.proxy.reflections.start(r) {
			r.end()
		}
	}
}

// fill gives a mirror what there is of the body, and sees to it that it gets the rest.
func (c *call) fill(r *reflection) {
	body := c.screen()
	if body == nil {
		return
	}
	r.body = newFeed()
	r.body.idle = r.wait
	p, all := body.InHand()
	switch {
	case !all:
		c.tee.mirrors = append(c.tee.mirrors, r)
	case !r.body.whole(p, body.Trailers()):
		r.cancel(errMirrorSlow, message.Reset)
	}
}

// endMirrors breaks off the copies of a body that was not read to its end.
func (c *call) endMirrors() {
	list := c.tee.mirrors
	for _, r := range list {
		r.abort()
	}
	clear(list)
	c.tee = tee{mirrors: list[:0]}
}

// reflection is one request on its way to a mirror. For the backend it is the exchange that the request came with: of that it is asked for
// the context and the client, told what to cancel, and given interim responses.
type reflection struct {
	wire.Exchange // nil: the rest of an exchange is not asked for

	mirror *mirror
	proxy  *Proxy
	life   *lifetime
	shard  uint32
	head   message.Head
	body   *feed     // nil: none
	peer   wire.Peer // as much of the client's as a backend may have to be told

	ctx     context.Context //nolint:containedctx // what an exchange's Context method returns
	stop    context.CancelFunc
	patient *time.Timer // runs while it is the mirror's turn

	mu      sync.Mutex
	request wire.Canceller
	why     error // it was cancelled
	reason  message.Reason
}

// newReflection makes a reflection that keeps the snapshot alive until its end. The request is in the snapshot, and so may take another place in it.
func newReflection(m *mirror, c *call) *reflection {
	r := &reflection{mirror: m, proxy: c.proxy, life: c.life, shard: c.conn.shard, peer: wire.Peer{Origin: c.peer.Origin}}
	r.ctx, r.stop = context.WithCancel(context.Background())
	r.patient = time.AfterFunc(mirrorTimeout, func() { r.cancel(errMirrorSlow, message.Timeout) })
	r.life.counts[r.shard].n.Add(1)
	return r
}

// copyHead copies all that h points to.
func (r *reflection) copyHead(h *message.Head, authority, path []byte) {
	(&message.Head{
		Method: h.Method, Scheme: h.Scheme, Authority: authority, Path: path, Query: h.Query, HasQuery: h.HasQuery,
		Length: h.Length, Minor: 1, Trailers: h.Trailers, Fields: h.Fields,
	}).CopyTo(&r.head)
}

// write adds to the body.
func (r *reflection) write(p []byte) {
	if !r.body.write(p) {
		r.cancel(errMirrorSlow, message.Reset)
	}
}

// abort says that the rest of the body will not come.
func (r *reflection) abort() {
	if r.body.fail() {
		r.cancel(errMirrorAborted, message.ClientGone)
	}
}

// run sends the request, waits for the answer and forgets it.
func (r *reflection) run() {
	defer r.end()
	var body message.Body
	if r.body != nil {
		body = r.body
	}
	var res backend.Response
	err := r.mirror.backend.RoundTrip(r, &r.head, body, backend.Timeouts{}, &res)
	if err == nil {
		r.discard(&res)
	}
	r.count(err)
}

// wait stops the clock while the sender waits for the client: the mirror cannot help it.
func (r *reflection) wait(idle bool) {
	if idle {
		r.patient.Stop()
	} else {
		r.patient.Reset(mirrorTimeout)
	}
}

// discard reads the rest of an answer if it is small.
func (r *reflection) discard(res *backend.Response) {
	defer res.Finish()
	for total := 0; res.Body != nil && total < maxMirrorAnswer; {
		p, err := res.Body.Next()
		if err != nil {
			return
		}
		total += len(p)
	}
}

// end gives back what the request held.
func (r *reflection) end() {
	r.patient.Stop()
	r.stop()
	if r.body != nil {
		r.body.Stop(message.Drain)
	}
	r.mirror.busy.Add(-1)
	r.life.leave(r.shard)
}

// count says what became of the request.
func (r *reflection) count(err error) {
	counts := &r.proxy.metrics.mirrors
	r.mu.Lock()
	why := r.why
	r.mu.Unlock()
	switch {
	case errors.Is(why, errMirrorSlow):
		counts.dropped.Add(1)
	case errors.Is(why, errMirrorAborted):
		counts.aborted.Add(1)
	case err != nil:
		counts.failed.Add(1)
	default:
		counts.sent.Add(1)
	}
}

// cancel breaks the request off, the first time.
func (r *reflection) cancel(why error, reason message.Reason) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.why != nil {
		return
	}
	r.why, r.reason = why, reason
	r.stop()
	if r.request != nil {
		r.request.Cancel(reason)
	}
}

// Watch implements wire.Exchange.
func (r *reflection) Watch(request wire.Canceller) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.request = request
	if r.why != nil && request != nil {
		request.Cancel(r.reason)
	}
}

// Peer implements wire.Exchange.
func (r *reflection) Peer() *wire.Peer { return &r.peer }

// Context implements wire.Exchange.
func (r *reflection) Context() context.Context { return r.ctx }

// Inform implements wire.Exchange.
func (r *reflection) Inform(*message.Head) error { return nil }

// reflections are those under way, so that none is left when the proxy is closed.
type reflections struct {
	mu     sync.Mutex
	going  map[*reflection]struct{}
	closed bool
	wg     sync.WaitGroup
}

// start runs a reflection, unless the proxy is closed.
func (s *reflections) start(r *reflection) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	if s.going == nil {
		s.going = map[*reflection]struct{}{}
	}
	s.going[r] = struct{}{}
	s.wg.Go(func() {
		r.run()
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.going, r)
	})
	return true
}

// close breaks off what is under way and waits for its end.
func (s *reflections) close() {
	s.mu.Lock()
	s.closed = true
	for r := range s.going {
		r.cancel(errMirrorAborted, message.Shutdown)
	}
	s.mu.Unlock()
	s.wg.Wait()
}

// mirrorCounts count what became of mirrored requests.
type mirrorCounts struct {
	sent    atomic.Int64 // answered by the mirror
	dropped atomic.Int64 // the mirror fell behind, or too many were under way
	failed  atomic.Int64 // the mirror could not be reached, or broke off
	aborted atomic.Int64 // the request broke off
}
