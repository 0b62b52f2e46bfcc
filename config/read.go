// Reading the files of all roots: recursively, within bounds, following symlinks.

package config

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/wicketgate/wicketgate/object"
)

// path is where a file is.
type path struct {
	root int    // index of its root
	rel  string // below the root, with slashes
	name string // as messages call it: the root as the user named it, and rel
	// single: the root is this file.
	single bool
}

// file is a file of configuration.
type file struct {
	path
	data []byte
	sum  [32]byte // of data
	// unsettled: the file was still being written, so its earlier content counts. data is then nil.
	unsettled bool
}

// loss is a place that could not be read: what came from there stays in force.
type loss struct {
	root   int
	prefix string // rel of the file or directory; "" is the whole root
}

// covers reports whether a file lies in the lost place.
func (l loss) covers(p path) bool {
	return l.root == p.root && (l.prefix == "" || l.prefix == p.rel || strings.HasPrefix(p.rel, l.prefix+"/"))
}

// confinement is a root that is confined. Where it lies in another root, that one leaves it out: whoever may write there would otherwise
// be freed by the wider root.
type confinement struct {
	root int
	info os.FileInfo
}

// confinements looks up the roots that are confined.
func confinements(roots []Root) (list []confinement) {
	for i, root := range roots {
		if len(root.Namespaces) == 0 {
			continue
		}
		if info, err := os.Stat(root.Path); err == nil {
			list = append(list, confinement{i, info})
		}
	}
	return list
}

// isAnothers reports whether a file or directory is a confined root beside the one that is being read.
func (r *reader) isAnothers(root int, info os.FileInfo) bool {
	return slices.ContainsFunc(r.confined, func(c confinement) bool { return c.root != root && os.SameFile(c.info, info) })
}

// reader collects the files of all roots for one load.
type reader struct {
	lim      limits
	settle   settling
	deadline time.Time              // until when to wait for files to settle
	known    func(name string) bool // whether an earlier load read this file

	// before is what the load before this one found in directories, and found what this one does: what did not change is not read again, and its
	// data is nil. sumsOnly reads everything, and leaves all data out.
	before, found listings
	sumsOnly      bool
	confined      []confinement

	files    []*file
	slot     **stamped       // where the stamp of the file goes that is about to be read; nil: nowhere
	young    []young         // to be read once they are settled
	seen     map[string]bool // the names of files; nil: there is one root only
	bytes    int64
	lost     []loss
	problems []object.Problem
	// unsettled: some file was being written, and another load should follow.
	unsettled bool
	single    bool // some root is a file
}

// fail records a place that cannot be read.
func (r *reader) fail(p path, format string, args ...any) {
	r.lost = append(r.lost, loss{root: p.root, prefix: p.rel})
	r.problems = append(r.problems, object.Problem{Position: object.Position{File: p.name}, Message: fmt.Sprintf(format, args...)})
}

// lose records a root that was there before and cannot be read now.
func (r *reader) lose(i int, root Root, err error) {
	r.fail(path{root: i, name: root.Path}, "%v; what was read from it stays in force", err)
}

// readRoot reads a directory or a file. The error says what to do about a root that cannot be read at all.
func (r *reader) readRoot(ctx context.Context, i int, root Root) error {
	if root.Text != nil {
		r.single = true
		r.whole(young{path: path{root: i, rel: root.Path, name: root.Path, single: true}}, root.Text, stamp{})
		return nil
	}
	info, err := os.Stat(root.Path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%s does not exist: create the directory, or name another one", root.Path)
	case err != nil:
		return fmt.Errorf("cannot read the configuration: %w", err)
	}
	p := path{root: i, name: filepath.ToSlash(filepath.Clean(root.Path))}
	if info.IsDir() {
		l, err := r.list(p, root.Path, info)
		if err != nil {
			return fmt.Errorf("cannot read the configuration: %w", err)
		}
		return r.entries(ctx, p, l, []os.FileInfo{info})
	}
	p.rel, p.single = filepath.Base(root.Path), true
	r.single, r.slot = true, nil
	r.readFile(p, root.Path)
	return nil
}

// directory reads a directory below a root. parents are those that lead to it, the root first.
func (r *reader) directory(ctx context.Context, p path, dir string, parents []os.FileInfo) error {
	if len(parents) > r.lim.dirDepth {
		r.fail(p, "more than %d directories in each other are not read", r.lim.dirDepth)
		return nil
	}
	l, err := r.list(p, dir, parents[len(parents)-1])
	switch {
	case errors.Is(err, fs.ErrNotExist): // deleted since it was listed
		return nil
	case err != nil:
		r.fail(p, "%v", reason(err))
		return nil
	}
	return r.entries(ctx, p, l, parents)
}

// entries reads what a directory holds, in order.
func (r *reader) entries(ctx context.Context, dir path, l *listing, parents []os.FileInfo) error {
	proven := r.look(ctx, l)
	for i := range l.entries {
		if proven != nil && proven[i] && r.unchanged(l.stamps[i]) {
			continue
		}
		e := &l.entries[i]
		l.stamps[i], r.slot = nil, nil
		if e.Type().IsRegular() {
			r.slot = &l.stamps[i]
		}
		if err := r.entry(ctx, e.path, e.name, e.DirEntry, parents); err != nil {
			return err
		}
	}
	r.found[dir.place()] = l
	return nil
}

// joinSlash joins as a user would: "conf/" and "conf" give the same, and "." stays away.
func joinSlash(dir, name string) string {
	if dir == "." {
		return name
	}
	return strings.TrimSuffix(dir, "/") + "/" + name
}

// entry reads one file or directory. Symlinks are followed, but not into a directory that leads to them.
func (r *reader) entry(ctx context.Context, p path, name string, e os.DirEntry, parents []os.FileInfo) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	isConfig := configName(e.Name())
	if e.Type().IsRegular() && !isConfig {
		return nil
	}
	if e.Type().IsRegular() && len(r.confined) == 0 {
		r.readFile(p, name)
		return nil
	}
	info, err := os.Stat(name)
	switch {
	case err != nil && !isConfig:
		return nil
	case err != nil:
		r.fail(p, "%v", reason(err))
	case r.isAnothers(p.root, info), leadsTo(parents, info):
		return nil
	case info.IsDir():
		return r.directory(ctx, p, name, append(slices.Clip(parents), info))
	case isConfig && info.Mode().IsRegular():
		r.readFile(p, name)
	case isConfig:
		r.fail(p, "%v", errNotRegular)
	}
	return nil
}

// leadsTo reports whether a directory is one of those that lead to it.
func leadsTo(parents []os.FileInfo, info os.FileInfo) bool {
	return slices.ContainsFunc(parents, func(p os.FileInfo) bool { return os.SameFile(p, info) })
}

// configName reports whether a file of this name is configuration.
func configName(name string) bool {
	switch strings.ToLower(filepath.Ext(name)) {
	case ".yaml", ".yml", ".json":
		return true
	}
	return false
}

// readFile reads one file, or leaves it for settled if it may still be being written.
func (r *reader) readFile(p path, name string) {
	if r.seen != nil { // one root may be part of another
		if r.seen[p.name] {
			return
		}
		r.seen[p.name] = true
	}
	if len(r.files)+len(r.young) >= r.lim.files {
		r.fail(p, "is not read: there are more than %d files", r.lim.files)
		return
	}
	if f := (young{p, name, r.slot}); r.try(f) > 0 {
		r.young = append(r.young, f)
	}
}

// unchanged adds a file without reading it, since it is certain to hold what it held, unless there are reasons not to.
func (r *reader) unchanged(was *stamped) bool {
	name := was.file.name
	if !r.known(name) || len(r.files) >= r.lim.files {
		return false
	}
	if r.seen != nil {
		if r.seen[name] {
			return true
		}
		r.seen[name] = true
	}
	r.take(&was.file, was.stamp.size)
	return true
}

// whole adds a file that was read.
func (r *reader) whole(y young, data []byte, st stamp) {
	f := &file{path: y.path, data: data, sum: sha256.Sum256(data)}
	if r.sumsOnly {
		f.data = nil
	}
	if y.slot != nil {
		*y.slot = &stamped{file{path: y.path, sum: f.sum}, st}
	}
	r.take(f, int64(len(data)))
}

// take adds a file, unless all files together are too large.
func (r *reader) take(f *file, size int64) {
	if r.bytes += size; r.bytes > r.lim.totalBytes {
		r.fail(f.path, "is not read: all files together are larger than %d MiB", r.lim.totalBytes>>20)
		return
	}
	r.files = append(r.files, f)
}

// reason drops the path from an error about a file, since the position names it.
func reason(err error) error {
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		return fmt.Errorf("cannot be read: %w", pe.Err)
	}
	return err
}
