// Package state keeps files in a directory from one run of the program to the next.
//
// Nothing that is read from there is taken on trust: each file carries a format, a version and a checksum, and one that was cut off, changed,
// or written by another program or version is an error of its own and never content. Files are replaced whole, by a rename, so that a reader
// sees the old or the new one. Several processes may write to one directory: the last of them decides about each file.
//
//	wicketgate-state admitted 1 9f86d081884c7d65…   first line: format, its version, SHA-256 of what follows
//	...
package state

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// ErrUnusable says that a file is there and is not what this program wrote, or not what this version of it understands.
var ErrUnusable = errors.New("is damaged, or was written by another version")

const (
	magic     = "wicketgate-state"
	temporary = ".tmp-"
	// abandoned is the age at which a temporary file belongs to no write that is still going on.
	abandoned = time.Hour
)

// Dir is a directory of files of one format. Its methods may be called concurrently.
type Dir struct {
	path string
	head string // what the first line begins with
}

// Open makes the directory, readable by its owner alone, unless it is there, and removes what broken-off writes left in it. The format is
// a word, and its version changes whenever what is written can no longer be read by what was there before.
func Open(path, format string, version int) (*Dir, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), temporary) {
			continue
		}
		if info, err := e.Info(); err == nil && time.Since(info.ModTime()) > abandoned {
			_ = os.Remove(filepath.Join(path, e.Name())) // another process may have been quicker
		}
	}
	return &Dir{path: path, head: fmt.Sprintf("%s %s %d ", magic, format, version)}, nil
}

// Read returns the content of a file. The error is fs.ErrNotExist if there is none, and ErrUnusable if it cannot be trusted.
func (d *Dir) Read(name string) ([]byte, error) {
	text, err := os.ReadFile(filepath.Join(d.path, name))
	if err != nil {
		return nil, err
	}
	content, ok := d.open(text)
	if !ok {
		return nil, fmt.Errorf("%s %w", filepath.Join(d.path, name), ErrUnusable)
	}
	return content, nil
}

// open takes the first line off a file and compares the checksum.
func (d *Dir) open(text []byte) (content []byte, ok bool) {
	line, content, ok := bytes.Cut(text, []byte("\n"))
	sum, mine := bytes.CutPrefix(line, []byte(d.head))
	return content, ok && mine && string(sum) == checksum(content)
}

func checksum(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

// Write replaces a file. It returns once the content is on the disk, so that after a loss of power there is the old or the new one. If it fails,
// the old one stays.
func (d *Dir) Write(name string, content []byte) (err error) {
	f, err := os.CreateTemp(d.path, temporary+"*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name()) // the first error says more
		}
	}()
	_, err = f.WriteString(d.head + checksum(content) + "\n")
	if err == nil {
		_, err = f.Write(content)
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), filepath.Join(d.path, name))
}

// Remove removes a file; that there is none is no error.
func (d *Dir) Remove(name string) error {
	if err := os.Remove(filepath.Join(d.path, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
