// Weighted balancing: exact over a cycle, even within it, whoever asks.

package proxy

import (
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

func TestBalancerIsExactOverACycle(t *testing.T) {
	for name, weights := range map[string][]int32{
		"equal":                      {1, 1},
		"conformance":                {70, 30, 0},
		"only the last has weight":   {0, 0, 7},
		"not reducible":              {97, 1, 2},
		"sixteen":                    {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16},
		"largest table":              {4095, 1},
		"beyond the table":           {4096, 1},
		"a millionth":                {999999, 1},
		"large and equal":            {1000000, 1000000, 1000000},
		"large, none in the middle":  {300007, 0, 700001},
		"large with many backendRef": {99991, 3, 5, 7, 11, 13},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBalancer(weights)
			got := make([]uint64, len(weights))
			for range b.sum {
				got[b.pick()]++
			}
			total := uint64(0)
			for _, w := range weights {
				total += uint64(w)
			}
			for i, w := range weights {
				if want := uint64(w) * b.sum / total; got[i] != want {
					t.Errorf("backendRef %d with weight %d got %d of %d requests, want %d", i, w, got[i], b.sum, want)
				}
			}
		})
	}
}

func TestBalancerInterleaves(t *testing.T) {
	b := newBalancer([]int32{5, 1, 1})
	var got strings.Builder
	for range 14 {
		got.WriteByte("abc"[b.pick()])
	}
	if want := "aabacaaaabacaa"; got.String() != want {
		t.Errorf("order is %s, want %s", got.String(), want)
	}
}

// At every moment each backendRef has had nearly its share: the promise that makes a canary's load even.
func TestBalancerKeepsCloseToTheShares(t *testing.T) {
	for name, c := range map[string]struct {
		weights []int32
		off     float64
	}{
		"table":  {[]int32{90, 9, 1}, 1.01},
		"stride": {[]int32{500000, 300001, 200002}, 4},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBalancer(c.weights)
			got := make([]float64, len(c.weights))
			for n := 1; n <= 5000; n++ {
				got[b.pick()]++
				total := 0.0
				for _, w := range c.weights {
					total += float64(w)
				}
				for i, w := range c.weights {
					if ideal := float64(w) / total * float64(n); math.Abs(got[i]-ideal) > c.off {
						t.Fatalf("after %d requests backendRef %d had %v, its share is %.2f", n, i, got[i], ideal)
					}
				}
			}
		})
	}
}

func TestBalancerIsExactWhenManyAsk(t *testing.T) {
	b := newBalancer([]int32{7, 2, 1})
	var got [3]atomic.Int64
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 1000 {
				got[b.pick()].Add(1)
			}
		})
	}
	wg.Wait()
	if got[0].Load() != 5600 || got[1].Load() != 1600 || got[2].Load() != 800 {
		t.Errorf("shares of 8000 are %d, %d, %d, want 5600, 1600, 800", got[0].Load(), got[1].Load(), got[2].Load())
	}
}

func TestBalancerWithoutWeights(t *testing.T) {
	if newBalancer(nil) != nil || newBalancer([]int32{0, 0}) != nil {
		t.Error("a balancer with nothing to choose from")
	}
}
