// Package accesslog writes one line a request or connection, without ever holding one up.
//
// A line is made by the goroutine that served the request and put into a buffer in memory; one goroutine writes buffers to the file. Where
// the file is slower than the traffic, or the disk is full, lines are dropped and counted: the log may lose lines, the gateway loses no
// time.
//
// The package is a leaf: it knows lines and files, and nothing of gateways.
package accesslog

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// Bounds of what waits in memory.
const (
	// pendingBytes may wait to be written; what comes on top is dropped.
	pendingBytes = 1 << 20
	// flushBytes wake the writer; less than that waits for flushEvery.
	flushBytes = 32 << 10
	flushEvery = 200 * time.Millisecond
	// retryEvery is the least time between attempts to open a file that could not be written.
	retryEvery = time.Second
)

// Options configure a Log.
type Options struct {
	// Path is the file to append to, made with mode 0640 if it is not there, or "-" for standard output.
	Path string
	// Format is how lines look: see ParseFormat.
	Format *Format
	// Log is told when lines begin to be lost, and when that is over.
	Log *slog.Logger
}

// Log is an open access log. Its methods may be called concurrently.
type Log struct {
	path   string
	format *Format
	log    *slog.Logger

	written, dropped atomic.Uint64
	lines            sync.Pool // *[]byte

	mu      sync.Mutex
	pending []byte
	count   uint64 // lines in pending
	closed  bool

	wake   chan struct{} // capacity 1: enough is pending
	reopen chan struct{} // capacity 1
	stop   chan struct{}
	done   chan struct{}
}

// Open opens the file and begins to write. An error says what is wrong with the path.
func Open(o Options) (*Log, error) {
	file, err := open(o.Path)
	if err != nil {
		return nil, err
	}
	l := &Log{
		path: o.Path, format: o.Format, log: o.Log,
		wake: make(chan struct{}, 1), reopen: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{}),
	}
	l.lines.New = func() any { return new([]byte) }
	if l.log == nil {
		l.log = slog.New(slog.DiscardHandler)
	}
	w := &writer{log: l, file: file}
	go w.run()
	return l, nil
}

// open opens what a path names.
func open(path string) (io.WriteCloser, error) {
	if path == "-" {
		return stdout{}, nil
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o640)
	if err != nil {
		return nil, fmt.Errorf("cannot open the access log: %w", err)
	}
	return f, nil
}

// stdout is standard output, which is not ours to close.
type stdout struct{}

func (stdout) Write(p []byte) (int, error) { return os.Stdout.Write(p) }
func (stdout) Close() error                { return nil }

// Write adds a line about e, which is not kept. It never blocks on the file.
func (l *Log) Write(e *Entry) {
	line, _ := l.lines.Get().(*[]byte)
	*line = append(l.format.append((*line)[:0], e), '\n')
	l.mu.Lock()
	lost := l.closed || len(l.pending)+len(*line) > pendingBytes
	if !lost {
		l.pending = append(l.pending, *line...)
		l.count++
	}
	full := len(l.pending) >= flushBytes
	l.mu.Unlock()
	l.lines.Put(line)
	if lost {
		l.dropped.Add(1)
	}
	if full {
		signal(l.wake)
	}
}

// Reopen closes the file and opens what its path names now, for programs that rotate logs: it has been renamed, and a new one begins.
func (l *Log) Reopen() { signal(l.reopen) }

// Written and Dropped count lines.
func (l *Log) Written() uint64 { return l.written.Load() }

// Dropped counts the lines that were lost because the file could not take them in time.
func (l *Log) Dropped() uint64 { return l.dropped.Load() }

// Close writes what is pending and closes the file. Lines that come later are dropped.
func (l *Log) Close() {
	l.mu.Lock()
	was := l.closed
	l.closed = true
	l.mu.Unlock()
	if !was {
		close(l.stop)
	}
	<-l.done
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default: // one is pending
	}
}

// take exchanges what is pending for an empty buffer.
func (l *Log) take(empty []byte) (lines []byte, count uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	lines, count = l.pending, l.count
	l.pending, l.count = empty[:0], 0
	return lines, count
}

// writer is the goroutine that writes.
type writer struct {
	log   *Log
	file  io.WriteCloser // nil after it could not be reopened
	spare []byte

	failing bool // lines are being lost, and that has been said
	tried   time.Time
}

func (w *writer) run() {
	l := w.log
	defer close(l.done)
	tick := time.NewTicker(flushEvery)
	defer tick.Stop()
	for {
		select {
		case <-l.wake:
			w.flush()
		case <-tick.C:
			w.flush()
		case <-l.reopen:
			w.flush()
			w.renew()
		case <-l.stop:
			w.flush()
			if w.file != nil {
				_ = w.file.Close() // each write has said whether it failed
			}
			return
		}
	}
}

// flush writes what is pending. What a full disk has no room for is lost.
func (w *writer) flush() {
	lines, count := w.log.take(w.spare)
	w.spare = lines
	if count == 0 {
		return
	}
	if w.file == nil && time.Since(w.tried) > retryEvery {
		w.renew()
	}
	err := os.ErrClosed
	if w.file != nil {
		_, err = w.file.Write(lines)
	}
	if err == nil {
		w.log.written.Add(count)
		if w.failing {
			w.failing = false
			w.log.log.Info("the access log is written again", "path", w.log.path)
		}
		return
	}
	w.log.dropped.Add(count)
	w.failed(err)
}

// renew opens the path again.
func (w *writer) renew() {
	w.tried = time.Now()
	file, err := open(w.log.path)
	if err != nil {
		w.failed(err)
		if w.file != nil {
			return // better the old file than none
		}
	}
	if w.file != nil {
		_ = w.file.Close() // each write has said whether it failed
	}
	w.file = file
}

// failed says once that lines are lost.
func (w *writer) failed(err error) {
	if w.failing || errors.Is(err, os.ErrClosed) {
		return
	}
	w.failing = true
	w.log.log.Error("lines of the access log are lost", "path", w.log.path, "error", err)
}
