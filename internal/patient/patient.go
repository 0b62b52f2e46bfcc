// Package patient is how tests wait for what happens beside them: for as long as a busy machine may need, and no longer than it takes.
package patient

import (
	"fmt"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// Limit is how long anything may take that happens at once on an idle machine.
const Limit = time.Minute

// Until waits until something is so, and fails the test if that never happens.
func Until(t testing.TB, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(Limit); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}

// Main runs a package's tests, then waits until all goroutines have ended, and ends the process.
func Main(m *testing.M) {
	code := m.Run()
	if code == 0 {
		if err := leaked(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code) //nolint:forbidigo // as every TestMain does
}

// NoLeak waits until all goroutines have ended but those that the options leave out.
func NoLeak(t testing.TB, options ...goleak.Option) {
	t.Helper()
	if err := leaked(options...); err != nil {
		t.Error(err)
	}
}

// leaked is goleak.Find, which gives up after half a second.
func leaked(options ...goleak.Option) (err error) {
	for end := time.Now().Add(Limit); ; {
		if err = goleak.Find(options...); err == nil || time.Now().After(end) {
			return err
		}
	}
}
