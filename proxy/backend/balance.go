// Balancing: round robin over the endpoints that are healthy.
//
// What there is to choose from is a view: an immutable value behind an atomic pointer, made anew when an endpoint comes, goes, is
// ejected or restored. A choice is then one load and one atomic addition; the turn goes over the healthy endpoints alone, so that
// an ejected one's share is spread evenly and not given to its neighbour.

package backend

import "slices"

// view is what a Backend's requests choose from.
type view struct {
	all     []*endpoint
	healthy []*endpoint // of all, those not ejected
	ejected []*endpoint // the others
}

// rebuild makes the view of the present endpoints. b.mu is held.
func (b *Backend) rebuild() {
	v := &view{all: b.order}
	for _, e := range b.order {
		if e.ejected.Load() {
			v.ejected = append(v.ejected, e)
		} else {
			v.healthy = append(v.healthy, e)
		}
	}
	b.view.Store(v)
}

// pick chooses the endpoint to try next, or nil if all were tried. An ejected endpoint whose time is over gets one request to prove itself
// with. When no healthy one is left the ejected ones are tried as they are: better a slow answer than none.
func (b *Backend) pick(tried []*endpoint) *endpoint {
	v := b.view.Load()
	if len(v.ejected) > 0 {
		now := b.registry.now()
		for _, e := range v.ejected {
			if !slices.Contains(tried, e) && e.claim(now) {
				return e
			}
		}
	}
	turn := b.turn.Add(1) - 1
	if e := next(v.healthy, turn, tried); e != nil {
		return e
	}
	return next(v.all, turn, tried)
}

// choose gives the endpoint that is preferred, by its ID, or else, also where that was tried or is ejected, the one that pick does.
func (b *Backend) choose(prefer uint64, tried []*endpoint) *endpoint {
	if prefer != 0 {
		for _, e := range b.view.Load().healthy {
			if e.id == prefer && !slices.Contains(tried, e) {
				return e
			}
		}
	}
	return b.pick(tried)
}

// next returns the first endpoint from turn on that is not among tried.
func next(list []*endpoint, turn uint32, tried []*endpoint) *endpoint {
	n := uint32(len(list))
	for i := range n {
		if e := list[(turn%n+i)%n]; len(tried) == 0 || !slices.Contains(tried, e) {
			return e
		}
	}
	return nil
}
