// Tests of the debouncing, in fake time.

package config

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

func TestDebouncing(t *testing.T) {
	ms := time.Millisecond
	d := debouncing{quiet: 50 * ms, limit: 150 * ms}
	for _, c := range []struct {
		name   string
		events []time.Duration // after the start
		want   []time.Duration
	}{
		{"one event", []time.Duration{0}, []time.Duration{50 * ms}},
		{"a burst", []time.Duration{0, 20 * ms, 40 * ms}, []time.Duration{90 * ms}},
		{"two bursts", []time.Duration{0, 100 * ms}, []time.Duration{50 * ms, 150 * ms}},
		{"events without end", []time.Duration{0, 40 * ms, 80 * ms, 120 * ms, 160 * ms, 200 * ms}, []time.Duration{150 * ms, 250 * ms}},
	} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(context.Background())
			events := make(chan struct{}, 1)
			start := time.Now()
			var got []time.Duration
			go d.run(ctx, events, func() { got = append(got, time.Since(start)) })
			for _, at := range c.events {
				time.Sleep(at - time.Since(start))
				notify(events)
				synctest.Wait()
			}
			time.Sleep(time.Second)
			cancel()
			synctest.Wait()
			if !slices.Equal(got, c.want) {
				t.Errorf("%s: %v, want %v", c.name, got, c.want)
			}
		})
	}
}

func TestDebouncingEndsWithItsEvents(t *testing.T) {
	events := make(chan struct{})
	close(events)
	defaultDebouncing.run(context.Background(), events, func() { t.Error("a signal") })
}
