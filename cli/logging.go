// Where logs go: text for a person at a terminal, JSON for everything else.

package cli

import (
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/wicketgate/wicketgate/accesslog"
)

// newLogger makes the process's logger. level is debug, info, warn or error; format is auto, text or json.
func newLogger(w io.Writer, level, format string) (*slog.Logger, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return nil, fmt.Errorf("--log-level %q is none of debug, info, warn, error", level)
	}
	opts := &slog.HandlerOptions{Level: l, ReplaceAttr: legible}
	switch {
	case format == "text", format == "auto" && isTerminal(w):
		return slog.New(slog.NewTextHandler(w, opts)), nil
	case format == "json", format == "auto":
		return slog.New(slog.NewJSONHandler(w, opts)), nil
	}
	return nil, fmt.Errorf("--log-format %q is none of auto, text, json", format)
}

// legible writes durations as people do ("1.5s"), which JSON would have as a number of nanoseconds.
func legible(_ []string, a slog.Attr) slog.Attr {
	if a.Value.Kind() == slog.KindDuration {
		a.Value = slog.StringValue(a.Value.Duration().String())
	}
	return a
}

// isTerminal says whether a person is likely to read w.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// openAccessLog opens what --access-log names, and returns nil if there is to be none.
func openAccessLog(o *runOptions, log *slog.Logger) (*accesslog.Log, error) {
	format, err := accesslog.ParseFormat(o.accessLogFormat)
	if err != nil {
		return nil, fmt.Errorf("--access-log-format: %w", err)
	}
	if o.accessLog == "" {
		return nil, nil
	}
	return accesslog.Open(accesslog.Options{Path: o.accessLog, Format: format, Log: log})
}

// countAccessLog shows what became of the lines.
func countAccessLog(r prometheus.Registerer, l *accesslog.Log) {
	r.MustRegister(
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "wicketgate_access_log_lines_total", Help: "Lines written to the access log.",
		}, func() float64 { return float64(l.Written()) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "wicketgate_access_log_dropped_total", Help: "Lines of the access log that were lost because the file could not take them in time.",
		}, func() float64 { return float64(l.Dropped()) }),
	)
}
