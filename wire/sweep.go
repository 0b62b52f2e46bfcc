// The sweeper: one goroutine of a server that looks at every connection on a coarse tick, instead of timers that every request would start
// and stop. It ends what has taken too long, and begins to watch the clients of slow requests.

package wire

import "time"

const (
	tick = 100 * time.Millisecond
	// restAfter is how long a connection must be idle to rest: to be looked at on every restTicks-th tick only, and to have no goroutine.
	restAfter = 2 * time.Second
	restTicks = 10
)

func (s *Server) sweep(stop chan struct{}, asleep *sleepers) {
	t := time.NewTicker(tick)
	defer t.Stop()
	w := newWatches()
	defer w.close()
	defer asleep.close()
	var list []*conn
	for n := 1; ; n++ {
		select {
		case <-stop:
			return
		case <-t.C:
		}
		s.mu.Lock()
		if s.stop != stop { // select takes the tick of two that are ready: the connections that there are now have a sweeper of their own
			s.mu.Unlock()
			return
		}
		r := round{now: s.setClock(), thorough: n%restTicks == 0, watches: w, nudges: nudgesPerTick}
		list = append(list[:0], s.lively.list...)
		if r.thorough {
			list = append(list, s.resting.list...)
		}
		s.mu.Unlock()
		w.collect()
		for _, c := range list {
			s.look(c, &r)
		}
		w.collect()
		if r.thorough {
			w.forget()
		}
		clear(list)
	}
}

// round is one tick's look at all connections.
type round struct {
	now      int64
	thorough bool // at those too that are looked at now and then
	watches  *watches
	nudges   int // how many more connections may be sent to sleep
}

// look does what a connection's phase and its age ask for.
func (s *Server) look(c *conn, r *round) {
	state := c.state.Load()
	age := time.Duration(r.now - state>>stateShift)
	limit := time.Duration(0)
	switch state & phaseMask {
	case phaseIdle:
		limit = s.lim.KeepAlive
		if age > tick && c.probe(state, false) {
			limit = 0
		}
		if age > restAfter && age <= limit && state&(kicked|nudged) == 0 && r.nudges > 0 {
			r.nudges--
			s.rest(c, state)
			c.nudge(state)
		}
	case phaseHead:
		limit = s.lim.HeadTime
		if age > tick && c.probe(state, r.thorough) {
			limit = 0
		}
	case phaseWriting:
		limit = s.lim.WriteStall
		c.lookAfter(r.watches, age)
	case phaseLinger:
		limit = lingerTime
	case phaseServing:
		c.lookAfter(r.watches, age)
		return
	default:
		return
	}
	if age > limit {
		c.mu.Lock()
		c.kick(state)
		c.mu.Unlock()
	}
}

// probe looks, once in a phase and when told to, for an end of the client's stream that no edge told of.
func (c *conn) probe(state int64, again bool) bool {
	state &^= nudged
	if c.probed == state && !again {
		return false
	}
	c.probed = state
	return c.transport.hungUp()
}

// lookAfter sees to it that whoever waits on behalf of a client learns of its leaving.
func (c *conn) lookAfter(w *watches, age time.Duration) {
	if age < tick {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	k := &c.watch
	switch {
	case !k.wanted():
	case k.over:
		k.breakOff(k.reason) // whoever came to be watched over since
	case !k.armed:
		k.armed = c.transport.arm(w)
	}
}

// rest moves an idle connection to those that are seldom looked at.
func (s *Server) rest(c *conn, state int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.set != &s.lively {
		return
	}
	c.seldom.Store(true)
	if c.state.Load() != state { // it has begun to work, perhaps before it could see that it rests
		c.seldom.Store(false)
		return
	}
	s.lively.remove(c)
	s.resting.add(c)
}

// setClock takes the time for all who need it only roughly.
func (s *Server) setClock() int64 {
	now := s.now()
	s.clock.Store(now)
	s.setDate(s.epoch.Add(time.Duration(now)))
	return now
}
