// Loads that ask only for what may have changed find what loads find that read everything.

package config

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// trust makes the stamps of the last load prove something at once. What changes from then on must have a later time: see tick.
func trust(l *Loader) {
	for _, d := range l.memory.listings {
		d.stamp.old = true
		for _, f := range d.stamps {
			if f != nil {
				f.stamp.old = true
			}
		}
	}
}

// tick waits until what is written has a later time than everything that was written before: file systems count in steps.
func tick(t *testing.T, dir string) {
	t.Helper()
	name := filepath.Join(dir, "tick")
	now := func() int64 {
		if err := os.WriteFile(name, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		f, _ := factsAt(name)
		return max(f.modified, f.changed)
	}
	for begun := now(); now() == begun; {
	}
}

func TestListingsHideNothing(t *testing.T) {
	for seed := range uint64(6) {
		random := rand.New(rand.NewPCG(seed, 3))
		clock, dir := t.TempDir(), t.TempDir()
		roots := []Root{{Path: dir}}
		if seed%2 == 1 { // one in the other, and confined
			roots = append(roots, Root{Path: filepath.Join(dir, "b"), Namespaces: []string{"default"}})
			write(t, filepath.Join(dir, "b", "0.yaml"), randomFile(random))
		}
		one, all := eager(Options{Roots: roots}), eager(Options{Roots: roots})
		for step := range 40 {
			for range random.IntN(3) {
				disturb(t, random, dir, step)
			}
			a, err := one.Load(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			expectAll(t, fmt.Sprintf("seed %d, step %d: with listings", seed, step), a, all)
			trust(one)
			tick(t, clock)
		}
	}
}

// expectAll fails the test unless a result is what a Loader finds that takes nothing for known, which it returns.
func expectAll(t *testing.T, how string, result *Result, all *Loader) *Result {
	t.Helper()
	all.memory.listings = nil
	found, err := all.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got, want := describeResult(result), describeResult(found); got != want {
		t.Fatalf("%s\n%s\nwithout\n%s", how, got, want)
	}
	return found
}

// disturb changes something in a directory, as editors, git and Kubernetes do.
func disturb(t *testing.T, random *rand.Rand, dir string, step int) {
	t.Helper()
	below := filepath.Join(dir, []string{".", "a", "b", "a/c"}[random.IntN(4)])
	name := filepath.Join(below, fmt.Sprintf("%d.yaml", random.IntN(4)))
	text := randomFile(random)
	if text == "" {
		text = "# nothing"
	}
	text += "\n#" + strings.Repeat("x", step) + "\n"
	switch random.IntN(6) {
	case 0:
		_ = os.Remove(name)
	case 1: // by renaming
		write(t, name+".new", text)
		_ = os.RemoveAll(name)
		if err := os.Rename(name+".new", name); err != nil {
			t.Fatal(err)
		}
	case 2: // a link in place of a file
		write(t, filepath.Join(dir, ".data", fmt.Sprint(step)), text)
		_ = os.Remove(name)
		if err := os.MkdirAll(below, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(filepath.Join(dir, ".data", fmt.Sprint(step)), name); err != nil {
			t.Skip(err)
		}
	case 3:
		if below != dir {
			_ = os.RemoveAll(filepath.Join(dir, "a"))
		}
	default:
		_ = os.Remove(name + ".new")
		write(t, name, text)
	}
}

// TestPollSeesWhatNoTimeTells: a file system whose times do not change with the content.
func TestPollSeesWhatNoTimeTells(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "a.yaml")
	write(t, name, "apiVersion: v1\nkind: Namespace\nmetadata: {name: one}\n")
	l := eager(Options{Roots: []Root{{Path: dir}}})
	load := func() string {
		r, err := l.Load(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(r.Objects.Keys())
	}
	before := load()
	write(t, name, "apiVersion: v1\nkind: Namespace\nmetadata: {name: two}\n")
	trust(l)
	for _, d := range l.memory.listings {
		d.stamps[0].stamp.facts, _ = factsAt(name)
	}
	if got := load(); got != before {
		t.Fatalf("%s is there: the times are no reason to read it", got)
	}
	if !l.differs(t.Context()) {
		t.Fatal("the poll finds nothing")
	}
	if got := load(); got == before {
		t.Errorf("%s is there after the poll", got)
	}
}
