// Updates: loads that look only at what the watch has told of.
//
// Of ten thousand files one was written. A Load asks the file system about all of them, and goes through all; an Update reads the one, and puts it into the
// last load's list in place of what it was. Wherever a hint may mean more than that, an Update is a Load: a test compares the two.

package config

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Update is Load for a run that the watch asked for, or nobody who could know of a change that gives no notification: it looks at no file that did not
// change by what the watch has noticed.
func (l *Loader) Update(ctx context.Context) (*Result, error) {
	return l.load(func(told map[string][]dirPlace) (*Result, error) {
		if told == nil {
			return l.look(ctx)
		}
		u := updating{reader: l.reader(), memory: &l.memory}
		result, err := l.update(ctx, &u, told)
		if err != nil || result != nil {
			return result, err
		}
		return l.look(ctx)
	})
}

// updating is an Update that is going on.
type updating struct {
	*reader
	memory *memory
	wanted []listed // to be read
}

// update makes the result of an Update, or nil if everything is to be looked at.
func (l *Loader) update(ctx context.Context, u *updating, told map[string][]dirPlace) (*Result, error) {
	m := &l.memory
	if !m.mayUpdate() {
		return nil, nil
	}
	u.found, u.bytes = maps.Clone(m.listings), m.bytes
	for name, places := range told {
		if !u.hint(places, filepath.Base(name)) {
			return nil, nil
		}
	}
	if err := u.read(ctx); err != nil {
		return nil, err
	}
	if len(u.lost) > 0 || len(u.files) != len(u.wanted) { // one has gone meanwhile
		return nil, nil
	}
	parsed, err := l.parse(ctx, u.files)
	if err != nil {
		return nil, err
	}
	files, list := u.apply(parsed)
	if len(files) == 0 || len(files) > l.lim.files {
		return nil, nil
	}
	result := m.result
	if len(list) > 0 || result == nil {
		if result, err = m.merge(ctx, l.roots, files, list, nil, nil); err != nil {
			return nil, err
		}
	}
	l.conclude(u.reader)
	return result, nil
}

// mayUpdate reports whether the last load left what an Update starts from: all files, in directories.
func (m *memory) mayUpdate() bool {
	return m.started && m.listings != nil && len(m.lost) == 0 && !m.single
}

// hint looks at a file by its directory and name. It is false if that leads further: what has gone may have another name by now, of which nobody may have told
// yet, and what is written under one name of several changes the others.
func (u *updating) hint(places []dirPlace, base string) bool {
	var l *listing
	for _, p := range places {
		if found := u.found[p]; found != nil {
			if l != nil {
				return false // two ways lead there
			}
			l = found
		}
	}
	if l == nil {
		return false
	}
	i, known := l.find(base)
	if known && !l.entries[i].Type().IsRegular() {
		return false
	}
	info, err := os.Lstat(filepath.Join(l.name, base))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return !known
	case err != nil, !info.Mode().IsRegular(), factsOf(info).shared:
		return false
	case known:
		return u.again(l, i)
	}
	return u.add(l, i, info)
}

// own gives the listing of which this Update may write to the stamps. Entries are the last load's.
func (u *updating) own(l *listing) *listing {
	before := u.before[l.dir.place()]
	if before != l {
		return l
	}
	out := *l
	out.stamps = slices.Clone(l.stamps)
	u.found[l.dir.place()] = &out
	return &out
}

// again is for a file that the last load has read.
func (u *updating) again(l *listing, i int) bool {
	was := l.stamps[i]
	if was == nil || was.stamp.shared {
		return false
	}
	u.bytes -= was.stamp.size
	u.own(l)
	u.wanted = append(u.wanted, l.entries[i])
	return true
}

// add is for a file that is new.
func (u *updating) add(l *listing, i int, info os.FileInfo) bool {
	e := l.entry(fs.FileInfoToDirEntry(info))
	if u.memory.files[e.path.name] != nil { // a file of another root has its name
		return false
	}
	l = u.own(l)
	l.stamp = stamp{} // that the directory is the same proves nothing any more
	l.entries, l.stamps = slices.Insert(slices.Clone(l.entries), i, e), slices.Insert(l.stamps, i, nil)
	u.wanted = append(u.wanted, e)
	return true
}

// read reads the files that are wanted. Listings do not change any more.
func (u *updating) read(ctx context.Context) error {
	for _, e := range u.wanted {
		l := u.found[e.path.place().above()]
		i, _ := l.find(e.Name())
		l.stamps[i] = nil
		u.slot = &l.stamps[i]
		u.readFile(e.path, e.name)
	}
	return u.settled(ctx)
}

// apply puts what was read into the last load's list of files, and says what that changes.
func (u *updating) apply(read []*parsed) (files []*parsed, list []change) {
	files, list = slices.Clone(u.memory.order), []change{}
	for _, p := range read {
		switch i, ok := slices.BinarySearchFunc(files, p.path, comparePath); {
		case !ok:
			list = append(list, change{after: p})
			files = slices.Insert(files, i, p)
		case files[i] != p:
			list = append(list, change{files[i], p})
			files[i] = p
		}
	}
	return files, list
}

func comparePath(p *parsed, to path) int {
	return cmp.Or(cmp.Compare(p.root, to.root), strings.Compare(p.rel, to.rel))
}
