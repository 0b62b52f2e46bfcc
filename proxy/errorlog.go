// Log lines for error answers: each names what to look at in the YAML, and a flood of errors is summarised.
//
// Errors are told apart by series (listener, or rule) and status. Of one kind logBurst lines are written in logWindow; the rest is counted, and the
// window ends with a line that gives the count. More than logKinds kinds at once share the fate of one. So a scanner that asks for
// thousands of paths neither fills a disk nor hides the one line about another route's backend.

package proxy

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/wicketgate/wicketgate/gateway"
	"github.com/wicketgate/wicketgate/router"
	"github.com/wicketgate/wicketgate/wire"
)

const (
	logBurst  = 5
	logWindow = 10 * time.Second
	logKinds  = 256
)

// kind is what counts as the same error.
type kind struct {
	labels labels
	status int
}

// errorLog writes to a logger and bounds how much. It may be used concurrently.
type errorLog struct {
	log *slog.Logger

	mu      sync.Mutex
	windows map[kind]*window
	closed  bool
}

// window is one kind's present logWindow.
type window struct {
	lines      int
	suppressed int
	timer      *time.Timer
}

func newErrorLog(log *slog.Logger) *errorLog { return &errorLog{log: log, windows: map[kind]*window{}} }

// allow reports whether a line of this kind may be written, and counts it.
func (e *errorLog) allow(k kind) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return false
	}
	w := e.windows[k]
	if w == nil && len(e.windows) >= logKinds {
		k = kind{}
		w = e.windows[k]
	}
	if w == nil {
		w = &window{}
		e.windows[k] = w
		w.timer = time.AfterFunc(logWindow, func() { e.end(k, w) })
	}
	if w.lines < logBurst {
		w.lines++
		return true
	}
	w.suppressed++
	return false
}

// end closes a window and says what it held back.
func (e *errorLog) end(k kind, w *window) {
	e.mu.Lock()
	if e.windows[k] != w {
		e.mu.Unlock()
		return
	}
	delete(e.windows, k)
	n := w.suppressed
	e.mu.Unlock()
	if n > 0 {
		e.log.LogAttrs(context.Background(), level(k.status), "more error answers of one kind",
			append(k.labels.attrs(), slog.Int("status", k.status), slog.Int("count", n))...)
	}
}

// close ends all windows; nothing is logged afterwards.
func (e *errorLog) close() {
	e.mu.Lock()
	e.closed = true
	open := make(map[kind]*window, len(e.windows))
	for k, w := range e.windows {
		w.timer.Stop()
		open[k] = w
	}
	e.mu.Unlock()
	for k, w := range open {
		e.end(k, w)
	}
}

// level is that of a line about a status: what clients do wrong is news for nobody else.
func level(status int) slog.Level {
	if status >= 500 || status == 0 {
		return slog.LevelWarn
	}
	return slog.LevelInfo
}

// attrs are the labels that are not empty.
func (l *labels) attrs() (out []slog.Attr) {
	for _, a := range []slog.Attr{
		slog.String("gateway", l.gateway), slog.String("listener", l.listener), slog.String("route", l.route), slog.String("rule", l.rule),
	} {
		if a.Value.String() != "" {
			out = append(out, a)
		}
	}
	return out
}

// refused logs a request that the wire refused.
func (e *errorLog) refused(peer *wire.Peer, status int, why error) {
	if !e.allow(kind{status: status}) {
		return
	}
	e.log.LogAttrs(context.Background(), slog.LevelInfo, "request refused", slog.Int("status", status),
		slog.String("client", peer.Remote.String()), slog.String("socket", peer.Socket.String()), slog.Any("error", why))
}

// reasonUnmatched makes log look for the rules that nearly matched.
const reasonUnmatched = "no rule matches"

// log writes one line about a request that did not get a backend's answer.
func (c *call) log(status int, why string, err error) { c.write(level(status), status, why, err) }

// write writes a line if that is allowed. It allocates, which errors may.
func (c *call) write(level slog.Level, status int, why string, err error) {
	of := c.series().labels()
	e := c.proxy.errors
	if !e.log.Enabled(context.Background(), level) || !e.allow(kind{of, status}) {
		return
	}
	wire.Block(c.x) // who reads the log may be slow
	attrs := append(make([]slog.Attr, 0, 16), slog.Int("status", status), slog.String("reason", why))
	if code, ok := grpcStatus(status); ok && c.grpc {
		attrs = append(attrs, slog.String("grpc_status", code.String()))
	}
	attrs = append(attrs, of.attrs()...)
	attrs = append(attrs, slog.String("at", c.position()), slog.String("method", string(c.req.Method)),
		slog.String("host", string(c.req.Authority)), slog.String("path", string(c.sentPath())),
		slog.String("client", c.peer.Remote.String()))
	if c.listener != nil {
		attrs = append(attrs, infrastructureLabels(c.listener.source.Gateway)...)
	}
	if c.share != nil && c.share.source.Target != nil {
		attrs = append(attrs, slog.String("backend", c.share.source.Target.Key))
		if demand := c.share.source.Target.TLS; demand != nil {
			attrs = append(attrs, slog.String("policy", demand.Policy.Key.String()))
		}
	}
	if c.res.Endpoint.IsValid() {
		attrs = append(attrs, slog.String("endpoint", c.res.Endpoint.String()))
	} else if c.res.Socket != "" {
		attrs = append(attrs, slog.String("endpoint", c.res.Socket))
	}
	if why == reasonUnmatched {
		attrs = append(attrs, slog.String("nearest", c.nearest()))
	}
	if err != nil {
		attrs = append(attrs, slog.Any("error", err))
	}
	e.log.LogAttrs(context.Background(), level, "request failed", attrs...)
}

// infrastructureLabels are the labels that a Gateway's spec.infrastructure puts on whatever is about it, as one group.
func infrastructureLabels(gw *gateway.Gateway) []slog.Attr {
	infrastructure := gw.Spec.Spec.Infrastructure
	if infrastructure == nil || len(infrastructure.Labels) == 0 {
		return nil
	}
	var labels []slog.Attr
	for _, key := range slices.Sorted(maps.Keys(infrastructure.Labels)) {
		labels = append(labels, slog.String(string(key), string(infrastructure.Labels[key])))
	}
	return []slog.Attr{slog.GroupAttrs("labels", labels...)}
}

// sentPath is the path that the client asked for, as far as it was understood.
func (c *call) sentPath() []byte {
	switch {
	case c.sent != nil:
		return c.sent
	case c.req.Path != nil:
		return c.req.Path
	}
	return c.req.Target
}

// position is the place in the files that the answer comes from: the rule's, else the listener's.
func (c *call) position() string {
	switch {
	case c.match != nil:
		r := c.match.rule.source
		return r.Object.At(fmt.Sprintf("spec.rules[%d]", r.Index)).String()
	case c.listener != nil:
		l := c.listener.source
		return l.Object().At(fmt.Sprintf("spec.listeners[%d]", l.Index)).String()
	}
	return c.peer.Socket.String()
}

// nearest says why no rule matched: what the rule that came closest lost by.
func (c *call) nearest() string {
	if c.listener.table.Len() == 0 {
		return "no route is attached to the listener"
	}
	var tr router.Trace
	c.listener.table.Lookup(&c.in, &tr)
	best := -1
	for i := range tr.Steps {
		// Causes are in the order in which a request is compared: the later one fails, the closer it came.
		if best < 0 || tr.Steps[i].Cause > tr.Steps[best].Cause {
			best = i
		}
	}
	if best < 0 {
		return "no rule has this host and path"
	}
	return tr.Steps[best].Detail
}
