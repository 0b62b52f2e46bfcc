// The sweeper: one goroutine of a server that looks at every connection on a coarse tick, instead of timers that every request would start
// and stop. It ends what has taken too long, and begins to watch the clients of slow requests.

package wire

import "time"

const (
	tick = 100 * time.Millisecond
	// restAfter is how long a connection must be idle to be looked at on every restTicks-th tick only.
	restAfter = time.Second
	restTicks = 10
)

func (s *Server) sweep(stop chan struct{}) {
	t := time.NewTicker(tick)
	defer t.Stop()
	w := newWatches()
	defer w.close()
	var list []*conn
	for n := 1; ; n++ {
		select {
		case <-stop:
			return
		case <-t.C:
		}
		now := s.setClock()
		s.mu.Lock()
		list = append(list[:0], s.lively.list...)
		if n%restTicks == 0 {
			list = append(list, s.resting.list...)
		}
		s.mu.Unlock()
		w.collect()
		for _, c := range list {
			s.look(c, w, now, n%restTicks == 0)
		}
		w.collect()
		if n%restTicks == 0 {
			w.forget()
		}
		clear(list)
	}
}

// look does what a connection's phase and its age ask for; thorough now and then.
func (s *Server) look(c *conn, w *watches, now int64, thorough bool) {
	state := c.state.Load()
	age := time.Duration(now - state>>stateShift)
	limit := time.Duration(0)
	switch state & phaseMask {
	case phaseIdle:
		limit = s.lim.KeepAlive
		if age > tick && c.probe(state, false) {
			limit = 0
		}
		if age > restAfter && age <= limit {
			s.rest(c, state)
		}
	case phaseHead:
		limit = s.lim.HeadTime
		if age > tick && c.probe(state, thorough) {
			limit = 0
		}
	case phaseWriting:
		limit = s.lim.WriteStall
		c.lookAfter(w, age)
	case phaseLinger:
		limit = lingerTime
	case phaseServing:
		c.lookAfter(w, age)
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
	c.rests.Store(true)
	if c.state.Load() != state { // it has begun to work, perhaps before it could see that it rests
		c.rests.Store(false)
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
