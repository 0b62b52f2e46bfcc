// Runs in which nothing is new, and what may change without any run: sockets that can be bound after all, certificates that expire.

package reconcile

import (
	"context"
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"time"

	"github.com/wicketgate/wicketgate/config"
	"github.com/wicketgate/wicketgate/gateway"
	"github.com/wicketgate/wicketgate/object"
)

// found is all that Build and Compile depend on: what Load found, and what is taken beside it.
type found struct {
	result *config.Result
	beside any
}

func (l *Loop) find(result *config.Result) found {
	f := found{result: result}
	if l.stages.Beside != nil {
		f.beside = l.stages.Beside()
	}
	return f
}

// same reports whether both lead to the same: the objects are told by their pointers, which say where in which text they stand.
func (f found) same(g found) bool {
	a, b := f.result, g.result
	return f.beside == g.beside && a.Digest == b.Digest && a.Files == b.Files && slices.Equal(a.Problems, b.Problems) &&
		a.Objects.SameWithout(b.Objects, func(object.GroupKind) bool { return false })
}

// circumstances are what a view depends on beside what was found.
type circumstances struct {
	now        time.Time
	failed     map[gateway.Binding]error
	timed      []object.Problem
	reports    []gateway.Report
	interfaces []netip.Addr
}

// circumstancesOf asks for them.
func (l *Loop) circumstancesOf(g *gateway.Graph, failed map[gateway.Binding]error, now time.Time) circumstances {
	c := circumstances{now: now, failed: failed}
	if l.stages.Check != nil {
		c.timed = l.stages.Check(g, now)
	}
	if l.stages.Reports != nil {
		c.reports = l.stages.Reports()
	}
	if l.stages.Interfaces != nil {
		c.interfaces = l.stages.Interfaces()
	}
	return c
}

// same reports whether both lead to the same view, at whatever time.
func (c *circumstances) same(d *circumstances) bool {
	message := func(a, b error) bool { return a.Error() == b.Error() }
	return maps.EqualFunc(c.failed, d.failed, message) && slices.Equal(c.timed, d.timed) &&
		reflect.DeepEqual(c.reports, d.reports) && slices.Equal(c.interfaces, d.interfaces)
}

// unchanged ends a run whose Load found what is in force.
func (l *Loop) unchanged(ctx context.Context, begun time.Time) {
	l.refresh(ctx)
	v := l.View()
	l.metrics.ran(v)
	l.log.Debug("nothing is new in the files", "generation", v.Generation, "files", v.Files, "took", time.Since(begun).Round(10*time.Microsecond))
}

// refresh tries the sockets again that could not be bound, and looks again at what changes with time. What is served stays; if the
// outcome is another one there is a new view.
func (l *Loop) refresh(ctx context.Context) {
	old := l.View()
	failed := l.stages.Open(ctx, binds(old.Graph))
	l.stages.Accept()
	if l.stages.Served != nil {
		l.again = l.stages.Served(ctx, old.Graph)
	}
	c := l.circumstancesOf(old.Graph, failed, time.Now())
	if c.same(&old.circumstances) {
		return
	}
	v := *old
	l.conclude(&v, c)
	l.publish(&v)
	l.metrics.inForce(&v)
	if slices.Equal(v.Problems, old.Problems) {
		return
	}
	l.report(v.Problems)
	l.log.Info("same configuration, other circumstances", "generation", v.Generation, "problems", v.Errors(),
		"sockets_failed", len(v.Failed), "sockets_failed_before", len(old.Failed))
}
