// Tables that share with the one before are what they would be without it.

package router

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// text prints a table.
func text(t testing.TB, table *Table[int]) string {
	t.Helper()
	var out strings.Builder
	if err := table.Print(&out, func(v int) string { return fmt.Sprint(v) }); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// checkJoin edits a list of routes again and again, by choices from data: routes come, go, change places, and are replaced.
func checkJoin(t testing.TB, data []byte) {
	p := &picker{data}
	var c Compiler[int]
	var list []*Compiled[int]
	var table *Table[int]
	made := map[*Compiled[int]]Route[int]{}
	for step := range 12 {
		for range 1 + p.n(4) {
			r := p.route(0)
			r.Value = len(made)
			one, err := c.Compile(r)
			if err != nil {
				t.Fatal(err)
			}
			made[one] = r
			at := p.n(len(list) + 1)
			switch p.n(4) {
			case 0:
				list = slices.Delete(slices.Clone(list), at, min(at+2, len(list)))
			case 1:
				if at < len(list) {
					list = slices.Clone(list)
					list[at], list[0] = list[0], list[at]
				}
			default:
				list = slices.Insert(slices.Clone(list), at, one)
			}
		}
		table = Join(table, list)
		routes := make([]Route[int], len(list))
		for i, one := range list {
			routes[i] = made[one]
			routes[i].Order = i
		}
		fresh, err := New(routes)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := text(t, table), text(t, fresh); got != want || table.Len() != len(list) {
			t.Fatalf("step %d: joined\n%s\nmade anew\n%s", step, got, want)
		}
		for range 20 {
			r := p.request()
			got, _ := table.Lookup(r.input(), nil)
			if want, _ := fresh.Lookup(r.input(), nil); got != want {
				t.Fatalf("step %d: %+v: got route %d, want %d", step, r, got, want)
			}
		}
	}
}

func TestJoinIsTheSameWhateverWasBefore(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 8))
	for range 60 {
		data := make([]byte, 4000)
		for i := range data {
			data[i] = byte(random.Uint32())
		}
		checkJoin(t, data)
	}
}

// Of many routes that come and go at once nothing is looked at alone.
func TestJoinOfListsThatHaveLittleInCommon(t *testing.T) {
	random := rand.New(rand.NewPCG(9, 10))
	routes := append(manyHosts(300), manyPaths(300)...)
	all := compiled(t, routes)
	var table *Table[int]
	for range 20 {
		var list []*Compiled[int]
		var want []Route[int]
		for i, one := range all {
			if random.IntN(3) > 0 {
				list = append(list, one)
				want = append(want, routes[i])
			}
		}
		for i := range want {
			want[i].Order = i
		}
		table = Join(table, list)
		fresh, err := New(want)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := text(t, table), text(t, fresh); got != want {
			t.Fatalf("joined\n%s\nmade anew\n%s", got, want)
		}
	}
}

func FuzzJoin(f *testing.F) {
	f.Add([]byte("some routes come and some go, and the rest stays where it is"))
	f.Fuzz(func(t *testing.T, data []byte) { checkJoin(t, data) })
}

func TestJoinSharesWhatDidNotChange(t *testing.T) {
	list := compiled(t, manyHosts(10))
	first := Join(nil, list)
	edited := slices.Clone(list)
	edited[3] = compiled(t, manyHosts(4))[3]
	shared := 0
	for i, p := range Join(first, edited).groups {
		if p == first.groups[i] {
			shared++
		}
	}
	if shared != 9 {
		t.Errorf("%d of 10 hostnames are shared, want 9", shared)
	}
}

func compiled(t testing.TB, routes []Route[int]) []*Compiled[int] {
	t.Helper()
	var c Compiler[int]
	list := make([]*Compiled[int], len(routes))
	for i, r := range routes {
		one, err := c.Compile(r)
		if err != nil {
			t.Fatal(err)
		}
		list[i] = one
	}
	return list
}

// BenchmarkJoin is a table after an edit of one route.
func BenchmarkJoin(b *testing.B) {
	for _, w := range []struct {
		name   string
		routes []Route[int]
	}{{"paths", manyPaths(10_000)}, {"hosts", manyHosts(10_000)}, {"headers", manyHeaders(10_000)}} {
		b.Run(fmt.Sprintf("%s=%d", w.name, len(w.routes)), func(b *testing.B) {
			lists := [2][]*Compiled[int]{}
			lists[0] = compiled(b, w.routes)
			lists[1] = slices.Clone(lists[0])
			lists[1][17] = compiled(b, w.routes[17:18])[0]
			table := Join(nil, lists[0])
			b.ReportAllocs()
			for i := 1; b.Loop(); i++ {
				table = Join(table, lists[i&1])
			}
		})
	}
}
