// Merging what changed: a load in which few files differ from the last one decides only about the objects that are in them.
//
// The outcome is that of a merge of everything (memory.merge): a property test compares the two. Wherever an object may be in a place that
// nobody can read or identify, everything is merged.

package config

import (
	"maps"
	"slices"

	"github.com/wicketgate/wicketgate/object"
)

// change is a file that differs from the last load: before or after is nil where there was or is none.
type change struct{ before, after *parsed }

// changes lists what differs between the last load and these files, or says that there is too much for it to matter.
func (m *memory) changes(files []*parsed) (list []change, few bool) {
	found := 0
	for _, p := range files {
		before := m.files[p.name]
		if before != nil {
			found++
		}
		if before == p {
			continue
		}
		if list = append(list, change{before, p}); len(list) > most(files) {
			return nil, false
		}
	}
	if found == len(m.files) {
		return list, true
	}
	now := make(map[string]bool, len(files))
	for _, p := range files {
		now[p.name] = true
	}
	for name, p := range m.files {
		if !now[name] {
			list = append(list, change{before: p})
		}
	}
	return list, len(list) <= most(files)
}

// most is how many of these files may have changed.
func most(files []*parsed) int { return len(files)/4 + 1 }

// certain reports whether every object that the file may hold is identified.
func (p *parsed) certain() bool {
	if p == nil {
		return true
	}
	return !p.partial && !slices.ContainsFunc(p.items, func(it *item) bool { return it.foreign == nil && !it.identified })
}

// increment merges changes, which are found out if they are nil, into what the last load put in force. It is false if only a merge of everything gives
// the right outcome.
func (m *memory) increment(files []*parsed, list []change, lost []loss) (*object.Set, bool) {
	if !m.started || len(lost) > 0 || len(m.lost) > 0 {
		return nil, false
	}
	few := len(list) <= most(files)
	if list == nil {
		list, few = m.changes(files)
	}
	if !few || slices.ContainsFunc(list, func(c change) bool { return !c.before.certain() || !c.after.certain() }) {
		return nil, false
	}
	put, gone := m.decideAgain(m.replace(list))
	m.note(list)
	return m.set.With(put, gone), true
}

// decideAgain decides about some objects, and returns those that are in force now and were not before, and the keys of those that were.
func (m *memory) decideAgain(affected map[object.Key]bool) (put []*object.Object, gone []object.Key) {
	if len(affected) == 0 {
		return nil, nil
	}
	force := maps.Clone(m.force) // the keeper may be reading it
	for key := range affected {
		before, had := force[key]
		next, ok := decide(m.byKey[key], before, had, false)
		if len(m.byKey[key]) == 0 { // its file may have it nevertheless, where nobody can identify it
			ok = had && !m.files[before.path.name].certain()
		}
		switch {
		case ok && had && next == before:
		case ok:
			force[key] = next
			put = append(put, next.object)
		case had:
			delete(force, key)
			gone = append(gone, key)
		}
	}
	m.force = force
	return put, gone
}

// replace brings the candidates of all objects in changed files up to date, and returns the keys of these objects.
func (m *memory) replace(list []change) map[object.Key]bool {
	affected := map[object.Key]bool{}
	changed := map[*parsed]bool{}
	for _, c := range list {
		for _, p := range []*parsed{c.before, c.after} {
			if p == nil {
				continue
			}
			changed[p] = true
			for _, it := range p.items {
				if it.foreign == nil {
					affected[it.key] = true
				}
			}
		}
	}
	for key := range affected {
		m.byKey[key] = slices.DeleteFunc(m.byKey[key], func(c candidate) bool { return changed[c.file] })
	}
	for _, c := range list {
		if c.after == nil {
			continue
		}
		for _, it := range c.after.items {
			if it.foreign == nil {
				m.byKey[it.key] = append(m.byKey[it.key], candidate{c.after, it})
			}
		}
	}
	for key := range affected {
		m.count(key)
		if len(m.byKey[key]) == 0 {
			delete(m.byKey, key)
			continue
		}
		slices.SortStableFunc(m.byKey[key], func(a, b candidate) int { return compareFiles(a.file, b.file) })
	}
	return affected
}

// count notes whether an object has several candidates.
func (m *memory) count(key object.Key) {
	if len(m.byKey[key]) > 1 {
		m.several[key] = true
	} else {
		delete(m.several, key)
	}
}

// note remembers the files that changed, and what was admitted in them.
func (m *memory) note(list []change) {
	for _, c := range list {
		if c.before != nil {
			delete(m.files, c.before.name)
		}
	}
	for _, c := range list {
		if c.after == nil {
			continue
		}
		m.files[c.after.name] = c.after
		for _, it := range c.after.items {
			m.outcomes[it.raw] = it.outcome
		}
	}
	if len(m.outcomes) > 2*len(m.force)+1000 {
		m.rememberOutcomes()
	}
}
