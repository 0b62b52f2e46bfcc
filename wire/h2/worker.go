// Goroutines that are used again: one that has served a request has the stack for the next, which a new one would have to grow.

package h2

import "sync"

// job is what a worker does. It may block.
type job interface{ run() }

// workers is a stack of goroutines that wait for jobs: the one that waited least gets the next, and those at the bottom are sent away when they
// were not needed for a while. The zero value is open.
type workers struct {
	mu   sync.Mutex
	idle []chan job
	// spare is how many were idle throughout the time since dismissIdle.
	spare int
	// closed: nobody waits any more.
	closed bool
}

// maxIdle is how many goroutines wait at most.
const maxIdle = 4096

// start lets a goroutine do j.
func (w *workers) start(j job) {
	w.mu.Lock()
	n := len(w.idle)
	if n == 0 {
		w.mu.Unlock()
		go w.work(j)
		return
	}
	jobs := w.idle[n-1]
	w.idle = w.idle[:n-1]
	w.spare = min(w.spare, n-1)
	w.mu.Unlock()
	jobs <- j
}

func (w *workers) work(j job) {
	jobs := make(chan job, 1)
	for {
		j.run()
		w.mu.Lock()
		if w.closed || len(w.idle) >= maxIdle {
			w.mu.Unlock()
			return
		}
		w.idle = append(w.idle, jobs)
		w.mu.Unlock()
		if j = <-jobs; j == nil {
			return
		}
	}
}

// open lets workers wait for jobs.
func (w *workers) open() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = false
}

// close sends all away, those that are at work once they are done.
func (w *workers) close() {
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	w.dismiss(0)
}

// dismissIdle sends away those that were not needed since the last call.
func (w *workers) dismissIdle() {
	w.mu.Lock()
	keep := len(w.idle) - w.spare
	w.mu.Unlock()
	w.dismiss(keep)
	w.mu.Lock()
	w.spare = len(w.idle)
	w.mu.Unlock()
}

// dismiss sends idle workers away until keep are left.
func (w *workers) dismiss(keep int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := len(w.idle) - keep
	if n <= 0 {
		return
	}
	for _, jobs := range w.idle[:n] {
		jobs <- nil
	}
	w.idle = append(w.idle[:0], w.idle[n:]...)
	w.spare = min(w.spare, len(w.idle))
}
