// Watching the roots for changes by file system notifications.

package config

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync/atomic"

	"github.com/fsnotify/fsnotify"
)

// Watch signals, on the channel it returns, that a load may find something new: within 150 ms of a change, once for a burst of changes. A
// signal that nobody has taken yet stands for later ones, too. Watching ends with ctx; the channel is never closed. Begin to watch before the first
// load, so that no change falls between the two.
//
// Directories are watched, never files, because a file that an editor replaces by a rename is another file then. The watched ones are
// all directories of the roots, and every directory that holds a link of the way to a file or a root, or the root itself: so new and moved
// directories, roots that come and go, and links that are turned elsewhere (Kubernetes' ..data) are noticed.
//
// An error means that the operating system gives no notifications at all. What cannot be watched later is logged.
func Watch(ctx context.Context, roots []Root, log *slog.Logger) (<-chan struct{}, error) {
	fs, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, fmt.Errorf("watch the configuration: %w", err)
	}
	w := &watcher{fs: fs, roots: roots, log: log, watched: map[string]os.FileInfo{}, failed: map[string]bool{}}
	w.rescan()
	events, signals := make(chan struct{}, 1), make(chan struct{}, 1)
	go w.receive(events)
	go func() {
		defer fs.Close() // ends receive
		defaultDebouncing.run(ctx, events, func() {
			// New directories are watched before the signal: what happens in them later is an event, and what happened before
			// is seen by the load.
			w.rescan()
			notify(signals)
		})
	}()
	return signals, nil
}

// notify leaves a signal, unless one is waiting.
func notify(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// watcher keeps the right directories watched.
type watcher struct {
	fs    *fsnotify.Watcher
	roots []Root
	log   *slog.Logger
	// wanted is replaced by rescan and read by receive.
	wanted atomic.Pointer[wishes]

	// The rest belongs to rescan.
	watched map[string]os.FileInfo // the directory that is watched under each name
	failed  map[string]bool        // could not be watched, and said so
}

// receive passes on the events that matter, until the watcher is closed.
func (w *watcher) receive(events chan<- struct{}) {
	for {
		select {
		case e, ok := <-w.fs.Events:
			if !ok {
				return
			}
			if w.wanted.Load().isRelevant(e.Name) {
				notify(events)
			}
		case err, ok := <-w.fs.Errors:
			if !ok {
				return
			}
			if !errors.Is(err, fsnotify.ErrEventOverflow) { // an overflow only means that everything may have changed
				w.log.Warn("watching the configuration", "error", err)
			}
			notify(events)
		}
	}
}

// rescan makes the watched directories those that should be.
func (w *watcher) rescan() {
	wanted := wishes{}
	for _, r := range w.roots {
		wanted.root(r.Path)
	}
	w.wanted.Store(&wanted)
	for dir := range w.watched {
		if _, ok := wanted[dir]; !ok {
			w.fs.Remove(dir) //nolint:errcheck // it may be gone
			delete(w.watched, dir)
		}
	}
	for dir := range wanted {
		w.watch(dir)
	}
}

// watch makes sure that a directory is watched, and that it is the one that has this name now.
func (w *watcher) watch(dir string) {
	info, err := os.Stat(dir)
	if err != nil {
		delete(w.watched, dir)
		return
	}
	if before := w.watched[dir]; before != nil && !os.SameFile(before, info) {
		w.fs.Remove(dir) //nolint:errcheck // the watch may have gone with the directory
		delete(w.watched, dir)
	}
	// Also one that seems to be watched: a directory made anew often gets the file number of the one removed before, whose watch is gone.
	// To add a watch that is there changes nothing.
	if err := w.fs.Add(dir); err != nil {
		if !w.failed[dir] {
			w.log.Warn("a directory cannot be watched: changes in it are noticed at the next reload only (on Linux, raise fs.inotify.max_user_watches)",
				"directory", dir, "error", err)
		}
		w.failed[dir] = true
		return
	}
	w.watched[dir] = info
	delete(w.failed, dir)
}
