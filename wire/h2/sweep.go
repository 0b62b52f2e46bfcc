// The sweeper: one goroutine of a server that looks at every connection on a coarse tick, instead of timers that every request would start
// and stop.

package h2

import "time"

const (
	tick = 100 * time.Millisecond
	// restTicks: connections that have been idle for restAfter are looked at on every restTicks-th tick only.
	restTicks = 10
	restAfter = time.Second
	// settingsTime is how long a client may take to acknowledge our SETTINGS.
	settingsTime = 10 * time.Second
	// roundTrip is how long a client may take to learn that the connection ends before no more requests are taken from it.
	roundTrip = time.Second
)

// date is the value of a Date field (RFC 9110 section 6.6.1) for one second.
type date struct {
	second int64
	value  []byte
}

func (s *Server) sweep(stop chan struct{}) {
	t := time.NewTicker(tick)
	defer t.Stop()
	var list []*conn
	for n := 1; ; n++ {
		select {
		case <-stop:
			return
		case <-t.C:
		}
		thorough := n%restTicks == 0
		s.mu.Lock()
		if s.stop != stop { // select takes the tick of two that are ready: the connections that there are now have a sweeper of their own
			s.mu.Unlock()
			return
		}
		now := s.setClock()
		list = list[:0]
		for c := range s.conns {
			if thorough || !c.rests.Load() {
				list = append(list, c)
			}
		}
		s.mu.Unlock()
		for _, c := range list {
			c.look(now)
		}
		clear(list)
		if thorough {
			s.workers.idle.trim(dismiss)
			s.coroutines.trim((*coroutine).finish)
		}
	}
}

// setClock takes the time for all who need it only roughly.
func (s *Server) setClock() int64 {
	now := s.now()
	s.clock.Store(now)
	t := s.epoch.Add(time.Duration(now)).UTC()
	if d := s.date.Load(); d == nil || d.second != t.Unix() {
		s.date.Store(&date{t.Unix(), t.AppendFormat(nil, "Mon, 02 Jan 2006 15:04:05 GMT")})
	}
	return now
}

// look ends what has taken too long.
func (c *conn) look(now int64) {
	lim := &c.s.lim
	over := func(since int64, limit time.Duration) bool { return since != 0 && time.Duration(now-since) > limit }
	c.mu.Lock()
	defer c.mu.Unlock()
	rests := c.running == 0 && over(c.idleSince, restAfter) && c.stage == serving
	if c.rests.Store(rests); rests {
		c.free = nil // what idles holds little
	}
	switch {
	case c.stage == ended:
	case over(c.writing, lim.WriteStall):
		c.breakOff()
	case over(c.unfinished, lim.HeadTime):
		c.stopReading(&ConnError{NoError, "a frame of a header did not arrive in time"})
	case !c.settled && over(c.born, settingsTime):
		c.stopReading(&ConnError{SettingsTimeout, "SETTINGS was not acknowledged in time"})
	case c.running == 0 && over(c.idleSince, lim.KeepAlive), c.stage == leaving:
		c.advanceDrain(now)
	default:
		for _, s := range c.streams {
			if over(s.stalled, lim.WriteStall) && !s.tunnelled {
				s.reset(Cancel)
			}
		}
	}
}
