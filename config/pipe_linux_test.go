// Pipes in the place of files.

package config

import (
	"context"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/wicketgate/wicketgate/internal/patient"
	"github.com/wicketgate/wicketgate/object"
)

// Nobody may hold up all loads for ever by putting a pipe where a file was when the directory was listed.
func TestAPipeIsNotWaitedFor(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "a.yaml")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	done := make(chan *Result, 1)
	go func() {
		result, err := New(Options{Roots: []Root{{Path: pipe}}}).Load(context.Background())
		if err != nil {
			t.Error(err)
		}
		done <- result
	}()
	var result *Result
	select {
	case result = <-done:
	case <-time.After(patient.Limit):
		t.Fatal("a load waits for somebody to write into a pipe")
	}
	if len(result.Problems) != 1 || result.Problems[0].Severity != object.Error || result.Problems[0].Message != "is not a regular file" {
		t.Errorf("problems: %v", result.Problems)
	}
}
