// Counters: what a backend's connections went through, for the metrics endpoint to read.

package backend

import (
	"sync/atomic"

	"github.com/wicketgate/wicketgate/wire/h2"
)

// Stats counts events of one backend since it was acquired. Reading and counting may be concurrent.
type Stats struct {
	Opened    atomic.Uint64 // connections dialled
	Reused    atomic.Uint64 // requests that were answered on a kept connection
	Failed    atomic.Uint64 // dials that failed, TLS handshakes included
	Discarded atomic.Uint64 // kept connections found closed, or with bytes nobody asked for, when they were wanted
	Excess    atomic.Uint64 // connections closed because bytes followed the end of a response
	Retried   atomic.Uint64 // requests sent again because a kept connection turned out to be dead, or the backend had not processed them
	Ejected   atomic.Uint64 // times an endpoint was left out after a failed dial

	HTTP1 atomic.Int64 // connections of HTTP/1 that are open, idle ones included
	HTTP2 h2.BackendStats
}

// Visit calls f for each backend that is in use, in no particular order. f must not call the registry.
func (r *Registry) Visit(f func(key string, s *Stats)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for key, b := range r.backends {
		f(key, &b.stats)
	}
}
