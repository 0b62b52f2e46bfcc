//go:build linux

// Medians and quartiles of few samples.

package main

import (
	"math"
	"slices"
)

// quantile returns the q-quantile (0 to 1) with linear interpolation between neighbours; NaN of nothing.
//
// For example, of 1 2 3 4 the quartile 0.25 lies at position 0.75: a quarter before 2, which is 1.75.
func quantile(samples []float64, q float64) float64 {
	if len(samples) == 0 {
		return math.NaN()
	}
	s := slices.Sorted(slices.Values(samples))
	at := q * float64(len(s)-1)
	low := int(at)
	if low+1 >= len(s) {
		return s[len(s)-1]
	}
	return s[low] + (at-float64(low))*(s[low+1]-s[low])
}

// ratios divides each round's figure by the reference's in the same round.
func ratios(of, reference []sample) []float64 {
	var list []float64
	for i := range min(len(of), len(reference)) {
		if reference[i].CPU > 0 {
			list = append(list, of[i].CPU/reference[i].CPU)
		}
	}
	return list
}

// column picks one figure out of the samples.
func column(samples []sample, figure func(sample) float64) []float64 {
	list := make([]float64, len(samples))
	for i, s := range samples {
		list[i] = figure(s)
	}
	return list
}
