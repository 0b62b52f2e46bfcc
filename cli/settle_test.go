// Memory is given back when it is quiet, and a gateway at work is left alone.

package cli

import (
	"slices"
	"testing"
)

func TestMemoryIsGivenBackWhenItIsQuiet(t *testing.T) {
	const mb = 1 << 20
	var now footprint
	var given []int
	step := 0
	s := settler{read: func() footprint { return now }, giveBack: func() {
		given = append(given, step)
		now = footprint{collections: now.collections + 1, held: min(now.held, 60*mb), connections: now.connections}
	}}
	for i, c := range []footprint{
		{1, 40 * mb, 0, 0}, // it starts
		{1, 40 * mb, 0, 0}, // quiet: what the start left over goes
		{2, 40 * mb, 0, 0}, // quiet, and nothing has grown
		{2, 70 * mb, 0, 0}, // a storm: no collection yet, and 30 MiB more
		{3, 60 * mb, 0, 0},
		{9, 90 * mb, 0, 0},       // at work
		{20, 90 * mb, 0, 0},      // at work
		{20, 60 * mb, 0, 0},      // quiet, and no larger than before
		{21, 60 * mb, 9 * mb, 0}, // the runtime's own collection found that connections have gone
		{21, 60 * mb, 9 * mb, 0}, // and that stays unused
		{22, 60 * mb, 0, 9999},
		{23, 60 * mb, 0, 9999},
		{23, 60 * mb, 0, 9100}, // quiet, and hardly any connection has gone
		{23, 60 * mb, 0, 8000}, // many have gone: what they held is not known to be unused yet
		{24, 60 * mb, 0, 8000},
	} {
		step, now = i, c
		s.look()
	}
	if want := []int{1, 3, 3, 9, 13}; !slices.Equal(given, want) {
		t.Errorf("memory was given back at %v, want %v", given, want)
	}
}

func TestFootprintIsRead(t *testing.T) {
	f := readFootprint(7)
	if f.held < 1<<20 || f.unused > f.held || f.connections != 7 {
		t.Errorf("footprint %+v", f)
	}
}
