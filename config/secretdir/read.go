// Reading one directory, and looking again and again whether it has changed.

package secretdir

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
)

// content is what a directory holds.
type content struct {
	keys    map[string][]byte // by key of the Secret
	from    map[string]string // the files that the keys come from
	exposed []string          // private keys that everybody may read
}

// aliases are the names that certbot gives to what Secrets call otherwise.
var aliases = [...]struct{ file, key string }{
	{"fullchain.pem", corev1.TLSCertKey},
	{"privkey.pem", corev1.TLSPrivateKeyKey},
}

// read reads a directory. Kubernetes keeps the files of a mounted volume in a directory of their own that a link "..data" leads to, and turns
// the link to replace them all at once: so they are read from there, and all of one generation.
func read(dir string) (c content, err error) {
	if generation, err := filepath.EvalSymlinks(filepath.Join(dir, "..data")); err == nil {
		dir = generation
	}
	entries, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return c, errors.New("does not exist")
	case err != nil:
		return c, fmt.Errorf("cannot be read: %w", reason(err))
	}
	c.keys, c.from = map[string][]byte{}, map[string]string{}
	left := int64(corev1.MaxSecretSize)
	for _, e := range entries {
		name := e.Name()
		if strings.HasPrefix(name, ".") || len(validation.IsConfigMapKey(name)) > 0 {
			continue
		}
		data, mode, err := readFile(filepath.Join(dir, name), left)
		switch {
		case errors.Is(err, errNotRegular):
			continue
		case err != nil:
			return c, fmt.Errorf("%s: %w", name, err)
		}
		left -= int64(len(data))
		c.keys[name], c.from[name] = data, name
		if mode.Perm()&0o004 != 0 && runtime.GOOS != "windows" && bytes.Contains(data, []byte("PRIVATE KEY-----")) {
			c.exposed = append(c.exposed, name)
		}
	}
	for _, a := range aliases {
		if data, ok := c.keys[a.file]; ok && c.keys[a.key] == nil {
			c.keys[a.key], c.from[a.key] = data, a.file
			delete(c.keys, a.file)
		}
	}
	return c, nil
}

var errNotRegular = errors.New("is not a regular file")

// readFile reads a file, through links, of at most limit bytes.
func readFile(path string, limit int64) ([]byte, fs.FileMode, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, 0, fmt.Errorf("cannot be read: %w", reason(err))
	case !info.Mode().IsRegular():
		return nil, 0, errNotRegular
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, 0, fmt.Errorf("cannot be read: %w", reason(err))
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	switch {
	case err != nil:
		return nil, 0, fmt.Errorf("cannot be read: %w", reason(err))
	case int64(len(data)) > limit:
		return nil, 0, fmt.Errorf("the files are larger than %d KiB together, and a Secret is not", corev1.MaxSecretSize>>10)
	}
	return data, info.Mode(), nil
}

// reason drops the path from an error, since the position names it.
func reason(err error) error {
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		return pe.Err
	}
	return err
}

// Poll signals, on the channel it returns, that a directory holds something else than what the last Load saw. It looks every so often, because
// links lead to places that cannot all be watched, and never if every is 0. It ends with ctx; the channel is never closed.
func (r *Reader) Poll(ctx context.Context, every time.Duration) <-chan struct{} {
	signals := make(chan struct{}, 1)
	if every == 0 || len(r.dirs) == 0 && len(r.roots) == 0 {
		return signals
	}
	go func() {
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			if r.differs() {
				select {
				case signals <- struct{}{}:
				default:
				}
			}
		}
	}()
	return signals
}
