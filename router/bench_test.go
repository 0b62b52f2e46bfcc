// Benchmarks of lookups in small and large tables, and that a lookup does not allocate.

package router

import (
	"fmt"
	"strconv"
	"testing"
)

// manyPaths makes n prefixes under one hostname, manyHosts n hostnames with one prefix each, manyHeaders n routes that differ in the value of one header.
func manyPaths(n int) []Route[int] {
	routes := make([]Route[int], n)
	for i := range routes {
		routes[i] = Route[int]{Hostname: "h.example.com", Match: Match{Path: "/team" + strconv.Itoa(i%100) + "/service" + strconv.Itoa(i)}, Order: i, Value: i}
	}
	return routes
}

func manyHosts(n int) []Route[int] {
	routes := make([]Route[int], n)
	for i := range routes {
		routes[i] = Route[int]{Hostname: "h" + strconv.Itoa(i) + ".example.com", Match: Match{Path: "/"}, Order: i, Value: i}
	}
	return routes
}

func manyHeaders(n int) []Route[int] {
	routes := make([]Route[int], n)
	for i := range routes {
		routes[i] = Route[int]{Hostname: "h", Match: Match{Path: "/a", Headers: []Predicate{{Name: "X-Tenant", Value: strconv.Itoa(i)}}}, Order: i, Value: i}
	}
	return routes
}

func manyPatterns(n int) []Route[int] {
	routes := make([]Route[int], n)
	for i := range routes {
		routes[i] = Route[int]{Hostname: "h", Match: Match{PathType: RegularExpression, Path: "/service" + strconv.Itoa(i) + "/items/[0-9]+"}, Order: i, Value: i}
	}
	return routes
}

// workload is a table with requests that are found in it.
type workload struct {
	name   string
	routes []Route[int]
	inputs []*Input
}

func workloads(sizes ...int) []workload {
	// plain finds its header without joining, as messages do in the usual case.
	header := func(value string) Header { return plain{"x-tenant", []byte(value)} }
	var list []workload
	for _, n := range sizes {
		w := []workload{
			{name: "paths", routes: manyPaths(n)},
			{name: "hosts", routes: manyHosts(n)},
			{name: "headers", routes: manyHeaders(n)},
			{name: "patterns", routes: manyPatterns(min(n, 1000))},
		}
		for k := range 256 {
			i := (k * 7919) % n
			w[0].inputs = append(w[0].inputs, request{host: "h.example.com", path: w[0].routes[i].Match.Path + "/x", method: "GET"}.input())
			w[1].inputs = append(w[1].inputs, request{host: w[1].routes[i].Hostname, path: "/x/y", method: "GET"}.input())
			in := request{host: "h", path: "/a/x", method: "GET"}.input()
			in.Header = header(strconv.Itoa(i))
			w[2].inputs = append(w[2].inputs, in)
			w[3].inputs = append(w[3].inputs, request{host: "h", path: "/service" + strconv.Itoa(i%min(n, 1000)) + "/items/42"}.input())
		}
		for i := range w {
			w[i].name += "=" + strconv.Itoa(len(w[i].routes))
		}
		list = append(list, w...)
	}
	return list
}

type plain struct {
	name  string
	value []byte
}

func (p plain) Combined(name string, _ []byte) ([]byte, bool) {
	return p.value, name == p.name
}

func TestLookupDoesNotAllocate(t *testing.T) {
	list := workloads(1, 10, 1000)
	joined := workload{name: "joined headers and escaped queries", routes: []Route[int]{
		{Match: Match{Path: "/a", Query: []Predicate{{Name: "p q", Value: "x y"}}, Headers: []Predicate{{Name: "h", Value: "1, 2"}, {Name: "g", Value: ".*", Regex: true}}}},
	}}
	joined.inputs = append(joined.inputs, request{path: "/a", query: "o=%20&p%20q=x+y", header: fields{{"h", "1"}, {"g", "x"}, {"H", "2"}}}.input())
	rpcs := workload{name: "calls", routes: []Route[int]{
		{Match: Match{PathType: GRPC, Call: Call{Service: "s", Method: "M"}, Headers: []Predicate{{Name: "h", Value: "1"}}}},
		{Match: Match{PathType: GRPC, Call: Call{Method: "M"}}},
		{Match: Match{PathType: GRPC, Call: Call{Service: "s.*", Regex: true}}},
	}}
	rpcs.inputs = append(rpcs.inputs, request{path: "/s/M", grpc: true}.input(), request{path: "/s.x/N"}.input(), request{path: "/t/M", grpc: true}.input())
	for _, w := range append(list, joined, rpcs) {
		table := mustNew(t, w.routes)
		for _, in := range w.inputs { // the first lookup with an Input may make its scratch space
			if _, ok := table.Lookup(in, nil); !ok {
				t.Fatalf("%s: %s %s not found", w.name, in.Host, in.Path)
			}
		}
		i := 0
		if n := testing.AllocsPerRun(500, func() {
			table.Lookup(w.inputs[i%len(w.inputs)], nil)
			i++
		}); n != 0 {
			t.Errorf("%s: %v allocations a lookup", w.name, n)
		}
	}
}

func BenchmarkLookup(b *testing.B) {
	for _, w := range workloads(1, 10, 1000, 100_000) {
		table := mustNew(b, w.routes)
		b.Run(w.name, func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if _, ok := table.Lookup(w.inputs[i%len(w.inputs)], nil); !ok {
					b.Fatal("not found")
				}
			}
		})
	}
}

func BenchmarkNew(b *testing.B) {
	for _, n := range []int{1000, 10_000, 100_000} {
		for _, w := range []struct {
			name   string
			routes []Route[int]
		}{{"paths", manyPaths(n)}, {"hosts", manyHosts(n)}, {"headers", manyHeaders(n)}} {
			b.Run(fmt.Sprintf("%s=%d", w.name, n), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if _, err := New(w.routes); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
