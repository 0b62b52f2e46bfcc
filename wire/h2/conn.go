// One connection from a client: its reading loop, and how it ends.
//
// Three kinds of goroutines work on it. The reader takes all frames of a read together and then starts the streams that they began. A
// stream's goroutine runs the handler, or a coroutine does if the stream came alone (coroutine.go); what it sends it appends to the connection's output, within
// the windows. A flusher writes the output, whatever has come together by then, in one write (output.go). Everything that they share is guarded by conn.mu.

package h2

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wicketgate/wicketgate/message"
	"github.com/wicketgate/wicketgate/wire"
)

const (
	// uploadWindow is what a stream may have sent that nobody has consumed; it grows up to maxUploadWindow while its consumer is faster than the
	// client. uploadsWindow is the same for all streams of a connection together.
	uploadWindow    = 64 << 10
	maxUploadWindow = 1 << 20
	uploadsWindow   = 4 << 20

	// smallBuffer is what a connection reads into first; as soon as that is filled, readBuffer, which any frame fits. While it waits it holds neither,
	// but under TLS the smaller one.
	smallBuffer = 2 << 10
	readBuffer  = 32 << 10
)

// stage is how far the end of a connection has come.
type stage uint8

const (
	serving stage = iota
	warned        // GOAWAY without a last stream was sent, and PING after it: what was on its way is still served
	leaving       // GOAWAY with the last stream was sent: what is under way finishes
	ended         // nothing is sent any more
)

var past = time.Unix(1, 0)

// conn is one connection.
type conn struct {
	s    *Server
	nc   net.Conn
	io   wire.IO
	held batcher // what is under TLS, if it can gather records
	peer wire.Peer
	born int64

	rests  atomic.Bool  // idle for a while: the sweeper looks at it seldom
	useful atomic.Int64 // responses and frames with content that were sent
	quiet  sync.Cond    // a stream or the flusher has ended

	// Of the reader.
	in       []byte // in[:n] is what was read and not taken yet; small or big, nil if there is neither
	n        int
	small    *[smallBuffer]byte
	big      *[readBuffer]byte
	filled   bool // by the latest read, or bodies are arriving: there is more
	began    bool // the preface was read
	blocks   *BlockReader
	ready    []*stream
	ledger   ledger
	carries  habit // streams that come alone (coroutine.go)
	listened bool  // the first frame was SETTINGS
	arrival  int64
	wrong    error // what it found wrong, or why else it is to end

	mu         sync.Mutex
	stage      stage
	stopped    error // why the reader is to end
	failed     bool  // writing failed, or is pointless
	warnedAt   int64
	settled    bool   // our SETTINGS were acknowledged
	idleSince  int64  // when the last stream ended
	unfinished int64  // when what the reader has a part of began to arrive, if it has to be complete in time; else 0
	used       bool   // there was a stream
	last       uint32 // the highest stream that the client opened
	streams    map[uint32]*stream
	running    int // streams whose goroutine is not done
	free       []*stream
	resets     [32]uint32 // streams that we reset lately, a ring
	resetAt    int
	remote     Settings
	send       SendWindow
	receive    ReceiveWindow
	output
}

func newConn(s *Server, nc net.Conn, socket netip.AddrPort, tls *wire.TLS) *conn {
	c := &conn{s: s, nc: nc, io: wire.NewIO(nc), peer: wire.NewPeer(nc, socket, tls), streams: map[uint32]*stream{}, remote: DefaultSettings()}
	c.peer.Protocol, c.peer.Leave = "HTTP/2", c.leave
	c.blocks = NewBlockReader(&s.lim, DefaultHeaderSize)
	c.send, c.receive = DefaultWindow, NewReceiveWindow(DefaultWindow)
	c.quiet.L = &c.mu
	if t, ok := nc.(interface{ NetConn() net.Conn }); ok {
		c.held, _ = t.NetConn().(batcher)
	}
	return c
}

// serve serves the connection until its end; then no goroutine of it is left.
func (c *conn) serve(in []byte) {
	c.mu.Lock()
	own := Settings{
		HeaderTableSize: DefaultHeaderSize, EnablePush: true, MaxConcurrentStreams: uint32(c.s.lim.Streams), InitialWindowSize: uploadWindow,
		MaxFrameSize: DefaultFrameSize, MaxHeaderListSize: uint32(c.s.lim.HeadBytes), EnableConnect: true,
	}
	c.out = own.Append(c.buffer(), true)
	c.out = AppendWindowUpdate(c.out, 0, c.receive.Grow(uploadsWindow))
	c.wake()
	c.mu.Unlock()
	err := c.receiveAll(in)
	c.finish(err)
	_ = c.nc.Close()
}

// receiveAll reads until the connection is to end, and returns why.
func (c *conn) receiveAll(in []byte) error {
	for len(in) > 0 {
		k := copy(c.space(), in)
		in = in[k:]
		if err := c.received(k); err != nil {
			return err
		}
	}
	err := c.io.Receive(c.space, func(n int) bool {
		c.wrong = c.received(n)
		return c.wrong == nil
	}, c.pause)
	if err == nil {
		return c.wrong
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopped != nil && errors.Is(err, os.ErrDeadlineExceeded) {
		return c.stopped
	}
	return err
}

// space is where the next bytes go.
func (c *conn) space() []byte {
	c.makeRoom()
	return c.in[c.n:]
}

var (
	smallBuffers = sync.Pool{New: func() any { return new([smallBuffer]byte) }}
	readBuffers  = sync.Pool{New: func() any { return new([readBuffer]byte) }}
)

// makeRoom makes sure that there is room to read, and gives the large buffer back while nothing is in hand.
func (c *conn) makeRoom() {
	if c.n == 0 && c.big != nil && !c.busy() {
		c.release()
	}
	switch {
	case c.big != nil:
	case c.filled || c.small != nil && c.n == len(c.in):
		big := readBuffers.Get().(*[readBuffer]byte)
		copy(big[:], c.in[:c.n])
		c.release()
		c.big, c.in = big, big[:]
	case c.small == nil:
		c.small = smallBuffers.Get().(*[smallBuffer]byte)
		c.in = c.small[:]
	}
}

// pause gives the buffer back if nothing is in hand, since nobody knows for how long the connection will wait.
func (c *conn) pause() {
	if c.n == 0 {
		c.filled = c.big != nil && c.busy()
		c.release()
	}
}

// busy reports whether bodies are arriving, for which the large buffer is kept.
func (c *conn) busy() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.running > 0
}

// received takes the frames that are complete after n more bytes, and starts the streams that they began.
func (c *conn) received(n int) error {
	c.n += n
	c.filled = c.n == len(c.in)
	c.arrival = c.s.now()
	buf := c.in[:c.n]
	if !c.began {
		k := min(len(buf), len(Preface))
		if string(buf[:k]) != Preface[:k] {
			return protocolError("connection does not begin with the preface")
		}
		if k < len(Preface) {
			return nil
		}
		c.began = true
		buf = buf[k:]
	}
	err := error(nil)
	for err == nil {
		var f Frame
		var k int
		if f, k, err = ParseFrame(buf, DefaultFrameSize); k == 0 {
			break
		}
		buf = buf[k:]
		err = c.take(&f, k, err)
	}
	c.note(buf)
	c.n = copy(c.in, buf)
	c.startStreams()
	return err
}

// note keeps in mind since when something has been incomplete that must not take its time: a header, or the beginning of a frame.
func (c *conn) note(rest []byte) {
	awaited := c.blocks.Stream() != 0 || len(rest) > 0 && (len(rest) < FrameHead || FrameType(rest[3]) != FrameData)
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case !awaited:
		c.unfinished = 0
	case c.unfinished == 0:
		c.unfinished = c.arrival
	}
}

// startStreams lets the streams begin whose headers have come, with what came of their bodies in hand.
func (c *conn) startStreams() {
	if len(c.ready) == 1 && c.s.prompt && c.ready[0].whole() && c.carries.try() {
		s := c.ready[0]
		c.ready[0], c.ready = nil, c.ready[:0]
		c.carries.paid(s.carry())
		return
	}
	for i, s := range c.ready {
		c.s.workers.start(s)
		c.ready[i] = nil
	}
	c.ready = c.ready[:0]
}

// stopReading has the reader end, with err. The caller holds mu.
func (c *conn) stopReading(err error) {
	if c.stopped == nil {
		c.stopped = err
	}
	_ = c.nc.SetReadDeadline(past)
}

// kill ends the connection at once.
func (c *conn) kill(r message.Reason) {
	c.mu.Lock()
	c.breakOff()
	c.mu.Unlock()
	c.lose(r)
}

// breakOff makes all reads and writes fail. The caller holds mu.
func (c *conn) breakOff() {
	c.failed, c.stage = true, ended
	c.stopReading(net.ErrClosed)
	_ = c.nc.SetDeadline(past)
}

// lose breaks off all streams, and waits for their goroutines unless there are none; the connection is gone, or its client does not want to go on.
func (c *conn) lose(r message.Reason) {
	c.mu.Lock()
	c.stage = ended
	list := make([]*stream, 0, len(c.streams))
	for _, s := range c.streams {
		s.fail(r)
		list = append(list, s)
	}
	c.wakeAll()
	c.mu.Unlock()
	for _, s := range list {
		s.leave(r)
	}
}

// errLeft ends the reader when a drained connection has nothing left to do.
var errLeft = &ConnError{NoError, "connection is not needed any more"}

const (
	// lingerBytes and lingerTime bound what is read only to be dropped, and how long the last frames may take.
	lingerBytes = 256 << 10
	lingerTime  = time.Second
)

// finish ends a connection whose reader ended with err: what was sent still leaves, with a GOAWAY that says why, unless the client has gone.
func (c *conn) finish(err error) {
	fatal, ours := errors.AsType[*ConnError](err)
	c.report(err, ours && fatal != errLeft)
	if ours {
		c.mu.Lock()
		if !c.failed {
			_ = c.nc.SetWriteDeadline(time.Now().Add(lingerTime))
			c.out = AppendGoAway(c.buffer(), c.last, fatal.Code, fatal.Why)
			c.wake()
			c.stage = ended
		}
		c.mu.Unlock()
	}
	c.lose(message.ClientGone)
	c.mu.Lock()
	if !ours {
		c.failed = true
	}
	for c.running > 0 || c.flushing {
		c.quiet.Wait()
	}
	c.mu.Unlock()
	if ours {
		c.linger()
	}
	c.release()
}

// report tells of what a client did wrong.
func (c *conn) report(err error, ours bool) {
	if f, ok := errors.AsType[*FloodError](err); ok {
		c.s.flood(f.Kind)
	} else if e, ok := errors.AsType[*ConnError](err); ok && e.Code == EnhanceYourCalm {
		c.s.flood(allowances[floodHeader].Name)
	}
	if ours {
		c.s.handler.Refused(&c.peer, 0, err)
	}
}

// linger closes our side and reads on for a little while: to close while bytes are arriving would reset the connection and could
// destroy what the client has not read yet.
func (c *conn) linger() {
	if t, ok := c.nc.(interface{ CloseWrite() error }); !ok || t.CloseWrite() != nil {
		return
	}
	_ = c.nc.SetReadDeadline(time.Now().Add(lingerTime))
	c.n = 0
	for total := 0; total < lingerBytes; {
		n, err := c.nc.Read(c.space())
		if total += n; err != nil && !errors.Is(err, io.ErrNoProgress) {
			return
		}
	}
}

// release gives the buffers back.
func (c *conn) release() {
	if c.small != nil {
		smallBuffers.Put(c.small)
	}
	if c.big != nil {
		readBuffers.Put(c.big)
	}
	c.small, c.big, c.in = nil, nil, nil
}
