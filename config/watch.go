// Watching the roots for changes by file system notifications.

package config

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"sync/atomic"

	"github.com/fsnotify/fsnotify"
)

// Watch signals, on the channel it returns, that a load may find something new: within 150 ms of a change, once for a burst of changes. A
// signal that nobody has taken yet stands for later ones, too. Watching ends with ctx; the channel is never closed. Begin to watch before the first
// load, so that no change falls between the two. What is noticed is also what Update looks at.
//
// Directories are watched, never files, because a file that an editor replaces by a rename is another file then. The watched ones are
// all directories of the roots, and every directory that holds a link of the way to a file or a root, or the root itself: so new and moved
// directories, roots that come and go, and links that are turned elsewhere (Kubernetes' ..data) are noticed.
//
// An error means that the operating system gives no notifications at all. What cannot be watched later is logged.
func (l *Loader) Watch(ctx context.Context, log *slog.Logger) (<-chan struct{}, error) {
	w := newWatcher(l.roots, &l.hints, log)
	if err := w.rescan(); err != nil {
		return nil, err
	}
	signals := make(chan struct{}, 1)
	go func() {
		defer func() { w.fs.Close() }() // ends receive
		defer l.hints.trust(false)
		defaultDebouncing.run(ctx, w.events, func() {
			// New directories are watched before the signal: what happens in them later is an event, and what happened before
			// is seen by the load.
			w.follow()
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
	roots  []Root
	hints  *hints
	log    *slog.Logger
	events chan struct{} // of capacity 1: something that matters has happened
	// moved: something else than a file has changed, or may have.
	moved atomic.Bool

	// The rest belongs to rescan.
	fs      *fsnotify.Watcher
	wanted  *atomic.Pointer[wishes] // of fs
	watched map[string]os.FileInfo  // the directory that is watched under each name
	failed  map[string]bool         // could not be watched, and said so
}

// newWatcher watches nothing yet.
func newWatcher(roots []Root, h *hints, log *slog.Logger) *watcher {
	return &watcher{roots: roots, hints: h, log: log, events: make(chan struct{}, 1), failed: map[string]bool{}}
}

// receive passes on the events that matter, until fs is closed. What matters is in wanted, which rescan replaces.
func (w *watcher) receive(fs *fsnotify.Watcher, wanted *atomic.Pointer[wishes]) {
	for {
		select {
		case e, ok := <-fs.Events:
			if !ok {
				return
			}
			w.event(e.Name, wanted.Load())
		case err, ok := <-fs.Errors:
			if !ok {
				return
			}
			if !errors.Is(err, fsnotify.ErrEventOverflow) { // an overflow only means that everything may have changed
				w.log.Warn("watching the configuration", "error", err)
			}
			w.more()
		case <-w.hints.doubts:
			w.more()
		}
	}
}

// event is about this name.
func (w *watcher) event(name string, wanted *wishes) {
	if !wanted.isRelevant(name) {
		return
	}
	places, ok := wanted.file(name)
	if !ok {
		w.more()
		return
	}
	w.hints.file(name, places)
	notify(w.events)
}

// more: others than files have changed, or anything may have.
func (w *watcher) more() {
	w.hints.all()
	w.moved.Store(true)
	notify(w.events)
}

// follow makes the watched directories those that should be, if others than files have changed or some cannot be watched.
func (w *watcher) follow() {
	if !w.moved.Swap(false) && len(w.failed) == 0 {
		return
	}
	if err := w.rescan(); err != nil {
		w.log.Warn("new directories are not watched", "error", err)
		w.doubt()
	}
	w.hints.all()
}

// maxScans is how often a rescan looks again.
const maxScans = 10

// rescan makes the watched directories those that should be. It begins with none: what fsnotify knows of directories that took each other's names may be
// wrong, and its Remove then panics.
func (w *watcher) rescan() error {
	fs, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("watch the configuration: %w", err)
	}
	if w.fs != nil {
		w.wanted.Store(newWishes())
		go w.fs.Close() // which takes a while on Linux; a load of everything follows, so that nothing is lost
	}
	w.fs, w.wanted, w.watched = fs, &atomic.Pointer[wishes]{}, map[string]os.FileInfo{}
	w.wanted.Store(newWishes())
	go w.receive(fs, w.wanted)
	// Of what is made in a directory after it was listed and before it is watched nobody tells. Where a scan adds no watch there was no such time.
	for range maxScans {
		found := newWishes()
		for i, r := range w.roots {
			found.root(i, r.Path)
		}
		w.wanted.Store(found)
		if trusted, added := w.add(found); !added {
			w.hints.trust(trusted)
			return nil
		}
	}
	w.doubt()
	return nil
}

// doubt makes each load look at everything, and the next burst of events another rescan.
func (w *watcher) doubt() {
	w.hints.trust(false)
	w.moved.Store(true)
}

// add watches the directories that are not watched yet. Whatever changes is told from now on if it added none and is trusted.
func (w *watcher) add(wanted *wishes) (trusted, added bool) {
	maps.DeleteFunc(w.failed, func(dir string, _ bool) bool { _, ok := wanted.names[dir]; return !ok })
	ids, other := map[facts]bool{}, false
	for dir := range wanted.names {
		info, err := os.Stat(dir)
		if err != nil {
			continue // its directory tells of what becomes of it
		}
		before := w.watched[dir]
		if before == nil && w.watch(dir, info) {
			added = true
		}
		other = other || before != nil && !os.SameFile(before, info)
		f := factsOf(info)
		ids[facts{device: f.device, inode: f.inode}] = true
	}
	// A directory that is mounted at two places gives its events under one name, and one that took the name of another is told of by its directory.
	return !other && len(w.failed) == 0 && len(ids) == len(w.watched), added
}

// watch watches a directory, if that is possible.
func (w *watcher) watch(dir string, info os.FileInfo) bool {
	if err := w.fs.Add(dir); err != nil {
		if !w.failed[dir] {
			w.log.Warn("a directory cannot be watched: changes in it are noticed at the next reload only (on Linux, raise fs.inotify.max_user_watches)",
				"directory", dir, "error", err)
		}
		w.failed[dir] = true
		return false
	}
	w.watched[dir] = info
	delete(w.failed, dir)
	return true
}
