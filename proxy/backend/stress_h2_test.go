// The same over HTTP/2: responses end up with the requests that asked for them, or nowhere, whatever backends do; nothing hangs, and nothing that a backend
// began to work on is sent twice.

package backend

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"github.com/wicketgate/wicketgate/internal/patient"
	"github.com/wicketgate/wicketgate/message"
)

// naughtyHTTP2 are backends that answer requests with their own path, in one of many right and wrong ways, many at once and in any order.
type naughtyHTTP2 struct {
	mu    sync.Mutex
	begun map[string]int // how often each path was begun to work on
}

func (n *naughtyHTTP2) begin(path string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.begun[path]++
}

// naughtyStream is a request that is not answered yet.
type naughtyStream struct {
	id           uint32
	method, path string
	body         string
	ended        bool
	answer       []func() // frames to send; nil as long as it is not known what will be
}

// naughtyPeer is one connection of such a backend.
type naughtyPeer struct {
	*peer
	all     *naughtyHTTP2
	streams []*naughtyStream
	away    uint32 // streams beyond it are not worked on
	over    bool   // the connection ends
}

// naughtyEvent is a frame as far as it matters.
type naughtyEvent struct {
	id           uint32
	kind         http2.FrameType
	method, path string
	body         string
	end          bool
}

// serve is the script of a connection: it answers when something comes, and every now and then.
func (n *naughtyHTTP2) serve(p *peer) {
	k := &naughtyPeer{peer: p, all: n, away: 1<<31 - 1}
	events := make(chan naughtyEvent)
	gone := make(chan struct{})
	var reader sync.WaitGroup
	defer reader.Wait()
	defer p.c.Close()
	defer close(gone)
	reader.Go(func() {
		defer close(events)
		for f := p.next(); f != nil; f = p.next() {
			select {
			case events <- naughtyEventOf(f):
			case <-gone:
				return
			}
		}
	})
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !k.over {
		select {
		case e, ok := <-events:
			if !ok {
				return
			}
			k.take(e)
		case <-tick.C:
			k.openWindows()
		}
		for range rand.IntN(8) {
			k.step()
		}
	}
}

func naughtyEventOf(f http2.Frame) naughtyEvent {
	e := naughtyEvent{id: f.Header().StreamID, kind: f.Header().Type}
	switch f := f.(type) {
	case *http2.MetaHeadersFrame:
		e.method, e.path, e.end = f.PseudoValue("method"), f.PseudoValue("path"), f.StreamEnded()
	case *http2.DataFrame:
		e.body, e.end = string(f.Data()), f.StreamEnded()
	}
	return e
}

// take takes a frame of the gateway's.
func (k *naughtyPeer) take(e naughtyEvent) {
	at := -1
	for i, s := range k.streams {
		if s.id == e.id {
			at = i
		}
	}
	switch {
	case e.kind == http2.FrameHeaders && e.method != "":
		at = k.open(e)
	case e.kind == http2.FrameRSTStream && at >= 0 && rand.IntN(2) == 0: // else it is answered although nobody wants it
		k.forget(at)
		return
	case e.kind == http2.FrameData && at >= 0:
		k.streams[at].body += e.body
	}
	if at < 0 {
		return
	}
	s := k.streams[at]
	s.ended = s.ended || e.end
	if s.answer == nil && (s.ended || rand.IntN(16) == 0) {
		k.plan(s)
	}
}

// open decides whether a request is worked on, and returns its place among those that are, or -1.
func (k *naughtyPeer) open(e naughtyEvent) int {
	switch {
	case e.id > k.away:
		return -1
	case rand.IntN(24) == 0:
		_ = k.WriteRSTStream(e.id, http2.ErrCodeRefusedStream)
		return -1
	case rand.IntN(60) == 0:
		k.away = max(e.id, 2) - 2
		_ = k.WriteGoAway(k.away, http2.ErrCodeNo, nil)
		return -1
	}
	k.all.begin(e.path)
	k.streams = append(k.streams, &naughtyStream{id: e.id, method: e.method, path: e.path})
	return len(k.streams) - 1
}

func (k *naughtyPeer) forget(at int) { k.streams = append(k.streams[:at], k.streams[at+1:]...) }

// step sends a frame of any stream that has one.
func (k *naughtyPeer) step() {
	if len(k.streams) == 0 {
		k.over = k.over || k.away < 1<<31-1
		return
	}
	at := rand.IntN(len(k.streams))
	s := k.streams[at]
	if s.answer == nil {
		return
	}
	if len(s.answer) > 0 {
		next := s.answer[0]
		s.answer = s.answer[1:]
		next()
	}
	if len(s.answer) == 0 {
		k.forget(at)
	}
	switch rand.IntN(60) {
	case 0:
		k.noise()
	case 1:
		if rand.IntN(4) == 0 {
			k.garbage()
		}
	}
}

// plan decides how a request is answered.
func (k *naughtyPeer) plan(s *naughtyStream) {
	path := s.path
	if s.method == "POST" && s.ended && s.body != path {
		path = "/body-of-another"
	}
	head := func(fields ...string) func() {
		return func() { k.head(s.id, false, append([]string{":status", "200", "x-id", path}, fields...)...) }
	}
	data := func(p string, end bool) func() { return func() { _ = k.WriteData(s.id, end, []byte(p)) } }
	reset := func(code http2.ErrCode) func() { return func() { _ = k.WriteRSTStream(s.id, code) } }
	cut := rand.IntN(len(path))
	length := fmt.Sprint(len(path))
	whole := []func(){head("content-length", length), data(path[:cut], false), data(path[cut:], true)}
	switch rand.IntN(20) {
	case 0: // half, then a reset
		s.answer = []func(){whole[0], whole[1], reset(http2.ErrCodeInternal)}
	case 1:
		s.answer = []func(){reset(http2.ErrCodeCancel)}
	case 2: // less or more than announced
		s.answer = []func(){head("content-length", fmt.Sprint(len(path)+rand.IntN(2)*2-1)), whole[1], whole[2]}
	case 3: // malformed
		s.answer = []func(){head("connection", "close")}
	case 4: // behind the end
		s.answer = []func(){whole[0], whole[1], whole[2], reset(http2.ErrCodeNo)}
	case 5:
		s.answer = []func(){func() { k.head(s.id, false, ":status", "103", "x-id", path) }, whole[0], whole[1], whole[2]}
	case 6, 7, 8: // trailers
		s.answer = []func(){head(), data(path, false), func() { k.head(s.id, true, "x-id", path) }}
	case 9: // padding, and frames without content
		s.answer = []func(){
			head(), data("", false),
			func() { _ = k.WriteDataPadded(s.id, false, []byte(path), make([]byte, rand.IntN(200))) }, data("", true),
		}
	default:
		s.answer = whole
	}
}

// noise is what is allowed and means nothing.
func (k *naughtyPeer) noise() {
	switch rand.IntN(4) {
	case 0:
		_ = k.WriteRawFrame(0xfa, 0, 0, []byte("?"))
	case 1:
		_ = k.WritePing(false, [8]byte{1})
	case 2: // with bodies under way, windows may become negative
		_ = k.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: uint32(rand.IntN(100))})
	case 3:
		_ = k.WritePriority(1, http2.PriorityParam{StreamDep: 3})
	}
}

// garbage breaks the rules of connections, or ends one without a word.
func (k *naughtyPeer) garbage() {
	switch rand.IntN(6) {
	case 0:
		k.over = true
	case 1:
		_ = k.WriteRawFrame(http2.FramePushPromise, http2.FlagPushPromiseEndHeaders, 1, []byte{0, 0, 0, 2})
	case 2:
		_ = k.WriteRawFrame(http2.FrameData, 0, 1<<30+1, []byte("of no stream"))
	case 3:
		_ = k.WriteRawFrame(http2.FrameHeaders, http2.FlagHeadersEndHeaders, 1, []byte{0xff, 0xff, 0xff, 0xff, 0xff})
	case 4:
		_ = k.WriteRawFrame(http2.FrameSettings, 0, 0, []byte{1})
	case 5:
		_, _ = io.WriteString(k.c, "HTTP/1.1 400 Bad Request\r\n\r\n")
	}
}

// openWindows lets those go on that still have to send something, a few bytes at a time.
func (k *naughtyPeer) openWindows() {
	for _, s := range k.streams {
		if !s.ended {
			_ = k.WriteWindowUpdate(s.id, uint32(1+rand.IntN(200)))
		}
	}
}

// TestHTTP2ResponsesReachTheirRequests: many clients, some of which give up, over the shared connections of two backends that misbehave at random.
func TestHTTP2ResponsesReachTheirRequests(t *testing.T) {
	requests := 6000
	if testing.Short() {
		requests = 600
	}
	leakFree(t, func(t *testing.T) {
		n := &naughtyHTTP2{begun: map[string]int{}}
		small := http2.Setting{ID: http2.SettingInitialWindowSize, Val: 10}
		b := http2Backend(Options{}, serveHTTP2(t, n.serve, small, http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: 7}), serveHTTP2(t, n.serve))
		var next, complete, failed atomic.Int64
		var wg sync.WaitGroup
		for range 32 {
			wg.Go(func() {
				var res Response
				for i := next.Add(1); i <= int64(requests); i = next.Add(1) {
					if stressHTTP2(t, b, fmt.Sprintf("/%d-%s", i, strings.Repeat("x", rand.IntN(200))), &res) {
						complete.Add(1)
					} else {
						failed.Add(1)
					}
				}
			})
		}
		wg.Wait()
		b.Release()
		s := &b.stats.HTTP2
		patient.Until(t, "no connection is open any more", func() bool { return s.Open.Load() == 0 && s.Active.Load() == 0 })
		n.mu.Lock()
		defer n.mu.Unlock()
		for path, times := range n.begun {
			if post := strings.HasPrefix(path, "/post"); post && times > 1 || times > 2 {
				t.Errorf("%.40s was worked on %d times", path, times)
			}
		}
		if c, f := complete.Load(), failed.Load(); c < int64(requests)/4 || f < int64(requests)/50 {
			t.Errorf("%d complete and %d failed of %d: that was not the test it should be", c, f, requests)
		}
		if s.Refused.Load() == 0 || s.Resets.Load() == 0 || s.Cancelled.Load() == 0 || s.GoAways.Load() == 0 || s.Malformed.Load() == 0 || s.Faults.Load() == 0 {
			t.Errorf("something never happened: refused %d, reset %d, cancelled %d, GOAWAY %d, malformed %d, faults %d", s.Refused.Load(), s.Resets.Load(),
				s.Cancelled.Load(), s.GoAways.Load(), s.Malformed.Load(), s.Faults.Load())
		}
	})
}

// hung is after how long an exchange is taken for one that would never end.
const hung = time.Minute

// stressHTTP2 does one exchange and reports whether it was complete. Requests whose path begins with /post must not be worked on twice.
func stressHTTP2(t *testing.T, b *Backend, path string, res *Response) bool {
	req, body := get(path), message.Body(nil)
	if rand.IntN(3) == 0 {
		path = "/post" + path
		req = get(path)
		req.Method, req.Length = []byte("POST"), int64(len(path))
		body = &content{p: path, part: rand.IntN(2) == 0}
	}
	x := &client{ctx: t.Context()}
	if rand.IntN(8) == 0 {
		go x.leave()
	}
	watchdog := time.AfterFunc(hung, func() {
		t.Errorf("%.40s hung", path)
		x.leave()
	})
	defer watchdog.Stop()
	if err := b.RoundTrip(x, req, body, Timeouts{}, res); err != nil {
		return false
	}
	defer res.Finish()
	got, err := readStress(res.Body)
	if id := string(res.Head.Fields.Get("x-id")); id != path || err == nil && got != path || !strings.HasPrefix(path, got) {
		t.Errorf("asked for %.40s, got the head of %.40s and the body %.40s, %v", path, id, got, err)
	}
	if res.Body != nil && err == nil {
		if trailers := res.Body.Trailers(); trailers != nil && string(trailers.Get("x-id")) != path {
			t.Errorf("asked for %.40s, got the trailers of %.40s", path, trailers.Get("x-id"))
		}
	}
	return err == nil
}

// errEnough is why a client stopped reading.
var errEnough = errors.New("this client has had enough")

func readStress(body message.Body) (string, error) {
	var got strings.Builder
	for body != nil {
		p, err := body.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return got.String(), err
		}
		got.Write(p)
		if rand.IntN(100) == 0 {
			return got.String(), errEnough
		}
	}
	return got.String(), nil
}
