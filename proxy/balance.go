// Weighted balancing between the backendRefs of a rule.

package proxy

import (
	"math/bits"
	"slices"
	"sync/atomic"
)

// balancer spreads requests over backendRefs in exact proportion to their weights: of every W consecutive requests, W being the sum
// of the weights divided by their greatest common divisor, each backendRef gets exactly its weight's share, whichever goroutines ask.
// All that requests share is one counter.
//
// Up to tableSize the order is that of smooth weighted round-robin, computed once. Weights 5, 1, 1 give
//
//	a a b a c a a
//
// and not five requests for a in a row. Beyond it (weights of 999999 and 1) the cycle is not stored: request n takes position
// n*stride mod W of the line on which each backendRef owns as many positions as it has weight. stride has no divisor in common with W, so a
// cycle visits every position once; it is near W divided by the golden ratio, so neighbours in time are far apart on the line.
type balancer struct {
	next    atomic.Uint64
	weights []int32 // as given
	// table is the cycle, if it is short; else ends holds where on the line each backendRef's positions end.
	table  []uint8
	ends   []uint64
	sum    uint64
	stride uint64
}

// tableSize bounds the stored cycles: a rule holds at most so many bytes for its weights.
const tableSize = 4096

// newBalancer returns a balancer over weights, of which none is negative and at most 256 are given, or nil if all are 0.
func newBalancer(weights []int32) *balancer {
	var divisor, sum uint64
	for _, w := range weights {
		divisor = gcd(divisor, uint64(w))
	}
	if divisor == 0 {
		return nil
	}
	ends := make([]uint64, len(weights))
	for i, w := range weights {
		sum += uint64(w) / divisor
		ends[i] = sum
	}
	b := &balancer{weights: slices.Clone(weights), sum: sum}
	if sum <= tableSize {
		b.table = smooth(ends)
		return b
	}
	b.ends, b.stride = ends, coprimeNear(sum, uint64(float64(sum)*0.6180339887498949))
	return b
}

// pick returns the index of the backendRef that gets the next request.
func (b *balancer) pick() int {
	n := (b.next.Add(1) - 1) % b.sum
	if b.table != nil {
		return int(b.table[n])
	}
	hi, lo := bits.Mul64(n, b.stride)
	at := bits.Rem64(hi, lo, b.sum)
	for i, end := range b.ends {
		if at < end {
			return i
		}
	}
	return len(b.ends) - 1
}

// smooth runs smooth weighted round-robin through one cycle: each turn every candidate gains its weight, the richest is taken (the first of
// equals) and pays the sum.
func smooth(ends []uint64) []uint8 {
	sum := int64(ends[len(ends)-1])
	credit := make([]int64, len(ends))
	cycle := make([]uint8, sum)
	for turn := range cycle {
		best, start := -1, uint64(0)
		for i, end := range ends {
			weight := int64(end - start)
			start = end
			credit[i] += weight
			if weight > 0 && (best < 0 || credit[i] > credit[best]) {
				best = i
			}
		}
		credit[best] -= sum
		cycle[turn] = uint8(best)
	}
	return cycle
}

// coprimeNear is the smallest number from near upwards without a divisor in common with n.
func coprimeNear(n, near uint64) uint64 {
	for gcd(n, near) != 1 {
		near++
	}
	return near
}

func gcd(a, b uint64) uint64 {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}
