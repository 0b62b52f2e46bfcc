// What one run does once the files are read.

package reconcile

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"runtime/debug"
	"slices"
	"time"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/wicketgate/wicketgate/gateway"
	"github.com/wicketgate/wicketgate/object"
)

// prepared is a configuration that could be served: nothing of it is in force yet.
type prepared struct {
	found    found
	graph    *gateway.Graph
	swap     func()
	problems []object.Problem // without those of binding
}

// prepare builds and compiles. A panic in there leaves what is served untouched: it becomes an error.
func (l *Loop) prepare(f found) (p *prepared, err error) {
	defer func() {
		if r := recover(); r != nil {
			l.log.Error("panic while translating the configuration", "panic", r, "stack", string(debug.Stack()))
			err = fmt.Errorf("panic while translating the configuration, a fault of Wicketgate and not of the files: %v", r)
		}
	}()
	var inForce *gateway.Graph
	if v := l.View(); v != nil {
		inForce = v.Graph
	}
	g := l.stages.Build(inForce, f.result.Objects)
	p = &prepared{found: f, graph: g, problems: slices.Concat(f.result.Problems, g.Problems)}
	if l.strict && l.View() == nil && countErrors(p.problems) > 0 {
		l.report(p.problems)
		return nil, &StrictError{Problems: p.problems}
	}
	var more []object.Problem
	p.swap, more = l.stages.Compile(g)
	p.problems = append(p.problems, more...)
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
	l.stages.Accept()
	ended := l.stages.Retire(want)
	if l.stages.Served != nil {
		l.again = l.stages.Served(ctx, p.graph)
	}
	if old := l.View(); old != nil {
		ended = append(ended, changedKind(old.Graph, p.graph)...)
	}
	for _, socket := range ended {
		// A removed listener has the full timeout, also when the process is told to end meanwhile.
		until, cancel := context.WithTimeout(context.WithoutCancel(ctx), l.drain)
		l.drains.Go(func() {
			defer cancel()
			l.stages.Drain(until, socket)
		})
	}
	v := &View{Digest: p.found.result.Digest, Files: p.found.result.Files, Graph: p.graph, found: p.found, static: p.problems}
	l.conclude(v, l.circumstancesOf(p.graph, failed, time.Now()))
	v.Took = v.Served.Sub(begun)
	l.publish(v)
	l.metrics.served(v)
	l.report(v.Problems)
	l.log.Info("configuration served", "generation", v.Generation, "files", v.Files, "objects", v.Objects().Len(),
		"problems", v.Errors(), "took", v.Took.Round(10*time.Microsecond))
}

// conclude fills in what depends on the circumstances, and on what was in force before.
func (l *Loop) conclude(v *View, c circumstances) {
	v.Generation, v.Served, v.Failed, v.circumstances = 1, c.now, c.failed, c
	v.Problems = slices.Concat(v.static, c.timed, bindProblems(v.Graph, c.failed))
	var previous *gateway.StatusSet
	if old := l.View(); old != nil {
		v.Generation = old.Generation + 1
		previous = old.Statuses
	}
	v.Statuses = l.statuses(v.Graph, gateway.Bound{Failed: c.failed, Reports: c.reports, Interfaces: c.interfaces}, previous, c.now)
}

// statuses projects the graph that is served. A panic in there leaves the statuses as they were: what is served does not depend on them.
func (l *Loop) statuses(g *gateway.Graph, bound gateway.Bound, previous *gateway.StatusSet, now time.Time) (s *gateway.StatusSet) {
	defer func() {
		if r := recover(); r != nil {
			l.log.Error("panic while writing statuses; those of the configuration before stay", "panic", r, "stack", string(debug.Stack()))
			s = previous
		}
	}()
	return gateway.Statuses(g, bound, previous, now)
}

// changedKind lists the TCP sockets that stay bound but have another protocol in two graphs (HTTP, TLS or TCP, with the PROXY protocol or without),
// be it only at one of the addresses that they stand for: connections made under the old rules must not go on under the new ones.
func changedKind(before, after *gateway.Graph) (changed []netip.AddrPort) {
	was, is := kindsOf(before), kindsOf(after)
	differ := func(at place) {
		old, known := was.at(at)
		now, stays := is.at(at)
		if known && stays && old != now {
			changed = append(changed, at.bind)
		}
	}
	for at := range was {
		differ(at)
	}
	for at := range is {
		differ(at)
	}
	slices.SortFunc(changed, netip.AddrPort.Compare)
	return slices.Compact(changed)
}

// place is where connections arrive: at a socket of the system, and at which of the addresses that it stands for, if that matters.
type place struct {
	bind  netip.AddrPort
	local netip.Addr
}

// kind is how connections begin.
type kind struct {
	protocol gatewayv1.ProtocolType
	proxied  bool
}

// kinds are those of a graph's TCP sockets.
type kinds map[place]kind

func kindsOf(g *gateway.Graph) kinds {
	all := kinds{}
	for _, s := range g.Sockets {
		if !s.Binding().UDP {
			all[place{s.Bind, s.Local}] = kind{s.Protocol, s.ProxyProtocol}
		}
	}
	return all
}

// at is how connections begin at a place, which may belong to the socket for all addresses.
func (k kinds) at(p place) (found kind, ok bool) {
	if found, ok = k[p]; !ok {
		found, ok = k[place{bind: p.bind}]
	}
	return found, ok
}

// binds lists the addresses that a graph needs, once each and in order.
func binds(g *gateway.Graph) []gateway.Binding {
	want := make([]gateway.Binding, 0, len(g.Sockets))
	for _, s := range g.Sockets {
		want = append(want, s.Binding())
	}
	slices.SortFunc(want, gateway.Binding.Compare)
	return slices.Compact(want)
}

// bindProblems says for each listener on a socket that could not be bound what is wrong, at its port in the file.
func bindProblems(g *gateway.Graph, failed map[gateway.Binding]error) []object.Problem {
	var list []object.Problem
	for _, s := range g.Sockets {
		err := failed[s.Binding()]
		if err == nil {
			continue
		}
		for _, ln := range s.Listeners {
			o := ln.Object()
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
