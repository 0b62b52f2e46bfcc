// Package policy has no code: its tests hold every other package to the rules that a compiler does not check, such as which
// package may import which.
package policy
