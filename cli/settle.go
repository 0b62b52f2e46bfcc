// Giving memory back when things have become quiet.
//
// A connection's goroutine needs 8 KiB of stack and more at work, and half of that while it waits; only a garbage collection takes the rest back,
// and what it frees goes to the operating system slowly. A gateway that nobody asks for anything makes next to no garbage, so that after ten thousand
// connections have come, and asked for one thing each, it would stay as large as it was in that moment. So whoever has grown and has had
// no collection for a while is collected, and the memory is given back at once. A gateway at work collects by itself and is left alone, and so is
// one that has neither grown nor lost many of its connections: what those held is garbage that nobody has counted yet.

package cli

import (
	"context"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	// settleEvery is how often memory is looked at, and how long there must have been no collection.
	settleEvery = 10 * time.Second
	// settleBytes is what it must have grown by, or hold unused, to be worth a collection.
	settleBytes = 8 << 20
	// settleConnections is how many connections must be over for the same.
	settleConnections = 1000
)

// footprint is the memory of the process, as the runtime counts it, and what much of it is for.
type footprint struct {
	collections uint64
	held        uint64 // of the operating system's
	unused      uint64 // of these
	connections int64
}

func readFootprint(connections int64) footprint {
	samples := []metrics.Sample{
		{Name: "/gc/cycles/total:gc-cycles"},
		{Name: "/memory/classes/total:bytes"},
		{Name: "/memory/classes/heap/released:bytes"},
		{Name: "/memory/classes/heap/free:bytes"},
	}
	metrics.Read(samples)
	return footprint{
		collections: samples[0].Value.Uint64(), held: samples[1].Value.Uint64() - samples[2].Value.Uint64(), unused: samples[3].Value.Uint64(),
		connections: connections,
	}
}

// settler decides when memory is given back. It belongs to one goroutine.
type settler struct {
	read     func() footprint
	giveBack func()

	collections uint64 // at the last look
	least       uint64 // what was held when memory was given back, or less
	most        int64  // connections since then
}

// settle gives memory back whenever there is enough and it is quiet, until ctx ends. connections tells how many there are.
func settle(ctx context.Context, connections func() int64) {
	s := settler{read: func() footprint { return readFootprint(connections()) }, giveBack: debug.FreeOSMemory}
	tick := time.NewTicker(settleEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			s.look()
		}
	}
}

func (s *settler) look() {
	now := s.read()
	busy := now.collections != s.collections
	s.collections, s.least, s.most = now.collections, min(s.least, now.held), max(s.most, now.connections)
	if busy || now.held < s.least+settleBytes && now.unused < settleBytes && s.most-now.connections < settleConnections {
		return
	}
	for { // a collection halves stacks and no more
		before := now.held
		s.giveBack()
		now = s.read()
		if now.held+settleBytes > before {
			break
		}
	}
	s.collections, s.least, s.most = now.collections, now.held, now.connections
}
