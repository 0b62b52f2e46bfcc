// What is read is what was written, or an error.

package state

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

func open(t testing.TB, path string) *Dir {
	t.Helper()
	d, err := Open(path, "test", 1)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestWhatWasWrittenIsRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "deep", "state")
	for _, content := range []string{"one", "two\nlines\n", ""} {
		if err := open(t, path).Write("file", []byte(content)); err != nil {
			t.Fatal(err)
		}
		if got, err := open(t, path).Read("file"); err != nil || string(got) != content {
			t.Errorf("%q, %v; want %q", got, err, content)
		}
	}
	if _, err := open(t, path).Read("other"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
	if err := errors.Join(open(t, path).Remove("file"), open(t, path).Remove("file")); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(path); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

func TestNothingElseIsTakenOnTrust(t *testing.T) {
	path := t.TempDir()
	d := open(t, path)
	if err := d.Write("file", []byte("some content")); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(filepath.Join(path, "file"))
	if err != nil {
		t.Fatal(err)
	}
	flipped := bytes.Clone(whole)
	flipped[len(flipped)-1] ^= 1
	for name, text := range map[string][]byte{
		"empty": nil, "cut off": whole[:len(whole)-3], "only its head": whole[:20], "a bit flipped": flipped, "longer": append(bytes.Clone(whole), 'x'),
		"foreign": []byte("SQLite format 3\x00"), "zeros": make([]byte, 4096),
	} {
		if err := os.WriteFile(filepath.Join(path, "file"), text, 0o600); err != nil {
			t.Fatal(err)
		}
		if content, err := d.Read("file"); !errors.Is(err, ErrUnusable) {
			t.Errorf("%s: read %q, %v", name, content, err)
		}
	}
	if err := d.Write("file", []byte("anew")); err != nil {
		t.Fatal(err)
	}
	next, err := Open(path, "test", 2)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := next.Read("file"); !errors.Is(err, ErrUnusable) {
		t.Errorf("another version of the format: %v", err)
	}
}

func TestConcurrentWritersLeaveOneWholeFile(t *testing.T) {
	path := t.TempDir()
	var wg sync.WaitGroup
	for i := range 4 { // as four processes would: each has a Dir of its own
		d := open(t, path)
		wg.Go(func() {
			for range 20 {
				if err := d.Write("file", bytes.Repeat([]byte{byte('a' + i)}, 10_000)); err != nil {
					t.Error(err)
				}
				if content, err := d.Read("file"); err != nil || len(bytes.Trim(content, string(content[:1]))) > 0 {
					t.Errorf("read a mixture: %v", err)
				}
			}
		})
	}
	wg.Wait()
}

func TestLeftoversOfBrokenOffWritesAreRemoved(t *testing.T) {
	path := t.TempDir()
	old, young := filepath.Join(path, temporary+"1"), filepath.Join(path, temporary+"2")
	for _, name := range []string{old, young} {
		if err := os.WriteFile(name, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chtimes(old, time.Time{}, time.Now().Add(-2*abandoned)); err != nil {
		t.Fatal(err)
	}
	open(t, path)
	if _, err := os.Stat(old); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the old one: %v", err)
	}
	if _, err := os.Stat(young); err != nil {
		t.Errorf("the one that may be in use: %v", err)
	}
}

// FuzzOpen: no text that this program did not write is taken for content.
func FuzzOpen(f *testing.F) {
	d := &Dir{head: magic + " test 1 "}
	f.Add([]byte(d.head + checksum([]byte("x")) + "\nx"))
	f.Add([]byte(""))
	f.Fuzz(func(t *testing.T, text []byte) {
		content, ok := d.open(text)
		if ok && string(text) != d.head+checksum(content)+"\n"+string(content) {
			t.Errorf("took %q for content", text)
		}
	})
}
