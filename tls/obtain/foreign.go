// What certmagic's storage has to say, such as that a lock of a process that was killed is removed, it writes to standard error in a format of its own, by a
// logger that nothing gives it. LogThrough has that logger write lines of ours.

package obtain

import (
	"context"
	"log/slog"

	"github.com/caddyserver/certmagic"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// LogThrough makes certmagic log through a logger. It is for the program's start, before anything else runs: the logger that it changes is the whole
// process's. That logger is not exported, but the default configuration has the same pointer to it.
func LogThrough(log *slog.Logger) {
	*certmagic.Default.Logger = *zap.New(core{log})
}

// core writes zap's entries to slog.
type core struct{ log *slog.Logger }

// Enabled implements zapcore.Core.
func (c core) Enabled(l zapcore.Level) bool { return c.log.Enabled(context.Background(), levelOf(l)) }

// With implements zapcore.Core.
func (c core) With(fields []zapcore.Field) zapcore.Core {
	return core{slog.New(c.log.Handler().WithAttrs(attributes(fields)))}
}

// Check implements zapcore.Core.
func (c core) Check(e zapcore.Entry, checked *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if c.Enabled(e.Level) {
		return checked.AddCore(e, c)
	}
	return checked
}

// Write implements zapcore.Core.
func (c core) Write(e zapcore.Entry, fields []zapcore.Field) error {
	c.log.LogAttrs(context.Background(), levelOf(e.Level), "the storage of certificates reports", append(attributes(fields), slog.String("report", e.Message))...)
	return nil
}

// Sync implements zapcore.Core.
func (core) Sync() error { return nil }

func attributes(fields []zapcore.Field) []slog.Attr {
	m := zapcore.NewMapObjectEncoder()
	var list []slog.Attr
	for _, f := range fields {
		f.AddTo(m)
		list = append(list, slog.Any(f.Key, m.Fields[f.Key]))
	}
	return list
}

func levelOf(l zapcore.Level) slog.Level {
	switch {
	case l >= zapcore.ErrorLevel:
		return slog.LevelError
	case l == zapcore.WarnLevel:
		return slog.LevelWarn
	case l == zapcore.InfoLevel:
		return slog.LevelInfo
	}
	return slog.LevelDebug
}
