// How long a snapshot is in use.
//
// Each request counts itself in and out of its snapshot. One counter for all would be fought over by all cores, so there are several,
// each on a cache line of its own, and a connection is dealt one for its life.
//
// A request enters by loading the current snapshot, adding 1 to its counter, and looking whether the snapshot is still the current one; if
// not it takes the 1 back and starts over. A snapshot retires after it was replaced: from then on no request can enter it for good, so once every
// counter has been read as 0 nobody is left. Whoever may have been the last looks: Swap itself, and every request that leaves a
// retired snapshot. Counters are never negative, because a request leaves by the counter by which it entered. That holds because Go's atomic
// operations are sequentially consistent.

package proxy

import (
	"runtime"
	"sync"
	"sync/atomic"
)

// maxShards bounds the memory of counters that are kept once for each core.
const maxShards = 16

// shardCount is how many copies of a busy counter this machine deserves: a power of two.
func shardCount() uint32 {
	n := uint32(1)
	for n < uint32(runtime.GOMAXPROCS(0)) && n < maxShards {
		n *= 2
	}
	return n
}

// inflight counts requests. It fills the cache lines that processors fetch together.
type inflight struct {
	n atomic.Int64
	_ [120]byte
}

// lifetime is what a snapshot holds and until when. It is apart from the snapshot so that a long response keeps this alive and not
// the tables of every generation that had one.
type lifetime struct {
	counts  []inflight
	unbound *series // requests that have no listener
	retired atomic.Bool
	once    sync.Once
	release func()
}

func newLifetime(shards uint32, release func()) *lifetime {
	return &lifetime{counts: make([]inflight, shards), release: release}
}

// enter captures the current snapshot for one request, which must leave it by the same shard.
func (p *Proxy) enter(shard uint32) *Snapshot {
	for {
		s := p.current.Load()
		s.life.counts[shard].n.Add(1)
		if p.current.Load() == s {
			return s
		}
		s.life.leave(shard)
	}
}

func (l *lifetime) leave(shard uint32) {
	l.counts[shard].n.Add(-1)
	if l.retired.Load() {
		l.settle()
	}
}

// retire says that no request will enter any more.
func (l *lifetime) retire() {
	l.retired.Store(true)
	l.settle()
}

// settle releases what a retired snapshot holds if nobody uses it.
func (l *lifetime) settle() {
	for i := range l.counts {
		if l.counts[i].n.Load() != 0 {
			return
		}
	}
	l.once.Do(l.release)
}
