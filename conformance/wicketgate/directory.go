// The directory: one file for each object.

package wicketgate

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"

	"sigs.k8s.io/yaml"
)

// directory is safe for concurrent use.
type directory struct {
	path   string
	served atomic.Int64 // the newest revision that is known to be served

	mu      sync.Mutex
	written int64               // counts the writes
	files   map[string][32]byte // the sums of the files, by name
}

// Write stores an object in the file of its name, which may be anything: object names can be longer than file names.
func (d *directory) Write(name string, object map[string]any) error {
	text, err := yaml.Marshal(object)
	if err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.written++
	file := fileName(name)
	d.files[file] = sha256.Sum256(text)
	hidden := filepath.Join(d.path, ".new")
	if err := os.WriteFile(hidden, text, 0o600); err != nil {
		return err
	}
	return os.Rename(hidden, filepath.Join(d.path, file))
}

// Remove deletes the file of an object. It is no error if there is none.
func (d *directory) Remove(name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.written++
	file := fileName(name)
	delete(d.files, file)
	if err := os.Remove(filepath.Join(d.path, file)); err != nil && !os.IsNotExist(err) {
		return err
	}
	return nil
}

func fileName(name string) string {
	sum := sha256.Sum256([]byte(name))
	return hex.EncodeToString(sum[:16]) + ".yaml"
}

// revision counts the writes so far.
func (d *directory) revision() int64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.written
}

// digest returns the digest by which the gateway names the files as they are now (the sum of what sha256sum prints for them, in the order of
// their paths), and the revision that it belongs to.
func (d *directory) digest() (string, int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	lines := sha256.New()
	for _, file := range slices.Sorted(maps.Keys(d.files)) {
		fmt.Fprintf(lines, "%x  %s\n", d.files[file], file)
	}
	return hex.EncodeToString(lines.Sum(nil)), d.written
}
