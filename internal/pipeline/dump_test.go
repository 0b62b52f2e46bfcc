// Everything that is reachable from a compiled snapshot and the routes that it was made of, as text: what the data plane knows. Two snapshots with equal dumps serve the same.
//
// The objects of the files are left out wherever they are pointed to (types of Kubernetes and of the Gateway API): they are what was asked for, not
// what came of it. So a field shows in a dump only if a stage did something with it.

package pipeline

import (
	"crypto/sha256"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/wicketgate/wicketgate/gateway"
	"github.com/wicketgate/wicketgate/proxy"
)

// dumper writes values; every pointer is followed once.
type dumper struct {
	out  *strings.Builder
	seen map[target]int
}

// target is what a pointer points to: a struct and its first field have one address.
type target struct {
	address uintptr
	of      reflect.Type
}

func dump(s *proxy.Snapshot, g *gateway.Graph) string {
	d := &dumper{out: &strings.Builder{}, seen: map[target]int{}}
	d.value(reflect.ValueOf(s))
	for l := range g.Listeners() { // streams and packets have their weights in functions, where nobody can look
		d.value(reflect.ValueOf(g.Attached[l].Routes))
	}
	return d.out.String()
}

// inputs are packages whose types are what was asked for, or machinery that has nothing to do with it.
var inputs = []string{"k8s.io/", "sigs.k8s.io/", "sync.", "sync/atomic.", "log/slog.", module + "object.Object", module + "object.Problem", module + "object.Position"}

// isInput says whether a value is left out. Plain values that stages copied out of objects are not.
func isInput(v reflect.Value) bool {
	if k := v.Kind(); k != reflect.Struct && k != reflect.Func && k != reflect.Interface {
		return false
	}
	name := v.Type().PkgPath() + "." + v.Type().Name()
	return slices.ContainsFunc(inputs, func(p string) bool { return strings.HasPrefix(name, p) })
}

const module = "github.com/wicketgate/wicketgate/"

// passing are fields that differ from load to load although nothing does: counters, clocks, numbers of generations; and faults and
// conditions, of which statuses tell; what is kept for the next Compile; and At, where a route stands.
var passing = []string{"At", "generation", "life", "series", "unmatched", "registry", "faults", "Conditions", "attached", "held", "balancers", "began"}

func (d *dumper) value(v reflect.Value) {
	if !v.IsValid() {
		return
	}
	if isInput(v) {
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		d.pointer(v)
	case reflect.Interface:
		d.value(v.Elem())
	case reflect.Struct:
		d.structure(v)
	case reflect.Map:
		d.entries(v)
	case reflect.Slice, reflect.Array:
		d.list(v)
	case reflect.Func, reflect.Chan, reflect.UnsafePointer, reflect.Uintptr:
	default:
		fmt.Fprintf(d.out, "%v ", v)
	}
}

func (d *dumper) pointer(v reflect.Value) {
	if v.IsNil() {
		d.out.WriteString("nil ")
		return
	}
	to := target{v.Pointer(), v.Type()}
	if n, ok := d.seen[to]; ok {
		fmt.Fprintf(d.out, "&%d ", n)
		return
	}
	d.seen[to] = len(d.seen)
	d.value(v.Elem())
}

func (d *dumper) structure(v reflect.Value) {
	t := v.Type()
	switch t.PkgPath() + "." + t.Name() {
	case "regexp.Regexp":
		fmt.Fprintf(d.out, "%q ", v.FieldByName("expr"))
		return
	case "crypto/x509.Certificate", "crypto/tls.Certificate":
		raw := v.FieldByName("Raw")
		if !raw.IsValid() {
			raw = v.FieldByName("Certificate")
		}
		fmt.Fprintf(d.out, "%x ", sha256.Sum256(fmt.Append(nil, raw)))
		return
	case "crypto/x509.CertPool":
		return // the fingerprint beside it stands for what is in it
	case module + "proxy/backend.Backend":
		fmt.Fprintf(d.out, "backend %q ", v.FieldByName("key")) // which has all that tells it from another
		return
	}
	d.out.WriteString(t.Name() + "{")
	for i := range t.NumField() {
		if name := t.Field(i).Name; !slices.Contains(passing, name) {
			d.out.WriteString(name + ":")
			d.value(v.Field(i))
		}
	}
	d.out.WriteString("}\n")
}

// entries writes a map in the order of its keys' text.
func (d *dumper) entries(v reflect.Value) {
	type entry struct {
		text string
		at   reflect.Value
	}
	var all []entry
	for _, k := range v.MapKeys() {
		// Keys that are pointers are told apart by what they point to.
		alone := &dumper{out: &strings.Builder{}, seen: map[target]int{}}
		alone.value(k)
		all = append(all, entry{alone.out.String(), k})
	}
	slices.SortFunc(all, func(a, b entry) int { return strings.Compare(a.text, b.text) })
	d.out.WriteString("[")
	for _, e := range all {
		if e.at.Kind() != reflect.Pointer {
			d.out.WriteString(e.text + "=")
		}
		d.value(v.MapIndex(e.at))
	}
	d.out.WriteString("]\n")
}

func (d *dumper) list(v reflect.Value) {
	if v.Type().Elem().Kind() == reflect.Uint8 && v.Kind() == reflect.Slice {
		fmt.Fprintf(d.out, "%q ", v.Bytes())
		return
	}
	d.out.WriteString("[")
	for i := range v.Len() {
		d.value(v.Index(i))
	}
	d.out.WriteString("]\n")
}
