package config

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/fsnotify/fsnotify"
)

// Watch signals, on the channel it returns, that a load may find something new: within 150 ms of a change, once for a burst of changes. A
// signal that nobody has taken yet stands for later ones, too. Watching ends with ctx; the channel is never closed.
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
	relevant := make(chan map[string]interest, 1) // the newest one that rescan made
	relevant <- w.wanted
	go func() {
		defer fs.Close() //nolint:errcheck // nothing depends on it any more
		defaultDebouncing.run(ctx, events, func() {
			// New directories are watched before the signal: what happens in them later is an event, and what happened before
			// is seen by the load.
			w.rescan()
			<-relevant
			relevant <- w.wanted
			notify(signals)
		})
	}()
	go func() {
		for {
			select {
			case e, ok := <-fs.Events:
				if !ok {
					return
				}
				wanted := <-relevant
				relevant <- wanted
				if isRelevant(wanted, e.Name) {
					notify(events)
				}
			case err, ok := <-fs.Errors:
				if !ok {
					return
				}
				if !errors.Is(err, fsnotify.ErrEventOverflow) { // an overflow only means that everything may have changed
					log.Warn("watching the configuration", "error", err)
				}
				notify(events)
			}
		}
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

// interest says which entries of a directory matter: those named, or, if nil, all that can be configuration.
type interest map[string]bool

// watcher knows which directories are watched. It belongs to one goroutine.
type watcher struct {
	fs      *fsnotify.Watcher
	roots   []Root
	log     *slog.Logger
	wanted  map[string]interest    // by directory, symlinks resolved; replaced, never written to, by rescan
	watched map[string]os.FileInfo // the directory that is watched under each name
	failed  map[string]bool        // could not be watched, and said so
}

// rescan makes the watched directories those that should be.
func (w *watcher) rescan() {
	w.wanted = map[string]interest{}
	for _, r := range w.roots {
		w.wantRoot(r.Path)
	}
	for dir := range w.watched {
		if _, ok := w.wanted[dir]; !ok {
			w.fs.Remove(dir) //nolint:errcheck // it may be gone
			delete(w.watched, dir)
		}
	}
	for dir := range w.wanted {
		info, err := os.Stat(dir)
		if err != nil {
			delete(w.watched, dir)
			continue
		}
		if before := w.watched[dir]; before != nil {
			if os.SameFile(before, info) {
				continue
			}
			w.fs.Remove(dir) //nolint:errcheck // another directory has this name now; the old one's watch may be gone
		}
		if err := w.fs.Add(dir); err != nil {
			if !w.failed[dir] {
				w.log.Warn("a directory cannot be watched: changes in it are noticed at the next reload only (on Linux, raise fs.inotify.max_user_watches)",
					"directory", dir, "error", err)
			}
			w.failed[dir] = true
			delete(w.watched, dir)
			continue
		}
		w.watched[dir] = info
		delete(w.failed, dir)
	}
}

// want adds an entry of a directory, or, if entry is empty, all of them.
func (w *watcher) want(dir, entry string) {
	names, ok := w.wanted[dir]
	switch {
	case entry == "":
		w.wanted[dir] = nil
	case !ok:
		w.wanted[dir] = interest{entry: true}
	case names != nil:
		names[entry] = true
	}
}

// wantRoot adds everything that a root depends on.
func (w *watcher) wantRoot(root string) {
	abs, err := filepath.Abs(root)
	if err != nil {
		return
	}
	target := w.way(abs)
	info, err := os.Stat(target)
	if err != nil || !info.IsDir() {
		return // a file: its directory is part of the way
	}
	w.wantDir(target, []os.FileInfo{info})
}

// wantDir adds a directory and those in it, as a load reads them.
func (w *watcher) wantDir(dir string, parents []os.FileInfo) {
	w.want(dir, "")
	if len(parents) > defaultLimits.dirDepth {
		return
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		if e.Type().IsRegular() || strings.HasPrefix(e.Name(), ".") {
			continue
		}
		target := filepath.Join(dir, e.Name())
		if e.Type()&os.ModeSymlink != 0 {
			target = w.way(target)
		}
		info, err := os.Stat(target)
		if err != nil || !info.IsDir() {
			continue
		}
		loop := false
		for _, p := range parents {
			loop = loop || os.SameFile(p, info)
		}
		if !loop {
			w.wantDir(target, append(parents[:len(parents):len(parents)], info))
		}
	}
}

// way follows an absolute path element by element, adds the directory of the last element and of every symlink on the way, and returns where
// it leads. Where the path ends early, the element that is missing is what it waits for.
func (w *watcher) way(path string) string {
	for range 40 { // symlinks
		at, rest := filepath.VolumeName(path)+string(filepath.Separator), strings.TrimPrefix(path[len(filepath.VolumeName(path)):], string(filepath.Separator))
		link := ""
		for rest != "" {
			var name string
			name, rest, _ = strings.Cut(rest, string(filepath.Separator))
			next := filepath.Join(at, name)
			info, err := os.Lstat(next)
			if err != nil {
				w.want(at, name)
				return path
			}
			if info.Mode()&os.ModeSymlink != 0 {
				w.want(at, name)
				target, err := os.Readlink(next)
				if err != nil {
					return path
				}
				if !filepath.IsAbs(target) {
					target = filepath.Join(at, target)
				}
				link = filepath.Join(target, rest)
				break
			}
			if rest == "" {
				w.want(at, name)
			}
			at = next
		}
		if link == "" {
			return at
		}
		path = link
	}
	return path
}

// isRelevant reports whether an event about this name may change what a load finds.
func isRelevant(wanted map[string]interest, name string) bool {
	dir, base := filepath.Dir(name), filepath.Base(name)
	if _, ok := wanted[name]; ok {
		return true // the directory itself
	}
	names, ok := wanted[dir]
	switch {
	case !ok:
		return false
	case names != nil:
		return names[base]
	case strings.HasPrefix(base, ".."), configName(base):
		return true
	case strings.HasPrefix(base, "."):
		return false
	}
	// A regular file of another kind does not matter; a directory, a link, or something that is gone may.
	info, err := os.Lstat(name)
	return err != nil || !info.Mode().IsRegular()
}
