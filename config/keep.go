// Keeping what is in force in the state directory, and taking it up again at the first load.

package config

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"github.com/wicketgate/wicketgate/object"
)

// Store keeps small files from one run of the program to the next: see state.Dir. Reading a file that is not there gives fs.ErrNotExist.
type Store interface {
	Read(name string) ([]byte, error)
	Write(name string, content []byte) error
	Remove(name string) error
}

const (
	// shards is over how many files the objects of a root are spread: of 10,000 objects an edit rewrites 40.
	shards = 256
	// keepPause is the least time between two rounds of writing, and keepRetry the time after one that failed.
	keepPause = time.Second
	keepRetry = time.Minute
)

// keeper writes what is in force to the store. Only Keep's goroutine uses what has no atomic type.
type keeper struct {
	store Store
	roots []Root
	log   *slog.Logger
	// latest is what the last load put in force; the map is never written to again.
	latest   atomic.Pointer[map[object.Key]inForce]
	changed  chan struct{} // capacity 1
	failures atomic.Uint64

	kept    map[object.Key]inForce // what the store holds; nil: nobody knows
	written map[string][32]byte    // SHA-256 of the files in the store
	failing bool
}

// newKeeper returns nil if there is no store.
func newKeeper(o Options) *keeper {
	if o.Store == nil {
		return nil
	}
	log := o.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &keeper{store: o.Store, roots: o.Roots, log: log, changed: make(chan struct{}, 1), written: map[string][32]byte{}}
}

// Keep writes what each load puts in force to Options.Store, soon after it, until ctx ends, and then once more. Nobody waits for it: what cannot
// be written is told once and tried again, and the loads go on. Without a store it returns at once.
func (l *Loader) Keep(ctx context.Context) {
	k := l.keeper
	if k == nil {
		return
	}
	for {
		var retry <-chan time.Time
		if k.failing {
			retry = time.After(keepRetry)
		}
		select {
		case <-ctx.Done():
			k.save()
			return
		case <-k.changed:
		case <-retry:
		}
		k.save()
		select {
		case <-ctx.Done():
		case <-time.After(keepPause):
		}
	}
}

// KeepFailures counts the rounds in which something could not be written to the store.
func (l *Loader) KeepFailures() uint64 {
	if l.keeper == nil {
		return 0
	}
	return l.keeper.failures.Load()
}

// hand gives the keeper what is in force. The map must not change any more.
func (k *keeper) hand(force map[object.Key]inForce) {
	k.latest.Store(&force)
	notify(k.changed)
}

// save writes the files whose objects changed. The first failure is logged, and that all is well again.
func (k *keeper) save() {
	latest := k.latest.Load()
	if latest == nil {
		return
	}
	force := *latest
	err := k.write(force, k.dirty(force))
	if err != nil {
		k.kept = nil
		k.failures.Add(1)
		if !k.failing {
			k.log.Warn("the state directory cannot be written; until it can, a restart knows only earlier versions", "error", err)
		}
	} else {
		k.kept = force
		if k.failing {
			k.log.Info("the state directory is written again")
		}
	}
	k.failing = err != nil
}

// dirty names the files that differ from what was written last.
func (k *keeper) dirty(force map[object.Key]inForce) map[string]bool {
	files := map[string]bool{}
	if k.kept == nil {
		for name := range k.written {
			files[name] = true
		}
	}
	for key, f := range force {
		before, ok := k.kept[key]
		if ok && before.object == f.object && before.path == f.path {
			continue
		}
		files[k.file(key, f.path.root)] = true
		if ok {
			files[k.file(key, before.path.root)] = true
		}
	}
	for key, f := range k.kept {
		if _, ok := force[key]; !ok {
			files[k.file(key, f.path.root)] = true
		}
	}
	return files
}

// write writes some files. One that fails does not keep the others from being written.
func (k *keeper) write(force map[object.Key]inForce, files map[string]bool) error {
	if len(files) == 0 {
		return nil
	}
	content := map[string][]object.Key{}
	for key, f := range force {
		if name := k.file(key, f.path.root); files[name] {
			content[name] = append(content[name], key)
		}
	}
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if err := k.writeFile(name, content[name], force); err != nil {
			errs = append(errs, err)
			if len(errs) == 3 { // the others would fail, too, and cost time
				break
			}
		}
	}
	return errors.Join(errs...)
}

func (k *keeper) writeFile(name string, keys []object.Key, force map[object.Key]inForce) error {
	if len(keys) == 0 {
		delete(k.written, name)
		return k.store.Remove(name)
	}
	slices.SortFunc(keys, object.Key.Compare)
	var b bytes.Buffer
	head, err := json.Marshal(recordHead{Root: absolute(k.roots[force[keys[0]].path.root]), Schemas: schemaDigest()})
	if err != nil {
		return err
	}
	b.Write(append(head, '\n'))
	for _, key := range keys {
		f := force[key]
		if err := appendRecord(&b, &f); err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
	}
	sum := sha256.Sum256(b.Bytes())
	if k.written[name] == sum {
		return nil
	}
	if err := k.store.Write(name, b.Bytes()); err != nil {
		return err
	}
	k.written[name] = sum
	return nil
}

// restore reads what an earlier run kept of the roots. What cannot be read is told and left out.
func (k *keeper) restore() map[object.Key]inForce {
	force := map[object.Key]inForce{}
	var errs []error
	for i, root := range k.roots {
		for shard := range shards {
			name := k.name(i, shard)
			text, err := k.store.Read(name)
			if err == nil {
				k.written[name] = sha256.Sum256(text)
				err = restoreFile(force, text, i, root)
			}
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				errs = append(errs, fmt.Errorf("%s: %w", name, err))
			}
		}
	}
	if len(errs) > 0 {
		k.log.Warn("some files of the state directory are not used; they are written anew", "files", len(errs), "first", errs[0])
	}
	return force
}

// restoreFile adds the objects of one file. Of two roots that had an object of the same key the earlier one keeps it.
func restoreFile(force map[object.Key]inForce, text []byte, i int, root Root) error {
	list, err := parseRecords(text, i, root)
	for _, r := range list {
		if _, ok := force[r.key]; !ok {
			force[r.key] = r.inForce()
		}
	}
	return err
}

// file is where an object of a root is kept.
func (k *keeper) file(key object.Key, root int) string {
	h := fnv.New32a()
	for _, part := range []string{key.Group, key.Kind, key.Namespace, key.Name} {
		_, _ = h.Write([]byte(part + "\n"))
	}
	return k.name(root, int(h.Sum32()%shards))
}

// name names a file after the root's place on this machine, not after its place among the roots.
func (k *keeper) name(root, shard int) string {
	sum := sha256.Sum256([]byte(absolute(k.roots[root])))
	return fmt.Sprintf("%s-%02x", hex.EncodeToString(sum[:8]), shard)
}

func absolute(r Root) string {
	if abs, err := filepath.Abs(r.Path); err == nil {
		return abs
	}
	return r.Path
}
