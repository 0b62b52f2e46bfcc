// Settling: giving a write in progress time to end.
//
// A file that was written to a moment ago is left for the end of the load, and read once its last change is old enough or time is up. So looking at
// all others and waiting for it take no longer together than one of them.

package config

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"
)

// settling says how long to wait for a file that is being written.
type settling struct {
	// quiet is how old the last change of a file must be for it to count as written.
	quiet time.Duration
	// emptied is the same for a file that an earlier load has read and that is empty now. `helm template > routes.yaml` empties it first, and writes when
	// it knows what.
	emptied time.Duration
	// gone is how long a load waits before it believes that a file has gone: git and some editors delete a file before they write it anew.
	gone time.Duration
	// limit is how long one load may wait for files in all.
	limit time.Duration
}

var defaultSettling = settling{quiet: 20 * time.Millisecond, emptied: time.Second, gone: 100 * time.Millisecond, limit: 200 * time.Millisecond}

// young is a file that may still be being written.
type young struct {
	path path
	name string // for the operating system
	slot **stamped
}

// settled reads the files that were left because they were young. Meanwhile most have come of age.
func (r *reader) settled(ctx context.Context) error {
	for _, f := range r.young {
		for wait := r.try(f); wait > 0; wait = r.try(f) {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(wait):
			}
		}
	}
	r.young = nil
	return nil
}

// try reads a file, unless it should be given some time first and there is some.
func (r *reader) try(f young) (wait time.Duration) {
	data, st, wait, err := r.attempt(f)
	switch {
	case errors.Is(err, fs.ErrNotExist): // deleted since it was listed
		return 0
	case err != nil:
		r.fail(f.path, "%v", reason(err))
		return 0
	case wait == 0:
		r.whole(f, data, st)
		return 0
	case data == nil || r.hasTime(wait):
		return wait
	}
	r.unsettled = true
	if r.known(f.path.name) && !r.sumsOnly {
		r.take(&file{path: f.path, unsettled: true}, 0)
	} else {
		r.whole(f, data, stamp{})
	}
	return 0
}

// hasTime reports whether this load may wait that long.
func (r *reader) hasTime(wait time.Duration) bool { return time.Until(r.deadline) >= wait }

// rest is how long a file should be given to become whole. A time of change in the future comes from another machine's clock and says nothing.
func (r *reader) rest(f young, info os.FileInfo) time.Duration {
	quiet := r.settle.quiet
	if info.Size() == 0 && r.known(f.path.name) {
		quiet = max(quiet, r.settle.emptied)
	}
	if age := time.Since(info.ModTime()); age >= 0 && age < quiet {
		return quiet - age
	}
	return 0
}

var errNotRegular = errors.New("is not a regular file")

// attempt reads a file. If somebody is still writing it, wait is how long to wait before another attempt, and data is nil if it was left unread
// because there is time for that. Neither a change while it was read goes unnoticed, nor a file that an editor truncated a moment ago and has not filled
// again.
func (r *reader) attempt(of young) (data []byte, st stamp, wait time.Duration, err error) {
	f, err := os.OpenFile(of.name, openForReading, 0)
	if err != nil {
		return nil, st, 0, err
	}
	defer f.Close()
	before, err := f.Stat()
	if err == nil && !before.Mode().IsRegular() { // be it that a moment ago it was
		err = errNotRegular
	}
	if err != nil {
		return nil, st, 0, err
	}
	if wait := r.rest(of, before); wait > 0 && r.hasTime(wait) {
		return nil, st, wait, nil
	}
	st = stampOf(factsOf(before), time.Now())
	if before.Size() <= r.lim.fileBytes {
		data, err = readAll(f, before.Size(), r.lim.fileBytes)
	}
	if err != nil {
		return nil, st, 0, err
	}
	if before.Size() > r.lim.fileBytes || int64(len(data)) > r.lim.fileBytes {
		return nil, st, 0, tooLarge(r.lim)
	}
	after, err := f.Stat()
	if err != nil {
		return nil, st, 0, err
	}
	wait = r.rest(of, after)
	if after.Size() != before.Size() || !after.ModTime().Equal(before.ModTime()) || int64(len(data)) != after.Size() {
		wait = max(wait, time.Millisecond)
	}
	return data, st, wait, nil
}

func tooLarge(lim limits) error { return fmt.Errorf("is larger than %d MiB", lim.fileBytes>>20) }

// readAll reads what a file of about this size holds, and a byte more than the limit of one that is larger. The result is not nil.
func readAll(f io.Reader, size, limit int64) ([]byte, error) {
	var b bytes.Buffer
	b.Grow(int(size) + bytes.MinRead)
	_, err := b.ReadFrom(io.LimitReader(f, limit+1))
	return b.Bytes(), err
}
