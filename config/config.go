// Package config turns files into admitted objects, and says when the files may have changed.
//
//	roots -> read -> split -> readDocument -> admit -> merge -> Result
//	        (bytes)  (text)   (values, places) (outcome)  (memory)
//
// Reading is generous about where things stand: any number of directories and files, many documents to a file, Lists, symlinks.
// Admission is as strict as an API server: CRD schemas with their defaults and CEL rules, Kubernetes' own rules for core kinds, and unknown fields are
// errors. Every message leads to a file, a line and a column.
//
// A Loader remembers. An object that was admitted once stays in force, marked stale, while its file cannot be read or no longer holds an
// admissible version of it, so that a typo never takes a route away; deleting the object or its file does.
package config

import (
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wicketgate/wicketgate/object"
)

// Options say what a Loader reads.
type Options struct {
	Roots []Root // at least one; their order decides which of two equal identities is admitted first
	// Store, if set, is where Keep keeps what is in force, and the first load finds what an earlier run kept there.
	Store Store
	Log   *slog.Logger // of Keep's troubles; nil: they are not told
}

// Result is what one load found.
type Result struct {
	Objects *object.Set
	// Problems are ordered by position.
	Problems []object.Problem
	// Digest identifies the files behind Objects: the SHA-256, in lower-case hexadecimal, of one line a file,
	//
	//	<SHA-256 of the content in lower-case hexadecimal><two spaces><path>\n
	//
	// which is what sha256sum prints. The path is relative to the file's root, with slashes; of a root that is a file, its base name. Lines are
	// ordered by path, byte by byte, within a root; roots follow each other in the order of Options. Files that are not read are left out. For
	// one directory it can be computed by
	//
	//	cd DIR && find -L . -type f -not -path '*/.*' \( -name '*.yaml' -o -name '*.yml' -o -name '*.json' \) |
	//		sed 's|^\./||' | LC_ALL=C sort | xargs -d '\n' sha256sum | sha256sum
	Digest string
	Files  int // how many files were read
}

// Loader reads its roots again and again, and remembers what it admitted. Loads run one at a time; all methods may be called
// concurrently.
type Loader struct {
	roots  []Root
	lim    limits
	settle settling
	keeper *keeper // nil: nothing is kept beyond this run
	// unsettled, of capacity 1, has a value after a load that met files being written; lossy is set while something cannot be read.
	unsettled chan struct{}
	lossy     atomic.Bool
	hints     hints

	mu     sync.Mutex
	memory memory
	// restored: what an earlier run kept was taken up.
	restored bool
}

// New returns a Loader that has not read anything yet.
func New(o Options) *Loader {
	return &Loader{
		roots: o.Roots, lim: defaultLimits, settle: defaultSettling, keeper: newKeeper(o), unsettled: make(chan struct{}, 1), memory: newMemory(),
		hints: hints{doubts: make(chan struct{}, 1)},
	}
}

// Load looks at everything below all roots. Broken files and objects are Problems of the result and no error. An error means that ctx ended, or that a
// root was missing or unreadable at the first load, and no earlier run had kept anything of it: then nothing is known that could stay in force.
func (l *Loader) Load(ctx context.Context) (*Result, error) {
	return l.load(func(map[string][]dirPlace) (*Result, error) { return l.look(ctx) })
}

// load takes the hints for a load, nil for everything, and gives none up that it did not use.
func (l *Loader) load(read func(told map[string][]dirPlace) (*Result, error)) (*Result, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.takeUp()
	result, err := read(l.hints.take())
	if err != nil {
		l.hints.all()
	}
	return result, err
}

// look reads all roots, and merges what it finds.
func (l *Loader) look(ctx context.Context) (*Result, error) {
	r, err := l.readRoots(ctx)
	if err == nil && l.misses(r) {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(l.settle.gone):
			r, err = l.readRoots(ctx)
		}
	}
	if err != nil {
		return nil, err
	}
	files, err := l.parse(ctx, r.files)
	if err != nil {
		return nil, err
	}
	if len(r.files) == 0 && len(r.lost) == 0 {
		for _, root := range l.roots {
			r.problems = append(r.problems, object.Problem{
				Severity: object.Warning, Position: object.Position{File: root.Path},
				Message: "holds no *.yaml, *.yml or *.json file: nothing is served",
			})
		}
	}
	slices.SortStableFunc(files, compareFiles)
	result, err := l.memory.merge(ctx, l.roots, files, nil, r.lost, r.problems)
	if err != nil {
		return nil, err
	}
	l.memory.single = r.single
	l.conclude(r)
	return result, nil
}

// readRoots reads all roots.
func (l *Loader) readRoots(ctx context.Context) (*reader, error) {
	r := l.reader()
	r.confined, r.seen, r.found = confinements(l.roots), seenBy(l.roots), make(listings, len(l.memory.listings))
	for i, root := range l.roots {
		if err := r.readRoot(ctx, i, root); err != nil {
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			if !l.memory.started && !l.memory.holds(i) {
				return nil, err
			}
			r.lose(i, root, err)
		}
	}
	return r, r.settled(ctx)
}

// misses reports whether a file has gone since the last load. What cannot be read has not gone.
func (l *Loader) misses(r *reader) bool {
	if l.settle.gone == 0 || len(r.lost) > 0 {
		return false
	}
	there := 0
	for _, f := range r.files {
		if l.memory.known(f.name) {
			there++
		}
	}
	return there < len(l.memory.files)
}

// reader is for a load that begins.
func (l *Loader) reader() *reader {
	return &reader{lim: l.lim, settle: l.settle, deadline: time.Now().Add(l.settle.limit), known: l.memory.known, before: l.memory.listings}
}

// conclude remembers what a load has read, once it is merged.
func (l *Loader) conclude(r *reader) {
	l.memory.listings, l.memory.bytes = r.found, r.bytes
	l.lossy.Store(len(r.lost) > 0)
	if r.unsettled {
		l.hints.all()
		notify(l.unsettled)
	}
	if l.keeper != nil {
		l.keeper.hand(l.memory.force)
	}
}

// seenBy is where a reader notes the files that it has seen, if several roots may have the same ones.
func seenBy(roots []Root) map[string]bool {
	if len(roots) == 1 {
		return nil
	}
	return map[string]bool{}
}

// takeUp makes what an earlier run kept the state before the first load.
func (l *Loader) takeUp() {
	if l.keeper == nil || l.restored {
		return
	}
	l.restored = true
	l.memory.force = l.keeper.restore()
	for _, f := range l.memory.force {
		if f.record.proven {
			l.memory.proven[f.record.raw] = true
		}
	}
}

// Parse admits the objects of one text as if it were a file of that name, alone in a directory. It is for tests, and for texts that do not come
// from files.
func Parse(name string, data []byte) ([]*object.Object, []object.Problem) {
	l := New(Options{Roots: []Root{{Path: name}}})
	files, err := l.parse(context.Background(), []*file{{name: name, rel: name, data: data, sum: sha256.Sum256(data)}})
	if err != nil {
		panic(fmt.Sprintf("config: a load without a deadline ended: %v", err))
	}
	result, err := l.memory.merge(context.Background(), l.roots, files, nil, nil, nil)
	if err != nil {
		panic(fmt.Sprintf("config: a merge without a deadline ended: %v", err))
	}
	objects := make([]*object.Object, 0, result.Objects.Len())
	for _, k := range result.Objects.Keys() {
		objects = append(objects, result.Objects.Get(k))
	}
	return objects, result.Problems
}
