// Goroutines that are used again: one that has served a request has the stack for the next, which a new one would have to grow.

package h2

// job is what a worker does. It may block.
type job interface{ run() }

// workers are goroutines that wait for jobs, each at a channel that holds one. The zero value is open.
type workers struct{ idle spares[chan job] }

// start lets a goroutine do j.
func (w *workers) start(j job) {
	if jobs, ok := w.idle.take(); ok {
		jobs <- j
		return
	}
	go w.work(j)
}

func (w *workers) work(j job) {
	jobs := make(chan job, 1)
	for {
		j.run()
		if !w.idle.keep(jobs) {
			return
		}
		if j = <-jobs; j == nil {
			return
		}
	}
}

// dismiss sends an idle worker away.
func dismiss(jobs chan job) { jobs <- nil }
