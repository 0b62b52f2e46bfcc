// Sessions: who they are of, where they go, and how long they live.

package datagram

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/wicketgate/wicketgate/accesslog"
	"github.com/wicketgate/wicketgate/proxy/backend"
)

// key identifies a client's session on a socket. It has no padding and no pointers, so that it is hashed in one go. Addresses of IPv4 are mapped.
type key struct {
	client, local [16]byte // local is zero where the system does not tell it
	port, zone    uint32   // zone is the interface of a link-local client
}

// peer is the client's address, and localAddr the one that it has sent to (invalid if that is not known).
func (k *key) peer() netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom16(k.client).Unmap(), uint16(k.port))
}

func (k *key) localAddr() netip.Addr {
	if k.local == [16]byte{} {
		return netip.Addr{}
	}
	return netip.AddrFrom16(k.local).Unmap()
}

// session is one client's use of a route. The Socket's mu guards it but for the atomics, which whoever carries answers uses as well.
type session struct {
	key    key
	socket *Socket
	table  *Table // by which it was judged last
	place  string // Place.Listener
	route  *Route
	share  *Share
	flow   *flow
	former *flow // that before: answers may still be on their way; nil: there is none
	begun  time.Time

	queued     int64 // the tick at which it went to the young end of its queue
	proven     bool
	prev, next *session

	series  atomic.Pointer[Series]
	heard   atomic.Int64 // the tick of the latest answer; 0: none
	in, out atomic.Int64 // bytes
}

// flow is a session's use of one endpoint. What is not atomic does not change.
type flow struct {
	session  *session
	dest     backend.Destination
	link     link
	refused  atomic.Bool // nobody listens there
	answered atomic.Bool // somebody does
}

// formerFlow is a flow that a session had until a tick.
type formerFlow struct {
	flow  *flow
	until int64
}

// queue is a list of sessions by the time of their latest datagram.
type queue struct{ first, last *session }

func (q *queue) oldest() *session { return q.first }

func (q *queue) add(x *session) {
	x.prev, x.next = q.last, nil
	if q.last != nil {
		q.last.next = x
	} else {
		q.first = x
	}
	q.last = x
}

func (q *queue) remove(x *session) {
	if x.prev != nil {
		x.prev.next = x.next
	} else {
		q.first = x.next
	}
	if x.next != nil {
		x.next.prev = x.prev
	} else {
		q.last = x.prev
	}
	x.prev, x.next = nil, nil
}

func (k *Socket) queueOf(x *session) *queue {
	if x.proven {
		return &k.proven
	}
	return &k.young
}

// touch notes that the client has sent something: that proves its address if it was answered before.
func (k *Socket) touch(x *session, now int64) {
	proves := !x.proven && x.heard.Load() != 0
	if x.queued == now && !proves {
		return
	}
	k.queueOf(x).remove(x)
	x.proven = x.proven || proves
	x.queued = now
	k.queueOf(x).add(x)
}

// admit makes a session for a client that has none. If there can be none it counts why, and returns nil.
func (k *Socket) admit(t *Table, from *key, now int64) *session {
	p := t.find(from.localAddr())
	if p == nil {
		k.server.metrics.unclaimed.Add(1)
		return nil
	}
	r := p.Route
	if r.Unusable != "" {
		k.drop(r.Refused, r, Unusable, from, errors.New(r.Unusable))
		return nil
	}
	if k.forged(from) {
		k.drop(r.Refused, r, Forged, from, nil)
		return nil
	}
	if k.server.sessions.Add(1) > k.server.opt.MaxSessions && !k.makeRoom(now) {
		k.server.sessions.Add(-1)
		k.drop(r.Refused, r, SessionLimit, from, nil)
		return nil
	}
	x := &session{key: *from, socket: k, table: t, place: p.Listener, begun: time.Now()}
	if !k.choose(x, r) {
		k.server.sessions.Add(-1)
		return nil
	}
	x.queued = now
	k.young.add(x)
	k.sessions[x.key] = x
	if len(k.sessions) == 1 {
		k.io.wake()
	}
	x.counting().Counts.begin()
	return x
}

// forged reports whether no client can be where a datagram claims to come from, or none should be answered there.
func (k *Socket) forged(from *key) bool {
	client := from.peer()
	a := client.Addr()
	if client.Port() == 0 || a.IsUnspecified() || a.IsMulticast() || a == netip.AddrFrom4([4]byte{255, 255, 255, 255}) {
		return true
	}
	return k.server.opt.Own != nil && k.server.opt.Own(client)
}

// makeRoom ends the session that deserves it most: the one without proof of its client that is the longest idle, of this socket and then of others; then one with
// proof that has been idle for a while. It reports whether there was one.
func (k *Socket) makeRoom(now int64) bool {
	if k.evict(now, false) {
		return true
	}
	others := k.server.list()
	for _, proven := range []bool{false, true} {
		if proven && k.evict(now, true) {
			return true
		}
		for _, o := range others {
			if o == k || !o.mu.TryLock() { // waiting for each other would be for ever
				continue
			}
			ok := o.evict(now, proven)
			o.mu.Unlock()
			if ok {
				return true
			}
		}
	}
	return false
}

func (k *Socket) evict(now int64, proven bool) bool {
	x := k.young.oldest()
	if proven {
		x = k.proven.oldest()
		if x != nil && now-max(x.queued, x.heard.Load()) <= k.server.ticks(proofIdle) {
			x = nil
		}
	}
	if x == nil {
		return false
	}
	k.end(x, Evicted)
	k.io.hurry()
	return true
}

// choose gives a session a share of the route and an endpoint of it, or drops what it is for.
func (k *Socket) choose(x *session, r *Route) bool {
	at := 0
	if r.Pick != nil {
		at = r.Pick()
	}
	x.route, x.share = r, &r.Shares[at]
	if x.share.Unusable != "" {
		k.drop(x.share.Series, r, Unusable, &x.key, errors.New(x.share.Unusable))
		return false
	}
	if !k.connect(x, backend.Destination{}) {
		return false
	}
	x.count(x.share.Series)
	return true
}

// connect chooses an endpoint, if possible another one than avoid, and links the session to it. Where that fails the reason is counted.
func (k *Socket) connect(x *session, avoid backend.Destination) bool {
	var err error
	for range maxTries {
		f := &flow{session: x}
		if f.dest, err = x.share.Backend.Destination(avoid); err != nil {
			k.drop(x.share.Series, x.route, NoEndpoint, &x.key, err)
			return false
		}
		if f.link, err = k.io.open(f); err == nil {
			k.replace(x, f)
			f.dest.Opened()
			return true
		}
		if !unreachable(err) {
			break
		}
		f.lost(err)
		avoid = f.dest
	}
	k.drop(x.share.Series, x.route, NoSocket, &x.key, err)
	return false
}

// replace gives a session another flow. The one before is heard for a while longer, unless nobody was there: the endpoint may be at answering what it got.
func (k *Socket) replace(x *session, f *flow) {
	x.hangUp()
	old := x.flow
	x.flow = f
	switch {
	case old == nil:
	case old.refused.Load():
		old.link.close()
	default:
		x.former = old
		k.former = append(k.former, formerFlow{old, k.server.now()})
	}
}

// hangUp lets go of the flow before the present one.
func (x *session) hangUp() {
	if x.former != nil {
		x.former.link.close()
		x.former = nil
	}
}

// refit judges a session by another configuration, or because its endpoint has gone, and reports whether it goes on. It keeps its endpoint as long as that is
// one of the route's.
func (k *Socket) refit(x *session, t *Table) bool {
	p := t.find(x.key.localAddr())
	if p == nil || p.Listener != x.place || p.Route.Unusable != "" {
		k.end(x, Removed)
		return false
	}
	x.table = t
	x.route = p.Route
	for i := range p.Route.Shares {
		share := &p.Route.Shares[i]
		if share.Backend == nil || !x.flow.dest.Of(share.Backend) {
			continue
		}
		x.share = share
		x.count(share.Series)
		if x.flow.dest.Gone() && !k.connect(x, backend.Destination{}) {
			k.end(x, Removed)
			return false
		}
		return true
	}
	if !k.choose(x, p.Route) {
		k.end(x, Removed)
		return false
	}
	return true
}

// count makes s what counts the session, and holds it.
func (x *session) count(s *Series) {
	old := x.series.Load()
	if old == s {
		return
	}
	s.Hold()
	x.series.Store(s)
	if old != nil {
		s.Counts.active.Add(1)
		old.Counts.active.Add(-1)
		old.Release()
	}
}

func (x *session) counting() *Series { return x.series.Load() }

// end ends a session.
func (k *Socket) end(x *session, how End) {
	delete(k.sessions, x.key)
	if len(k.sessions) == 0 {
		k.former = nil // nobody sweeps until there is another one
	}
	k.queueOf(x).remove(x)
	x.hangUp()
	x.flow.link.close()
	k.server.sessions.Add(-1)
	s := x.counting()
	s.Counts.end(how)
	k.record(x, s, how)
	s.Release()
}

// record writes the access log's line.
func (k *Socket) record(x *session, s *Series, how End) {
	log := k.server.log
	if log.Enabled(context.Background(), slog.LevelDebug) {
		log.LogAttrs(context.Background(), slog.LevelDebug, "session ended", slog.String("client", x.key.peer().String()),
			slog.String("route", s.Labels.Route), slog.String("endpoint", x.flow.dest.Addr().String()), slog.String("why", how.String()),
			slog.Int64("bytes_in", x.in.Load()), slog.Int64("bytes_out", x.out.Load()))
	}
	if k.server.opt.AccessLog == nil {
		return
	}
	local := x.key.localAddr()
	if !local.IsValid() {
		local = k.addr.Addr()
	}
	reason := ""
	if how != Expired {
		reason = how.String()
	}
	k.server.opt.AccessLog.Write(&accesslog.Entry{
		Time: x.begun, Duration: time.Since(x.begun), Client: x.key.peer(), Local: netip.AddrPortFrom(local, k.port), Protocol: "UDP",
		Sent: x.out.Load(), Received: x.in.Load(), Gateway: s.Labels.Gateway, Listener: s.Labels.Listener, Route: s.Labels.Route,
		Backend: s.Labels.Backend, Endpoint: x.flow.dest.Addr(), Attempts: 1, Reason: reason,
	})
}
