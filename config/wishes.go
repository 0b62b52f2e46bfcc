// Which directories have to be watched to learn of every change below the roots, with symlinks on the way.

package config

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// wishes are the directories to watch, symlinks resolved. They are not written to once they are made.
type wishes struct {
	// names say which entries of a directory matter: those named, or, if nil, all that can be configuration.
	names map[string]map[string]bool
	// places are what a directory is to a load, once for each way that leads there.
	places map[string][]dirPlace
	// links are the symlinks on the way to directories and files, and the files that they lead to: to write one changes what stands elsewhere.
	links map[string]bool
}

func newWishes() *wishes {
	return &wishes{names: map[string]map[string]bool{}, places: map[string][]dirPlace{}, links: map[string]bool{}}
}

// maxLinks is how many symlinks a path may go through.
const maxLinks = 40

// entry adds one entry of a directory.
func (w *wishes) entry(dir, name string) {
	names, ok := w.names[dir]
	switch {
	case !ok:
		w.names[dir] = map[string]bool{name: true}
	case names != nil:
		names[name] = true
	}
}

// root adds everything that a root depends on.
func (w *wishes) root(i int, root string) {
	abs, err := filepath.Abs(root)
	if err != nil {
		return
	}
	target := w.way(abs)
	if info, err := os.Stat(target); err == nil && info.IsDir() {
		w.directory(dirPlace{root: i}, target, []os.FileInfo{info})
	}
}

// directory adds a directory and those in it, as a load reads them. parents are those that lead to it, itself included.
func (w *wishes) directory(place dirPlace, dir string, parents []os.FileInfo) {
	w.names[dir] = nil
	w.places[dir] = append(w.places[dir], place)
	entries, err := os.ReadDir(dir)
	if err != nil || len(parents) > defaultLimits.dirDepth {
		return
	}
	for _, e := range entries {
		if e.Type().IsRegular() || strings.HasPrefix(e.Name(), ".") {
			continue
		}
		target := filepath.Join(dir, e.Name())
		if e.Type()&os.ModeSymlink != 0 {
			target = w.way(target)
			w.links[target] = true
		}
		info, err := os.Stat(target)
		if err != nil || !info.IsDir() {
			continue
		}
		if !slices.ContainsFunc(parents, func(p os.FileInfo) bool { return os.SameFile(p, info) }) {
			w.directory(place.below(e.Name()), target, append(slices.Clip(parents), info))
		}
	}
}

// way follows an absolute path element by element, adds the directory of every symlink on the way and of what it leads to, and returns the
// latter. Where the path breaks off, the entry that is missing is what matters.
//
//	/etc/conf -> /data/current, /data/current -> r7
//	way("/etc/conf") adds conf in /etc, current and r7 in /data, and returns /data/r7
func (w *wishes) way(path string) string {
	for range maxLinks {
		next, link := w.steps(path)
		if !link {
			return next
		}
		path = next
	}
	return path
}

// steps follows a path up to the first symlink, and returns the path with that link resolved, or where the path leads.
func (w *wishes) steps(path string) (next string, link bool) {
	volume := filepath.VolumeName(path)
	at := volume + string(filepath.Separator)
	rest := strings.TrimPrefix(path[len(volume):], string(filepath.Separator))
	for rest != "" {
		var name string
		name, rest, _ = strings.Cut(rest, string(filepath.Separator))
		next := filepath.Join(at, name)
		info, err := os.Lstat(next)
		if err != nil {
			w.entry(at, name)
			return path, false
		}
		if info.Mode()&os.ModeSymlink != 0 {
			w.entry(at, name)
			w.links[next] = true
			target, err := os.Readlink(next)
			if err != nil {
				return path, false
			}
			if !filepath.IsAbs(target) {
				target = filepath.Join(at, target)
			}
			return filepath.Join(target, rest), true
		}
		if rest == "" {
			w.entry(at, name)
		}
		at = next
	}
	return at, false
}

// isRelevant reports whether an event about this name may change what a load finds.
func (w *wishes) isRelevant(name string) bool {
	if _, ok := w.names[name]; ok || w.links[name] {
		return true // a watched directory itself, or a link, of whatever name
	}
	base := filepath.Base(name)
	names, ok := w.names[filepath.Dir(name)]
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
	// A regular file of another kind does not matter, nor that it is gone; a directory or a link may.
	info, err := os.Lstat(name)
	return err == nil && !info.Mode().IsRegular()
}

// file reports whether all that an event about a relevant name tells is that a regular file was written, made, replaced or removed, and which places
// its directory is. Directories and links are another matter: they change what is to be watched.
func (w *wishes) file(name string) (places []dirPlace, ok bool) {
	dir, base := filepath.Dir(name), filepath.Base(name)
	names, ok := w.names[dir]
	if _, isDir := w.names[name]; !ok || names != nil || isDir || w.links[name] || strings.HasPrefix(base, ".") || !configName(base) {
		return nil, false
	}
	if info, err := os.Lstat(name); err == nil && !info.Mode().IsRegular() || err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, false
	}
	return w.places[dir], true
}
