// One connection: its control stream, the streams of its client, and how it ends.

package h3

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/quicvarint"

	"github.com/wicketgate/wicketgate/message"
	"github.com/wicketgate/wicketgate/wire"
)

// Bounds of one connection.
const (
	// maxSettings bounds the payload of a SETTINGS frame, and of what else a control stream carries.
	maxSettings = 4 << 10
	// keptExchanges is how many exchanges wait for the next requests.
	keptExchanges = 16
	// restless is how many requests a client may break off, or have broken off by what it sends, before it has to show that it is serious: of
	// those beyond, not more than half of all its requests (rapid reset, and what makes us reset).
	restless = 100
	// maxActive is how many requests may be worked on. QUIC admits a new stream once an old one is reset, whose work may take a moment
	// longer to end: beyond this such a client is refused.
	maxActive = 2 * maxStreams
	// farewell is how long a client may take to close a connection that it was asked to leave.
	farewell = 500 * time.Millisecond
	// Between these, by the connection's round trips, is how long a client that was warned may send further requests.
	minCrossing, maxCrossing = 50 * time.Millisecond, time.Second
)

// conn is a connection of a client.
type conn struct {
	s      *Server
	quic   *quic.Conn
	peer   wire.Peer
	socket netip.AddrPort

	control *quic.SendStream

	mu       sync.Mutex
	active   int // request streams
	next     quic.StreamID
	parting  bool // the client was found to be better off with another connection
	warned   bool // the first GOAWAY was sent, or is about to be
	leaving  bool // the last one
	idle     chan struct{}
	rested   time.Time   // when active became 0
	rest     *time.Timer // see lookAtRest
	free     []*exchange
	requests int
	broken   int // requests that the client broke off
	began    time.Time
	ledger   [floods]wire.Debt
	flooded  bool
	failed   atomic.Bool // because of its client
	opened   [streamDecoder + 1]bool
}

// serve serves the connection until it is over.
func (c *conn) serve() {
	defer func() { _ = c.quic.CloseWithError(quic.ApplicationErrorCode(NoError), "") }()
	defer c.contain()
	if err := c.greet(); err != nil {
		return
	}
	defer c.watchRest()()
	var streams sync.WaitGroup
	streams.Go(c.acceptUni)
	for {
		s, err := c.quic.AcceptStream(context.Background())
		if err != nil {
			break
		}
		x := c.begin(s)
		if x == nil {
			reset(s, RequestRejected)
			continue
		}
		streams.Go(func() {
			defer c.contain()
			broke := false
			defer func() { c.done(s, broke) }()
			broke = x.serve(s)
		})
	}
	streams.Wait()
}

// contain is deferred by the goroutines of the connection: a panic that no handler caused, a fault of the wire itself, ends this connection
// and no other.
func (c *conn) contain() {
	if v := recover(); v != nil {
		c.s.log.Error("connection ended by a panic", "panic", fmt.Sprint(v), "client", c.peer.Remote, "stack", string(debug.Stack()))
		_ = c.quic.CloseWithError(quic.ApplicationErrorCode(InternalError), "")
	}
}

// greet opens the control stream and sends SETTINGS.
func (c *conn) greet() error {
	control, err := c.quic.OpenUniStream()
	if err != nil {
		return err
	}
	var settings []byte
	settings = quicvarint.Append(settings, settingMaxFieldSection)
	settings = quicvarint.Append(settings, uint64(c.s.lim.HeadBytes))
	settings = quicvarint.Append(settings, settingConnectProtocol)
	settings = quicvarint.Append(settings, 1)
	hello := quicvarint.Append(nil, streamControl)
	hello = quicvarint.Append(hello, frameSettings)
	hello = quicvarint.Append(hello, uint64(len(settings)))
	if _, err := control.Write(append(hello, settings...)); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.control = control
	switch {
	case c.leaving:
		return c.sendGoAway(c.next)
	case c.warned:
		return c.sendGoAway(lastStream)
	}
	return nil
}

// awaitHandshake holds up a request that came before the handshake was complete, as an attacker who replays it can make it (RFC 8470): one
// with a safe method is marked and may go on, others wait. It returns false if the connection is gone.
func (c *conn) awaitHandshake(h *message.Head) bool {
	select {
	case <-c.quic.HandshakeComplete():
		return true
	default:
	}
	switch string(h.Method) {
	case "GET", "HEAD", "OPTIONS":
		if len(h.Upgrade) == 0 {
			h.Fields.Set(nameEarlyData, valueEarlyData)
			return true
		}
	}
	select {
	case <-c.quic.HandshakeComplete():
		return true
	case <-c.quic.Context().Done():
		return false
	}
}

// Never written to.
var (
	nameEarlyData  = []byte("early-data")
	valueEarlyData = []byte("1")
)

// begin counts a request in. It returns nil if the connection takes no more.
func (c *conn) begin(s *quic.Stream) *exchange {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.leaving || c.active >= maxActive {
		return nil
	}
	c.next = s.StreamID() + 4
	c.active++
	c.requests++
	if n := len(c.free); n > 0 {
		x := c.free[n-1]
		c.free = c.free[:n-1]
		return x
	}
	return &exchange{c: c, peer: c.peer}
}

// put keeps an exchange for another request.
func (c *conn) put(x *exchange) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.free) < keptExchanges {
		c.free = append(c.free, x)
	}
}

// done counts a request out, and notices clients that do nothing but break requests off; broke says that the request came to nothing because
// of what the client sent.
func (c *conn) done(s *quic.Stream, broke bool) {
	if c.settle(s, broke) {
		c.close(&ConnError{ExcessiveLoad, "too many requests were broken off"})
	}
}

// settle reports whether the client breaks off too much.
func (c *conn) settle(s *quic.Stream, broke bool) (excess bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.active--; c.active == 0 {
		c.rested = time.Now()
		if c.leaving {
			close(c.idle)
		}
	}
	if broken, ok := errors.AsType[*quic.StreamError](context.Cause(s.Context())); broke || ok && broken.Remote {
		c.broken++
		if c.broken > restless && c.broken > c.requests/2 && !c.flooded {
			c.floods(floodReset)
			return true
		}
	}
	return false
}

// lastStream is the largest identifier of a request: a GOAWAY with it refuses nothing.
const lastStream quic.StreamID = 1<<62 - 4

// part begins to end the connection, if that has not begun, because its client is better off with another.
func (c *conn) part() {
	c.mu.Lock()
	begun := c.parting || c.warned || c.leaving
	c.parting = true
	c.mu.Unlock()
	if !begun {
		go c.drain(c.quic.Context())
	}
}

// warn asks the client to make its further requests on another connection (section 5.2). Those that it sends before it knows are served.
func (c *conn) warn() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.warned && !c.leaving && c.control != nil {
		_ = c.sendGoAway(lastStream) // a connection that is broken ends by itself
	}
	c.warned = true
}

// leave takes no further requests: those under way are answered. The channel is closed when the last is done.
func (c *conn) leave() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.leaving {
		c.leaving = true
		c.idle = make(chan struct{})
		if c.active == 0 {
			close(c.idle)
		}
		if c.control != nil {
			_ = c.sendGoAway(c.next)
		}
	}
	return c.idle
}

// sendGoAway names the first request that will not be answered. The caller holds mu.
func (c *conn) sendGoAway(first quic.StreamID) error {
	frame := quicvarint.Append(nil, frameGoAway)
	frame = quicvarint.Append(frame, uint64(quicvarint.Len(uint64(first))))
	_ = c.control.SetWriteDeadline(time.Now().Add(farewell)) // fails never
	_, err := c.control.Write(quicvarint.Append(frame, uint64(first)))
	return err
}

// drain asks the client to go, twice, so that no request that it sends meanwhile is lost. It closes the connection when the client has gone,
// when its requests are done, or when ctx ends.
func (c *conn) drain(ctx context.Context) {
	gone := c.quic.Context().Done()
	c.warn()
	crossing := time.NewTimer(min(2*c.quic.ConnectionStats().SmoothedRTT+minCrossing, maxCrossing))
	defer crossing.Stop()
	select {
	case <-crossing.C:
	case <-gone:
	case <-ctx.Done():
	}
	select {
	case <-c.leave():
		// What was sent last is perhaps still under way: the client closes when it has everything.
		patience := time.NewTimer(farewell)
		defer patience.Stop()
		select {
		case <-gone:
		case <-patience.C:
		case <-ctx.Done():
		}
	case <-gone:
	case <-ctx.Done():
	}
	_ = c.quic.CloseWithError(quic.ApplicationErrorCode(NoError), "") // closed already, perhaps
}

// close ends the connection because of an error of its client's, which is told of once.
func (c *conn) close(e *ConnError) {
	_ = c.quic.CloseWithError(quic.ApplicationErrorCode(e.Code), e.Why)
	if !c.failed.Swap(true) {
		peer := c.peer // whose Cache is the handler's
		c.s.handler.Refused(&peer, 0, e)
	}
}

// fail ends the connection if the error is one of a connection.
func (c *conn) fail(err error) bool {
	broken, ok := errors.AsType[*ConnError](err)
	if ok {
		c.close(broken)
	}
	return ok
}

// fail ends the stream or the connection because of an error. The goroutine that reads the request calls it.
func (x *exchange) fail(err error) {
	x.broke.Store(true)
	if x.c.fail(err) {
		return
	}
	code := RequestIncomplete
	if broken, ok := errors.AsType[*StreamError](err); ok {
		code = broken.Code
	}
	reset(x.stream, code)
}

// acceptUni serves the client's unidirectional streams.
func (c *conn) acceptUni() {
	for {
		s, err := c.quic.AcceptUniStream(context.Background())
		if err != nil {
			return
		}
		go c.serveUni(s)
	}
}

// serveUni reads a unidirectional stream to its end.
func (c *conn) serveUni(s *quic.ReceiveStream) {
	defer c.contain()
	in := reader{src: s, buf: make([]byte, 256)}
	typ, err := in.varint()
	if err != nil {
		return
	}
	if typ > streamDecoder {
		s.CancelRead(quic.StreamErrorCode(StreamCreationError)) // of an extension that we do not know
		if err := c.charge(floodOther); err != nil {
			c.fail(err)
		}
		return
	}
	c.mu.Lock()
	again := c.opened[typ]
	c.opened[typ] = true
	c.mu.Unlock()
	if again || typ == streamPush {
		c.close(&ConnError{StreamCreationError, "clients have one stream of each kind, and push nothing"})
		return
	}
	switch typ {
	case streamControl:
		err = c.readControl(&in)
	case streamEncoder:
		err = drop(&in, func(p []byte) error {
			for _, b := range p {
				if b != 0x20 { // a capacity of 0 is all that may be set
					return &ConnError{EncoderStreamError, "there is no dynamic table"}
				}
			}
			return nil
		})
	case streamDecoder:
		err = drop(&in, func([]byte) error { return nil })
	}
	if c.quic.Context().Err() != nil {
		return
	}
	if broken, ok := errors.AsType[*ConnError](err); !ok || broken == errTruncated {
		err = &ConnError{ClosedCriticalStream, "stream that lasts as long as the connection has ended"}
	}
	c.fail(err)
}

// drop reads a stream to its end.
func drop(in *reader, look func([]byte) error) error {
	for {
		if err := look(in.buf[in.r:in.w]); err != nil {
			return err
		}
		in.r = in.w
		if err := in.fill(); err != nil {
			return err
		}
	}
}

// readControl reads the client's control stream (section 6.2.1).
func (c *conn) readControl(in *reader) error {
	for first := true; ; first = false {
		typ, err := in.next()
		if err != nil {
			return err
		}
		switch {
		case first != (typ == frameSettings):
			if first {
				return &ConnError{MissingSettings, "control stream does not begin with SETTINGS"}
			}
			return &ConnError{FrameUnexpected, "second SETTINGS frame"}
		case typ == frameData, typ == frameHeaders, typ == framePushPromise, reservedFrame(typ):
			return &ConnError{FrameUnexpected, "frame does not belong on a control stream"}
		case in.left > maxSettings:
			return &ConnError{ExcessiveLoad, "frame on the control stream is too large"}
		}
		payload, err := in.payload(nil)
		if err != nil {
			return err
		}
		if err := checkControl(typ, payload); err != nil {
			return err
		}
		if first {
			continue
		}
		if err := c.charge(floodOther); err != nil {
			return err
		}
	}
}

// checkControl checks the payload of a frame on a control stream. Nothing in it matters to us: there is no push, and no dynamic table.
func checkControl(typ uint64, p []byte) error {
	switch typ {
	case frameSettings:
		return checkSettings(p)
	case frameGoAway, frameMaxPushID, frameCancelPush:
		if _, n, err := quicvarint.Parse(p); err != nil || n != len(p) {
			return &ConnError{FrameError, "frame is not one number"}
		}
		if typ == frameCancelPush {
			return &ConnError{IDError, "nothing was pushed"}
		}
	}
	return nil
}

// checkSettings checks a SETTINGS frame (section 7.2.4).
func checkSettings(p []byte) error {
	seen := map[uint64]bool{}
	for len(p) > 0 {
		id, n, err := quicvarint.Parse(p)
		if err != nil {
			return &ConnError{FrameError, "malformed SETTINGS"}
		}
		p = p[n:]
		value, n, err := quicvarint.Parse(p)
		if err != nil {
			return &ConnError{FrameError, "malformed SETTINGS"}
		}
		p = p[n:]
		switch {
		case seen[id], id >= 0x2 && id <= 0x5, id == settingConnectProtocol && value > 1:
			return &ConnError{SettingsError, "setting is given twice, belongs to HTTP/2, or has no such value"}
		}
		seen[id] = true
	}
	return nil
}

// addrPort is a UDP address as a netip.AddrPort.
func addrPort(a net.Addr) netip.AddrPort {
	if u, ok := a.(*net.UDPAddr); ok {
		ap := u.AddrPort()
		return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
	}
	return netip.AddrPort{}
}
