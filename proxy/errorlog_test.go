// The bound on log lines.

package proxy

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestErrorLogSummarisesFloods(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		e := newErrorLog(slog.New(slog.NewTextHandler(&out, nil)))
		flood, other := kind{labels{route: "default/shop"}, 503}, kind{labels{route: "default/tea"}, 503}
		allowed := 0
		for range 1000 {
			if e.allow(flood) {
				allowed++
			}
		}
		if allowed != logBurst {
			t.Errorf("%d lines of one kind, want %d", allowed, logBurst)
		}
		if !e.allow(other) {
			t.Error("one kind's flood silences another")
		}
		time.Sleep(logWindow + time.Millisecond)
		synctest.Wait()
		if !strings.Contains(out.String(), "route=default/shop status=503 count=995") || strings.Count(out.String(), "\n") != 1 {
			t.Errorf("summary: %s", &out)
		}
		if !e.allow(flood) {
			t.Error("silent after the window")
		}
		e.close()
	})
}

func TestErrorLogBoundsKinds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newErrorLog(slog.New(slog.DiscardHandler))
		lines := 0
		for status := range 10 * logKinds {
			if e.allow(kind{status: status + 1000}) {
				lines++
			}
		}
		if lines != logKinds+logBurst || len(e.windows) != logKinds+1 {
			t.Errorf("%d lines and %d kinds", lines, len(e.windows))
		}
		e.close()
	})
}

func TestErrorLogCloseTellsWhatItOwes(t *testing.T) {
	var out bytes.Buffer
	e := newErrorLog(slog.New(slog.NewTextHandler(&out, nil)))
	for range logBurst + 2 {
		e.allow(kind{status: 404})
	}
	e.close()
	if !strings.Contains(out.String(), "status=404 count=2") {
		t.Errorf("log: %s", &out)
	}
	if e.allow(kind{status: 404}) {
		t.Error("allowed after close")
	}
}
