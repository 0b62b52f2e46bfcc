// What one run does once the files are read.

package reconcile

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"runtime/debug"
	"slices"
	"time"

	"github.com/wicketgate/wicketgate/config"
	"github.com/wicketgate/wicketgate/gateway"
	"github.com/wicketgate/wicketgate/object"
)

// prepared is a configuration that could be served: nothing of it is in force yet.
type prepared struct {
	result   *config.Result
	graph    *gateway.Graph
	swap     func()
	problems []object.Problem // without those of binding
}

// prepare builds and compiles. A panic in there leaves what is served untouched: it becomes an error.
func (l *Loop) prepare(result *config.Result) (p *prepared, err error) {
	defer func() {
		if r := recover(); r != nil {
			l.log.Error("panic while translating the configuration", "panic", r, "stack", string(debug.Stack()))
			err = fmt.Errorf("panic while translating the configuration, a fault of Wicketgate and not of the files: %v", r)
		}
	}()
	g := l.stages.Build(result.Objects)
	p = &prepared{result: result, graph: g, problems: slices.Concat(result.Problems, g.Problems)}
	if l.strict && l.View() == nil && countErrors(p.problems) > 0 {
		l.report(p.problems)
		return nil, &StrictError{Problems: p.problems}
	}
	p.swap = l.stages.Compile(g)
	return p, nil
}

// serve puts a prepared configuration into force.
func (l *Loop) serve(ctx context.Context, p *prepared, begun time.Time) {
	want := binds(p.graph)
	if l.stages.Own != nil {
		l.stages.Own(want)
	}
	failed := l.stages.Open(ctx, want)
	p.swap()
	for _, gone := range l.stages.Retire(want) {
		// A removed listener has the full timeout, also when the process is told to end meanwhile.
		until, cancel := context.WithTimeout(context.WithoutCancel(ctx), l.drain)
		l.drains.Go(func() {
			defer cancel()
			l.stages.Drain(until, gone)
		})
	}
	now := time.Now()
	v := l.project(p.result, p.graph, p.problems, failed, now)
	v.Took = now.Sub(begun)
	l.publish(v)
	l.metrics.served(v)
	l.report(v.Problems)
	l.log.Info("configuration served", "generation", v.Generation, "files", v.Files, "objects", v.Objects().Len(),
		"problems", v.Errors(), "took", v.Took.Round(10*time.Microsecond))
}

// project makes the view of what is in force.
func (l *Loop) project(r *config.Result, g *gateway.Graph, problems []object.Problem, failed map[netip.AddrPort]error, now time.Time) *View {
	v := &View{
		Generation: 1, Digest: r.Digest, Files: r.Files, Graph: g, Failed: failed, Served: now,
		Problems: slices.Concat(problems, l.timed(g, now), bindProblems(g, failed)),
	}
	var previous *gateway.StatusSet
	if old := l.View(); old != nil {
		v.Generation = old.Generation + 1
		previous = old.Statuses
	}
	v.Statuses = gateway.Statuses(g, gateway.Bound{Failed: failed}, previous, now)
	return v
}

func (l *Loop) timed(g *gateway.Graph, now time.Time) []object.Problem {
	if l.stages.Check == nil {
		return nil
	}
	return l.stages.Check(g, now)
}

// rebind tries the sockets again that could not be bound. What is served stays; statuses follow if the outcome is another one.
func (l *Loop) rebind(ctx context.Context) {
	old := l.View()
	failed := l.stages.Open(ctx, binds(old.Graph))
	if maps.EqualFunc(failed, old.Failed, func(a, b error) bool { return a.Error() == b.Error() }) {
		return
	}
	now := time.Now()
	v := *old
	v.Generation++
	v.Served, v.Failed = now, failed
	v.Problems = slices.Concat(slices.DeleteFunc(slices.Clone(old.Problems), isBindProblem(old)), bindProblems(old.Graph, failed))
	v.Statuses = gateway.Statuses(old.Graph, gateway.Bound{Failed: failed}, old.Statuses, now)
	l.publish(&v)
	l.metrics.problems(&v)
	l.report(v.Problems)
	l.log.Info("sockets bound again", "generation", v.Generation, "bound", len(old.Failed)-len(failed), "failed", len(failed))
}

// isBindProblem recognises the problems that a view has because of its failed sockets.
func isBindProblem(v *View) func(object.Problem) bool {
	mine := map[object.Problem]bool{}
	for _, p := range bindProblems(v.Graph, v.Failed) {
		mine[p] = true
	}
	return func(p object.Problem) bool { return mine[p] }
}

// binds lists the addresses that a graph needs, once each and in order.
func binds(g *gateway.Graph) []netip.AddrPort {
	want := make([]netip.AddrPort, 0, len(g.Sockets))
	for _, s := range g.Sockets {
		want = append(want, s.Bind)
	}
	slices.SortFunc(want, netip.AddrPort.Compare)
	return slices.Compact(want)
}

// bindProblems says for each listener on a socket that could not be bound what is wrong, at its port in the file.
func bindProblems(g *gateway.Graph, failed map[netip.AddrPort]error) []object.Problem {
	var list []object.Problem
	for _, s := range g.Sockets {
		err := failed[s.Bind]
		if err == nil {
			continue
		}
		for _, ln := range s.Listeners {
			o := ln.Gateway.Object
			field := fmt.Sprintf("spec.listeners[%d].port", ln.Index)
			list = append(list, object.Problem{Position: o.At(field), Object: o.Key, Field: field, Message: err.Error()})
		}
	}
	slices.SortStableFunc(list, func(a, b object.Problem) int {
		return cmp.Or(cmp.Compare(a.Position.File, b.Position.File), cmp.Compare(a.Position.Line, b.Position.Line))
	})
	return slices.Compact(list)
}

// identity is what makes two problems the same one. Where an object is known its line is left out: an edit elsewhere in the file
// moves it.
type identity object.Problem

func identify(p object.Problem) identity {
	if p.Object.Kind != "" {
		p.Position.Line, p.Position.Column = 0, 0
	}
	return identity(p)
}

// report logs the problems that are new since the last report, each once. One that goes away and comes back is new again.
func (l *Loop) report(list []object.Problem) {
	now := make(map[identity]bool, len(list))
	for _, p := range list {
		id := identify(p)
		if now[id] {
			continue
		}
		now[id] = true
		if l.reported[id] {
			continue
		}
		attrs := []slog.Attr{slog.String("at", p.Position.String())}
		if p.Object.Kind != "" {
			attrs = append(attrs, slog.String("object", p.Object.String()))
		}
		if p.Field != "" {
			attrs = append(attrs, slog.String("field", p.Field))
		}
		attrs = append(attrs, slog.String("problem", p.Message))
		l.log.LogAttrs(context.Background(), level(p.Severity), "problem in the configuration", attrs...)
	}
	l.reported = now
}

func level(s object.Severity) slog.Level {
	switch s {
	case object.Error:
		return slog.LevelError
	case object.Warning:
		return slog.LevelWarn
	}
	return slog.LevelInfo
}
