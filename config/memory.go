// What is in force: the admitted objects of one load, joined with what earlier loads admitted where a file cannot be read or holds no
// admissible version any more.

package config

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"k8s.io/apimachinery/pkg/types"

	"github.com/wicketgate/wicketgate/object"
)

// memory is what a Loader knows from one load to the next. Beyond a restart force is kept (keep.go), and nothing else: the rest only
// saves work.
type memory struct {
	started  bool
	files    map[string]*parsed // by name
	order    []*parsed          // the same by place; never written to once it is made
	single   bool               // some root is a file
	bytes    int64              // of all files
	result   *Result            // of the last load; nil if another of the same files would differ
	listings listings           // of the directories; nil: everything is to be read
	lost     []loss             // what the last load could not read
	// byKey are the items of files by the object that they are, in the order of files and items, and set is force as a Set.
	byKey    map[object.Key][]candidate
	several  map[object.Key]bool // those that have several
	set      *object.Set
	outcomes map[[32]byte]*outcome  // by item.raw, of the files
	force    map[object.Key]inForce // every object of the last Result; never written to once it is made
	// proven are hashes, of item.raw, of what an earlier run of the program admitted by the same schemas.
	proven map[[32]byte]bool
}

// inForce is an object of the last Result and where it came from.
type inForce struct {
	object *object.Object
	item   *item
	path   path // of its file
	// record, if set, is what an earlier run kept: the object has no content yet.
	record *record
}

func newMemory() memory {
	return memory{files: map[string]*parsed{}, outcomes: map[[32]byte]*outcome{}, force: map[object.Key]inForce{}, proven: map[[32]byte]bool{}}
}

// holds reports whether anything of a root is in force.
func (m *memory) holds(root int) bool {
	for _, f := range m.force {
		if f.path.root == root {
			return true
		}
	}
	return false
}

// known reports whether the last load read a file of this name.
func (m *memory) known(name string) bool { return m.files[name] != nil }

// merge decides which object is in force for each key, and remembers it. The files are in order; list, unless it is nil, is all that changed. Places
// that could not be read are in lost. The error is ctx's.
func (m *memory) merge(ctx context.Context, roots []Root, files []*parsed, list []change, lost []loss, problems []object.Problem) (*Result, error) {
	set, done := m.increment(files, list, lost)
	var revived []object.Problem
	if !done {
		var err error
		if revived, err = m.mergeAll(ctx, roots, files, lost); err != nil {
			return nil, err
		}
		problems = append(problems, revived...)
		set = newSet(m.force)
	}
	set = set.WithRefused(m.refused(files))
	m.set, m.lost, m.order = set, lost, files
	problems = slices.Concat(problems, problemsOf(files), m.duplicates())
	slices.SortFunc(problems, compareProblems)
	result := &Result{Objects: set, Problems: problems, Digest: digestOfFiles(files), Files: len(files)}
	if m.result = result; len(revived) > 0 { // those are told once
		m.result = nil
	}
	return result, nil
}

// compareFiles orders files by their places.
func compareFiles(a, b *parsed) int {
	return cmp.Or(cmp.Compare(a.root, b.root), strings.Compare(a.rel, b.rel))
}

// mergeAll decides about every object. The problems are those of what an earlier run of the program had in force.
func (m *memory) mergeAll(ctx context.Context, roots []Root, files []*parsed, lost []loss) ([]object.Problem, error) {
	byKey, partial := surveyOf(files)
	isLost := func(p path) bool { return slices.ContainsFunc(lost, func(l loss) bool { return l.covers(p) }) }
	force := make(map[object.Key]inForce, len(byKey))
	for key, candidates := range byKey {
		before, had := m.force[key]
		if next, ok := decide(candidates, before, had, had && isLost(before.path)); ok {
			force[key] = next
		}
	}
	for key, before := range m.force {
		if byKey[key] == nil && (isLost(before.path) || partial[before.path]) {
			force[key] = before.stale()
		}
	}
	revived, err := revive(ctx, roots, force)
	if err != nil {
		return nil, err
	}
	m.byKey, m.several = byKey, map[object.Key]bool{}
	for key := range byKey {
		m.count(key)
	}
	m.remember(files, force)
	return revived, nil
}

// revive gives content to what stays in force from an earlier run of the program. What cannot be in force any more is taken out and told.
func revive(ctx context.Context, roots []Root, force map[object.Key]inForce) ([]object.Problem, error) {
	var old []*record
	for _, f := range force {
		if f.record != nil {
			old = append(old, f.record)
		}
	}
	revived, errs := make([]inForce, len(old)), make([]error, len(old))
	if err := parallel(ctx, len(old), func(i int) {
		revived[i], errs[i] = old[i].revive(ctx, roots[old[i].path.root])
	}); err != nil {
		return nil, err
	}
	var problems []object.Problem
	for i, r := range old {
		if errs[i] == nil {
			force[r.key] = revived[i]
			continue
		}
		delete(force, r.key)
		problems = append(problems, object.Problem{Position: object.Position{File: r.path.name, Line: r.line, Column: r.column}, Object: r.key, Message: errs[i].Error()})
	}
	return problems, nil
}

// newSet makes the Set of what is in force.
func newSet(force map[object.Key]inForce) *object.Set {
	objects := make([]*object.Object, 0, len(force))
	for _, f := range force {
		objects = append(objects, f.object)
	}
	return object.NewSet(objects...)
}

// digestOfFiles is Result.Digest. The files are in order.
func digestOfFiles(files []*parsed) string {
	lines := sha256.New()
	var line []byte
	for _, p := range files {
		line = hex.AppendEncode(line[:0], p.sum[:])
		line = append(append(append(line, "  "...), p.rel...), '\n')
		lines.Write(line)
	}
	return hex.EncodeToString(lines.Sum(nil))
}

// candidate is one of the items with a certain key.
type candidate struct {
	file *parsed
	item *item
}

// surveyOf goes through the files, in order: the items by their keys, and the files that may hold objects nobody can identify.
func surveyOf(files []*parsed) (byKey map[object.Key][]candidate, partial map[path]bool) {
	byKey, partial = make(map[object.Key][]candidate, len(files)), map[path]bool{}
	for _, p := range files {
		if !p.certain() {
			partial[p.path] = true
		}
		for _, it := range p.items {
			if it.foreign == nil && it.identified {
				byKey[it.key] = append(byKey[it.key], candidate{p, it})
			}
		}
	}
	return byKey, partial
}

// problemsOf lists what is wrong with files and with the objects in them, and each kind that is not used, once.
func problemsOf(files []*parsed) (list []object.Problem) {
	ignored := map[object.GroupKind]bool{}
	for _, p := range files {
		if p.plain {
			continue
		}
		list = append(list, p.problems...)
		for _, it := range p.items {
			if it.foreign != nil && !ignored[it.foreign.GroupKind] {
				ignored[it.foreign.GroupKind] = true
				list = append(list, object.Problem{Severity: it.foreign.severity, Position: it.loc.position(), Message: it.foreign.message})
			}
			if len(it.findings) > 0 {
				list = append(list, it.problems()...)
			}
		}
	}
	return list
}

// remember replaces what was known.
func (m *memory) remember(files []*parsed, force map[object.Key]inForce) {
	m.started, m.force, m.proven = true, force, nil
	m.files = make(map[string]*parsed, len(files))
	for _, p := range files {
		m.files[p.name] = p
	}
	m.rememberOutcomes()
}

// rememberOutcomes keeps the outcomes of what the files hold, and no others.
func (m *memory) rememberOutcomes() {
	m.outcomes = make(map[[32]byte]*outcome, len(m.force))
	for _, p := range m.files {
		for _, it := range p.items {
			m.outcomes[it.raw] = it.outcome
		}
	}
}

// decide picks the object of a key. The file that has the object in force goes on owning it; where that file is gone, or there
// was no object, the first admissible one of the others is taken. There is none if nothing is admissible and nothing was in force.
func decide(candidates []candidate, before inForce, had, lost bool) (inForce, bool) {
	if had {
		if lost {
			return before.stale(), true
		}
		own := slices.DeleteFunc(slices.Clone(candidates), func(c candidate) bool { return c.file.path != before.path })
		if len(own) > 0 {
			// The same content first: another object of the same name may have been added above it.
			same := slices.IndexFunc(own, func(c candidate) bool { return c.item.admitted() && c.item.raw == before.item.raw })
			if same < 0 {
				same = slices.IndexFunc(own, func(c candidate) bool { return c.item.admitted() })
			}
			if same < 0 {
				return before.stale(), true
			}
			return own[same].enforce(&before), true
		}
	}
	for _, c := range candidates {
		if c.item.admitted() {
			if had {
				return c.enforce(&before), true
			}
			return c.enforce(nil), true
		}
	}
	if had {
		return before.stale(), true
	}
	return inForce{}, false
}

// duplicates reports the admissible items of each object that are not the one in force.
func (m *memory) duplicates() (problems []object.Problem) {
	for key := range m.several {
		owner := m.force[key]
		for _, c := range m.byKey[key] {
			if c.item != owner.item && c.item.admitted() {
				problems = append(problems, object.Problem{
					Position: c.item.loc.position(), Object: c.item.key,
					Message: fmt.Sprintf("is given at %s already, and that one stays in force: remove one of the two", owner.object.Position),
				})
			}
		}
	}
	return problems
}

// stale keeps an object in force without its file.
func (f inForce) stale() inForce {
	if !f.object.Stale {
		o := *f.object
		o.Stale = true
		f.object = &o
	}
	return f
}

// enforce puts an item in force, in place of what was before, if anything was.
func (c candidate) enforce(before *inForce) inForce {
	if before != nil && before.item == c.item && !before.object.Stale {
		return *before // the same file with the same content
	}
	return inForce{object: c.item.object(before), item: c.item, path: c.file.path}
}

// object makes the admitted object.
func (it *item) object(before *inForce) *object.Object {
	o := &object.Object{
		Key: it.key, Version: it.version, Meta: it.meta, Value: it.value, Content: it.content,
		Position: it.loc.position(), Locator: it.loc, Digest: it.digest,
		Confined: len(it.root.Namespaces) > 0,
	}
	if before != nil && before.item.outcome == it.outcome {
		// The same content at another place.
		b := before.object
		o.Meta, o.Value, o.Content, o.Digest = b.Meta, b.Value, b.Content, b.Digest
		return o
	}
	if !hasGeneration(it.key.GroupKind) {
		return o
	}
	generation := max(it.meta.Generation, 1)
	if before != nil && !isAnother(it.meta.UID, before.object.Meta.UID) {
		generation = max(it.meta.Generation, before.object.Meta.Generation)
		if before.item.spec != it.spec && generation == before.object.Meta.Generation {
			generation++
		}
	}
	setGeneration(o, generation)
	return o
}

// isAnother reports whether two uids name different objects: one was deleted and another created under its name, which begins to count anew.
func isAnother(a, b types.UID) bool { return a != "" && b != "" && a != b }

// hasGeneration reports whether an API server counts generations of a kind.
func hasGeneration(gk object.GroupKind) bool { return gk.Group != "" }

// setGeneration writes a generation everywhere an object shows it. What it shares with other objects is copied first.
func setGeneration(o *object.Object, generation int64) {
	o.Digest = sha256.Sum256(binary.BigEndian.AppendUint64(o.Digest[:], uint64(generation)))
	if o.Meta.Generation == generation {
		return
	}
	o.Meta.Generation = generation
	o.Content = maps.Clone(o.Content)
	metadata := maps.Clone(o.Content["metadata"].(map[string]any))
	metadata["generation"] = generation
	o.Content["metadata"] = metadata
	value := reflect.New(reflect.TypeOf(o.Value).Elem())
	value.Elem().Set(reflect.ValueOf(o.Value).Elem())
	o.Value = value.Interface()
	o.Value.(metav1.Object).SetGeneration(generation)
}

// problems are the findings of an item at their positions.
func (it *item) problems() []object.Problem {
	var out []object.Problem
	for _, f := range it.findings {
		out = append(out, object.Problem{Severity: f.severity, Position: it.loc.Locate(f.field), Object: it.key, Field: f.field, Message: f.message})
	}
	return out
}

// compareProblems orders problems by position, and makes the order of equal positions certain.
func compareProblems(a, b object.Problem) int {
	return cmp.Or(
		strings.Compare(a.Position.File, b.Position.File), cmp.Compare(a.Position.Line, b.Position.Line), cmp.Compare(a.Position.Column, b.Position.Column),
		a.Object.Compare(b.Object), strings.Compare(a.Field, b.Field), strings.Compare(a.Message, b.Message),
	)
}
