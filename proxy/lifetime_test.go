// Snapshots are released once, when their last request is done.

package proxy

import (
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/wicketgate/wicketgate/message"
	"github.com/wicketgate/wicketgate/proxy/backend"
	"github.com/wicketgate/wicketgate/wire"
)

func TestSnapshotIsReleasedWithItsLastRequest(t *testing.T) {
	p, b := plainProxy(t, Options{})
	entered, finish := make(chan struct{}), make(chan struct{})
	b.answer = func(_ wire.Exchange, _ *message.Head, _ backend.Timeouts, res *backend.Response) error {
		close(entered)
		<-finish
		res.Head.Status = 204
		return nil
	}
	var wg sync.WaitGroup
	wg.Go(func() { p.Serve(plainExchange()) })
	<-entered
	p.Swap(p.empty())
	if b.released != 0 {
		t.Error("the backend was released under a request")
	}
	close(finish)
	wg.Wait()
	if b.released != 1 {
		t.Errorf("released %d times, want once", b.released)
	}
}

func TestIdleSnapshotIsReleasedAtOnce(t *testing.T) {
	p, b := plainProxy(t, Options{})
	p.Serve(plainExchange())
	p.Swap(p.Compile(graphOf(t, "plain.yaml", plainYAML), p.Current()))
	if b.acquired != 2 || b.released != 1 {
		t.Errorf("acquired %d, released %d, want 2 and 1", b.acquired, b.released)
	}
	p.Compile(graphOf(t, "plain.yaml", plainYAML), p.Current()).Discard()
	if b.acquired != 3 || b.released != 2 {
		t.Errorf("after a discarded snapshot: acquired %d, released %d, want 3 and 2", b.acquired, b.released)
	}
}

func TestPanicLeavesTheSnapshot(t *testing.T) {
	p, b := plainProxy(t, Options{})
	b.answer = func(wire.Exchange, *message.Head, backend.Timeouts, *backend.Response) error { panic("test") }
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the wire did not see the panic")
			}
		}()
		p.Serve(plainExchange())
	}()
	p.Swap(p.empty())
	if b.released != 1 {
		t.Error("the snapshot is still in use")
	}
	if n := p.metrics.series[labels{"default/public", "http", "default/shop", "0"}]; n != nil {
		t.Error("the series is still held")
	}
}

// Every snapshot that was swapped out is released, once, however requests and swaps interleave.
func TestSwapsAndRequestsInterleave(t *testing.T) {
	p, b := plainProxy(t, Options{})
	b.quiet = true
	g := graphOf(t, "plain.yaml", plainYAML)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				x := plainExchange()
				x.quiet = true
				if p.Serve(x); x.status != 204 {
					t.Errorf("status %d", x.status)
					return
				}
			}
		})
	}
	var released sync.Map
	const swaps = 500
	for i := range swaps {
		s := p.Compile(g, p.Current())
		release := s.life.release
		s.life.release = func() {
			if _, again := released.LoadOrStore(i, true); again {
				t.Errorf("snapshot %d was released twice", i)
			}
			_ = release
		}
		p.Swap(s)
	}
	close(stop)
	wg.Wait()
	for i := range swaps - 1 {
		if _, ok := released.Load(i); !ok {
			t.Errorf("snapshot %d was never released", i)
		}
	}
}

func TestBalancingGoesOnOverReloads(t *testing.T) {
	yaml := strings.Replace(plainYAML, "[{name: v1, port: 8080}]", "[{name: v1, port: 8080, weight: 9}, {name: v2, port: 8080, weight: 1}]", 1)
	p, _ := fakes(Options{})
	defer p.Close()
	got := map[int]int{}
	for range 100 {
		p.Swap(p.Compile(graphOf(t, "plain.yaml", yaml), p.Current()))
		x := plainExchange()
		p.Serve(x)
		got[x.status]++
	}
	// v2 does not exist: its share is answered with 500.
	if got[200] != 90 || got[500] != 10 {
		t.Errorf("shares %v with a reload before every request", got)
	}
}

// Nobody is inside of a snapshot that was released, not even for a moment.
func TestReleasedSnapshotIsNeverEntered(t *testing.T) {
	p, _ := plainProxy(t, Options{})
	p.Swap(p.empty())
	var wg sync.WaitGroup
	var released sync.Map
	stop := make(chan struct{})
	for shard := range p.shards {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				s := p.enter(shard)
				runtime.Gosched()
				if _, gone := released.Load(s.life); gone {
					t.Error("a request runs on a released snapshot")
				}
				s.life.leave(shard)
			}
		})
	}
	for range 20000 {
		s := p.empty()
		life, release := s.life, s.life.release
		life.release = func() { released.Store(life, true); release() }
		p.Swap(s)
	}
	close(stop)
	wg.Wait()
}
