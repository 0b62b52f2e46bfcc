// Package reconcile keeps what is served equal to what the files say.
//
// One run goes through the stages in order and ends with one change of everything at once:
//
//	Load -> Build -> Compile -> Open -> Swap -> Accept -> Retire -> Statuses -> View
//
// Sockets are opened before the swap, and accept and are retired after it, so that no request meets a listener without routes or a route
// without its listener. There is one run at a time and at most one pending: whatever asks for a run while one is going on shares the next.
//
// A run that nobody demanded ends after Load if that found what is in force: an edit that POST /reload has served is told by file notifications, too.
package reconcile

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/wicketgate/wicketgate/config"
	"github.com/wicketgate/wicketgate/gateway"
	"github.com/wicketgate/wicketgate/object"
)

// Stages are the parts of the program that a run drives. All are called from one goroutine.
type Stages struct {
	// Load reads the files: what has changed by all that is known, or, whole, also where nothing tells of it. Bad files are problems of the result,
	// not errors.
	Load func(ctx context.Context, whole bool) (*config.Result, error)
	// Beside, if set, identifies what Build takes beside the objects, as of the last Load: it is another value if that is something else.
	Beside func() any
	// Build turns objects into a graph. It may take over parts of the graph that is in force, which is nil at first.
	Build func(inForce *gateway.Graph, set *object.Set) *gateway.Graph
	// Check, if set, adds what depends on the time of day, such as certificates that have expired.
	Check func(g *gateway.Graph, now time.Time) []object.Problem
	// Compile prepares a graph to be served, and returns what puts it into force, and what it found wrong.
	Compile func(g *gateway.Graph) (swap func(), problems []object.Problem)
	// Reports, if set, gives the statuses of objects that other parts of the program work on. Refresh tells the Loop that they have changed.
	Reports func() []gateway.Report
	// Open, Accept and Retire change the listening sockets: see listeners.Set. What Retire returns is to be drained.
	Open   func(ctx context.Context, want []gateway.Binding) map[gateway.Binding]error
	Accept func()
	Retire func(want []gateway.Binding) []netip.AddrPort
	// Interfaces, if set, lists the machine's addresses, for the status of Gateways that listen on all of them.
	Interfaces func() []netip.Addr
	// Own, if set, is told of the addresses that are listened on, before anything is served on them.
	Own func(bound []gateway.Binding)
	// Served, if set, is told of the graph in force: after each run, and when sockets are tried again. It reports whether it has sockets of its
	// own that could not be bound and are to be tried again.
	Served func(ctx context.Context, g *gateway.Graph) (again bool)
	// Drain lets the connections of a socket that was retired finish, until ctx ends. It is called in a goroutine of its own.
	Drain func(ctx context.Context, socket netip.AddrPort)
}

// Options configure a Loop.
type Options struct {
	Stages
	// Strict makes the first run fail if anything that the files ask for is not in force.
	Strict bool
	// DrainTimeout bounds the draining of removed sockets; zero means 30 s.
	DrainTimeout time.Duration
	// RetryBinds is the pause before sockets that could not be bound are tried again. It doubles up to 30 s. Zero means 1 s.
	RetryBinds time.Duration
	Log        *slog.Logger
	// Metrics is where the loop registers its metrics. Nil: none.
	Metrics prometheus.Registerer
}

// View is what one run put into force. It is immutable, and everything in it belongs together.
type View struct {
	// Generation counts views from 1.
	Generation uint64
	// Digest is that of the files that were read: see config.Result.
	Digest   string
	Files    int
	Graph    *gateway.Graph
	Statuses *gateway.StatusSet
	// Problems are those of reading, of meaning and of binding, in this order.
	Problems []object.Problem
	// Failed are the sockets that could not be bound.
	Failed map[gateway.Binding]error
	Served time.Time // when it came into force
	Took   time.Duration

	found         found
	circumstances circumstances
	static        []object.Problem // those that neither sockets nor time change
}

// Objects are the admitted objects.
func (v *View) Objects() *object.Set { return v.Graph.Objects }

// Errors counts the problems that mean that something the files ask for is not in force.
func (v *View) Errors() int { return countErrors(v.Problems) }

func countErrors(list []object.Problem) (n int) {
	for _, p := range list {
		if p.Severity == object.Error {
			n++
		}
	}
	return n
}

// Loop owns the runs. Run is called once; the other methods may be called concurrently with it.
type Loop struct {
	stages  Stages
	strict  bool
	drain   time.Duration
	retry   time.Duration
	log     *slog.Logger
	metrics *metrics
	again   bool // Served has sockets to try again; of the goroutine that runs

	view   atomic.Pointer[View]
	kick   chan struct{} // capacity 1: a run is wanted
	look   chan struct{} // capacity 1: statuses have changed
	drains sync.WaitGroup

	mu       sync.Mutex
	waiting  []chan error  // told the outcome of a run that begins after they were added; capacity 1
	demanded bool          // the next run leaves nothing out
	changed  chan struct{} // closed when a new view is published, and then replaced

	reported map[identity]bool // what was logged and is still so; used by Run alone
}

// New makes a Loop that has not run.
func New(o Options) *Loop {
	l := &Loop{
		stages: o.Stages, strict: o.Strict, drain: o.DrainTimeout, retry: o.RetryBinds, log: o.Log,
		metrics: newMetrics(o.Metrics),
		kick:    make(chan struct{}, 1),
		look:    make(chan struct{}, 1),
		changed: make(chan struct{}),
	}
	if l.log == nil {
		l.log = slog.New(slog.DiscardHandler)
	}
	if l.drain == 0 {
		l.drain = 30 * time.Second
	}
	if l.retry == 0 {
		l.retry = time.Second
	}
	return l
}

// View returns what is in force, or nil before the first run has ended.
func (l *Loop) View() *View { return l.view.Load() }

// Changed returns what is in force, nil before the first run has ended, and a channel that is closed once something else is.
func (l *Loop) Changed() (*View, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.View(), l.changed
}

// Demand asks for a run that leaves nothing out, also if the files are as they were, and returns at once.
func (l *Loop) Demand() { l.demand() }

// demand is Demand, and has the run tell those who wait. It is one step: a run that begins for another reason takes both, or neither.
func (l *Loop) demand(waiting ...chan error) {
	l.mu.Lock()
	l.demanded = true
	l.waiting = append(l.waiting, waiting...)
	l.mu.Unlock()
	l.Trigger()
}

// Trigger asks for a run, since something may have changed, and returns at once.
func (l *Loop) Trigger() {
	select {
	case l.kick <- struct{}{}:
	default: // one is pending
	}
}

// Refresh asks for statuses to be looked at again, without a run, and returns at once.
func (l *Loop) Refresh() {
	select {
	case l.look <- struct{}{}:
	default: // one is pending
	}
}

// Reload demands a run, waits until one that began after the call has ended, and returns what is in force then, beside the error if the run
// failed or ctx ended first.
func (l *Loop) Reload(ctx context.Context) (*View, error) {
	done := make(chan error, 1)
	l.demand(done)
	select {
	case err := <-done:
		return l.View(), err
	case <-ctx.Done():
		return l.View(), fmt.Errorf("waiting for the reload: %w", context.Cause(ctx))
	}
}

// Await triggers nothing and returns once the files with this digest are served. It fails, with what is in force instead, if ctx ends first.
func (l *Loop) Await(ctx context.Context, digest string) (*View, error) {
	for {
		v, changed := l.Changed()
		if v != nil && v.Digest == digest {
			return v, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return v, fmt.Errorf("waiting for digest %s: %w", digest, context.Cause(ctx))
		}
	}
}

// publish makes v what View returns.
func (l *Loop) publish(v *View) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.view.Store(v)
	close(l.changed)
	l.changed = make(chan struct{})
}

// Drained waits until the draining of removed sockets is over.
func (l *Loop) Drained() { l.drains.Wait() }

// StrictError says that nothing is served because the files have errors and Options.Strict is set.
type StrictError struct{ Problems []object.Problem }

func (e *StrictError) Error() string {
	return fmt.Sprintf("%d errors in the configuration, and --strict is set: correct them, or start without --strict to serve the rest",
		countErrors(e.Problems))
}

// Run makes the first run, and then one whenever it is asked to, until ctx ends. It returns an error only if the first run fails: files that
// cannot be read at all, or errors in them with Options.Strict. Later failures leave what is in force as it is.
func (l *Loop) Run(ctx context.Context) error {
	if err := l.run(ctx); err != nil && ctx.Err() == nil {
		return err
	}
	pause := l.retry
	for ctx.Err() == nil {
		timer := time.NewTimer(l.untilRefresh(pause))
		select {
		case <-ctx.Done():
		case <-l.kick:
			pause = l.retry
			if err := l.run(ctx); err != nil && ctx.Err() == nil {
				l.metrics.failed()
				l.log.Error("reload failed; what was served before stays in force", "error", err)
			}
		case <-l.look:
			l.refresh(ctx)
		case <-timer.C:
			pause = min(2*pause, longestRetry)
			l.refresh(ctx)
		}
		timer.Stop()
	}
	return nil
}

// Pauses between looks at what changes by itself.
const (
	longestRetry = 30 * time.Second // while sockets could not be bound
	timeCheck    = 10 * time.Minute // for certificates that expire
)

// untilRefresh is short only while there is something to bind.
func (l *Loop) untilRefresh(pause time.Duration) time.Duration {
	if len(l.View().Failed) > 0 || l.again {
		return pause
	}
	return timeCheck
}

// run makes one run and tells its outcome to those who wait for it.
func (l *Loop) run(ctx context.Context) (err error) {
	l.mu.Lock()
	waiting, demanded := l.waiting, l.demanded
	l.waiting, l.demanded = nil, false
	l.mu.Unlock()
	defer func() {
		for _, done := range waiting {
			done <- err
		}
	}()
	begun := time.Now()
	result, err := l.stages.Load(ctx, demanded)
	if err != nil {
		return fmt.Errorf("reading the configuration: %w", err)
	}
	f := l.find(result)
	if v := l.View(); v != nil && !demanded && v.found.same(f) {
		l.unchanged(ctx, begun)
		return nil
	}
	p, err := l.prepare(f)
	if err != nil {
		return err
	}
	l.serve(ctx, p, begun)
	return nil
}
