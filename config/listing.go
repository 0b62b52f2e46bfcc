// Listings: what a load found in the directories, so that the next one asks the file system only what may have changed.
//
// A directory whose own times are the same has the same names, and a file whose times are the same has the same content (stamp.go): for each
// file that nobody touched there is one question, and nothing is allocated. Where times cannot be trusted the poll finds out (poll.go), and all
// listings are forgotten.

package config

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// place is where a directory is, whatever it is called.
func (p *path) place() dirPlace { return dirPlace{p.root, p.rel} }

// dirPlace identifies a directory.
type dirPlace struct {
	root int
	rel  string
}

// above is the place of the directory that this is an entry of.
func (p dirPlace) above() dirPlace {
	i := strings.LastIndexByte(p.rel, '/')
	return dirPlace{p.root, p.rel[:max(i, 0)]}
}

// below is the place of an entry.
func (p dirPlace) below(name string) dirPlace {
	if p.rel != "" {
		name = p.rel + "/" + name
	}
	return dirPlace{p.root, name}
}

// listings are those of a load, of all directories. They are not written to once the load is over.
type listings map[dirPlace]*listing

// listing is a directory as a load found it: what of it may be configuration, in order.
type listing struct {
	dir     path
	name    string // for the operating system
	stamp   stamp  // of the directory
	entries []listed
	stamps  []*stamped // of the entries that were read: nil for others
}

// listed is an entry of a directory.
type listed struct {
	os.DirEntry
	path path
	name string // for the operating system
}

// stamped is a file that was read: data is nil.
type stamped struct {
	file  file
	stamp stamp
}

// list lists a directory, of which the file system says this. Hidden names are left out: editors' and version control's, and the
// directories that Kubernetes' symlinks lead to.
func (r *reader) list(dir path, name string, info os.FileInfo) (*listing, error) {
	before := r.before[dir.place()]
	now := factsOf(info)
	if before != nil && before.stamp.proves(now) {
		// What this load finds is the next one's to see.
		return &listing{dir, name, before.stamp, before.entries, append([]*stamped(nil), before.stamps...)}, nil
	}
	l := &listing{dir: dir, name: name, stamp: stampOf(now, time.Now())}
	entries, err := os.ReadDir(name)
	if err != nil {
		return nil, err
	}
	known := before.byName()
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") || e.Type().IsRegular() && !configName(e.Name()) {
			continue
		}
		l.entries = append(l.entries, l.entry(e))
		var was *stamped
		if e.Type().IsRegular() {
			was = known[e.Name()]
		}
		l.stamps = append(l.stamps, was)
	}
	return l, nil
}

// entry completes an entry.
func (l *listing) entry(e os.DirEntry) listed {
	p := path{root: l.dir.root, rel: l.dir.place().below(e.Name()).rel, name: joinSlash(l.dir.name, e.Name())}
	return listed{e, p, filepath.Join(l.name, e.Name())}
}

// find finds an entry by its name, or where it would be.
func (l *listing) find(name string) (i int, found bool) {
	return slices.BinarySearchFunc(l.entries, name, func(e listed, name string) int { return strings.Compare(e.Name(), name) })
}

// byName are the files of a directory that were read.
func (l *listing) byName() map[string]*stamped {
	if l == nil {
		return nil
	}
	all := make(map[string]*stamped, len(l.entries))
	for i, e := range l.entries {
		if l.stamps[i] != nil {
			all[e.Name()] = l.stamps[i]
		}
	}
	return all
}

// manyEntries is from how many entries of a directory on all processors look at them.
const manyEntries = 64

// look asks the file system about the files of a directory that an earlier load read, on all processors: which are certain to hold what they held?
func (r *reader) look(ctx context.Context, l *listing) []bool {
	if len(r.before) == 0 {
		return nil
	}
	proven := make([]bool, len(l.entries))
	one := func(i int) {
		was := l.stamps[i]
		if was == nil || !was.stamp.old {
			return
		}
		if len(r.confined) == 0 {
			now, ok := factsAt(l.entries[i].name) // what is wrong with it shows when it is read
			proven[i] = ok && was.stamp.proves(now)
			return
		}
		info, err := os.Stat(l.entries[i].name)
		proven[i] = err == nil && !r.isAnothers(was.file.root, info) && was.stamp.proves(factsOf(info))
	}
	if len(l.entries) < manyEntries {
		for i := range l.entries {
			one(i)
		}
		return proven
	}
	if parallel(ctx, len(l.entries), one) != nil {
		return nil
	}
	return proven
}
