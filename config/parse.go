// From the files of a load to admitted or refused items, on all processors, redoing nothing that an earlier load did.

package config

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/wicketgate/wicketgate/object"
)

// parsed is what a file holds. It depends on nothing but the file's content, its name and its root, and is immutable once it is
// complete: a file that did not change is not parsed again.
type parsed struct {
	path
	sum      [32]byte
	items    []*item
	sections []section
	problems []object.Problem // of the text
	// partial: some text could not be read, or does not say which object it is. Objects that were in the file before and are not found in it
	// now may be there.
	partial bool
	// plain: all its objects are admitted, and nothing is to be said of them.
	plain bool
}

// section is a document of a file without problems of its text. What stands in it is taken over into the next version of the file, perhaps
// further up or down, if it is there again.
type section struct {
	sum   [32]byte // of the text
	line  int      // as in chunk
	items []*item  // a part of those of the file
}

// item is one object of a file.
type item struct {
	*outcome
	raw  [32]byte // hash of what admission sees
	loc  *locator
	root Root
	tree map[string]any // until it is admitted
}

// parse reads the objects of all files and admits them, on all processors. What an earlier load parsed or admitted is not done again.
func (l *Loader) parse(ctx context.Context, files []*file) ([]*parsed, error) {
	out := make([]*parsed, len(files))
	err := parallel(ctx, len(files), func(i int) {
		f := files[i]
		before := l.memory.files[f.name]
		if before != nil && (f.unsettled || before.sum == f.sum) && before.path == f.path {
			out[i] = before
			return
		}
		out[i] = parseFile(f, before, l.roots[f.root], l.lim)
	})
	if err != nil {
		return nil, err
	}
	if err := l.admitAll(ctx, out); err != nil {
		return nil, err
	}
	for i, p := range out {
		if p != l.memory.files[files[i].name] {
			p.complete()
		}
	}
	return out, nil
}

// complete looks at the outcomes.
func (p *parsed) complete() {
	p.plain = len(p.problems) == 0 && !slices.ContainsFunc(p.items, func(it *item) bool { return it.foreign != nil || len(it.findings) > 0 || !it.admitted() })
}

// admitAll gives every item its outcome. Items with the same content share one.
func (l *Loader) admitAll(ctx context.Context, files []*parsed) error {
	first := map[[32]byte]*item{}
	var fresh, again []*item
	for _, p := range files {
		for _, it := range p.items {
			switch {
			case it.outcome != nil: // of a file that did not change
			case l.memory.outcomes[it.raw] != nil:
				it.outcome, it.tree = l.memory.outcomes[it.raw], nil
			case first[it.raw] != nil:
				again = append(again, it)
			default:
				first[it.raw] = it
				fresh = append(fresh, it)
			}
		}
	}
	err := parallel(ctx, len(fresh), func(i int) {
		it := fresh[i]
		it.outcome, it.tree = admit(ctx, it.tree, it.root, l.memory.proven[it.raw]), nil
	})
	if err != nil {
		return err
	}
	for _, it := range again {
		it.outcome, it.tree = first[it.raw].outcome, nil
	}
	return nil
}

// parallel calls f for every index below n, on all processors. It returns early, with ctx's error, if ctx ends.
func parallel(ctx context.Context, n int, f func(i int)) error {
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), n) {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n && ctx.Err() == nil; i = int(next.Add(1)) - 1 {
				f(i)
			}
		})
	}
	wg.Wait()
	return ctx.Err()
}

// emptyFile is what is wrong with a file without a byte. Who wants nothing of it any more deletes it; one that is emptied is on the way to new content, or was
// cut off by a full disk or a generator that failed.
const emptyFile = "is empty, as if its writing had been cut off: what was in it before stays in force; write objects into it, or delete it"

// parseFile splits a file into its objects, without admitting them. Documents that an earlier version of the file had, which may be nil, are
// taken over with their outcomes.
func parseFile(f *file, before *parsed, root Root, lim limits) *parsed {
	p := &parsed{path: f.path, sum: f.sum}
	if len(f.data) == 0 {
		p.complain(object.Position{File: p.name}, emptyFile)
		return p
	}
	known := map[[32]byte]*section{}
	if before != nil && before.path == f.path {
		for i := range before.sections {
			known[before.sections[i].sum] = &before.sections[i]
		}
	}
	for _, c := range split(f.data) {
		sum := sha256.Sum256(c.text)
		first, problems := len(p.items), len(p.problems)
		if s := known[sum]; s != nil && first+len(s.items) <= lim.objects {
			for _, it := range s.items {
				p.items = append(p.items, it.moved(c.line-s.line))
			}
		} else {
			p.document(c, root, lim)
		}
		if len(p.problems) == problems {
			p.sections = append(p.sections, section{sum, c.line, p.items[first:len(p.items):len(p.items)]})
		}
	}
	return p
}

// moved is the item of the same text some lines further down.
func (it *item) moved(lines int) *item {
	if lines == 0 {
		return it
	}
	out, loc := *it, *it.loc
	loc.moved += lines
	out.loc = &loc
	return &out
}

// document adds the objects of a document.
func (p *parsed) document(c chunk, root Root, lim limits) {
	d, err := readDocument(c, lim)
	if err != nil {
		p.broken(err)
		return
	}
	if d.value == nil {
		return
	}
	loc := &locator{file: p.name, tree: d.tree}
	tree, ok := d.value.(map[string]any)
	if !ok {
		p.complain(loc.position(), "a document must be a Kubernetes object, not "+withArticle(typeOf(d.value)))
		return
	}
	p.object(tree, d.json, loc, root, lim)
}

// broken records text that cannot be read.
func (p *parsed) broken(err error) {
	at := object.Position{File: p.name}
	if te, ok := errors.AsType[*textError](err); ok {
		at.Line, at.Column = te.line, te.column
		p.complain(at, te.message)
		return
	}
	p.complain(at, err.Error())
}

// complain records a Problem of the text, which hides objects that may be meant to be there.
func (p *parsed) complain(at object.Position, message string) {
	p.problems = append(p.problems, object.Problem{Position: at, Message: message})
	p.partial = true
}

// object adds an object, or the objects of a List. text is the object as JSON with sorted keys, or nil.
func (p *parsed) object(tree map[string]any, text []byte, loc *locator, root Root, lim limits) {
	if items, ok := listItems(tree); ok {
		p.list(tree, items, loc, root, lim)
		return
	}
	if len(p.items) >= lim.objects {
		p.complain(loc.position(), fmt.Sprintf("not read: a file may hold %d objects", lim.objects))
		return
	}
	if text == nil {
		var err error
		if text, err = json.Marshal(tree); err != nil {
			p.complain(loc.position(), err.Error())
			return
		}
	}
	hash := sha256.New()
	hash.Write([]byte(strings.Join(root.Namespaces, ",") + "\n"))
	if len(root.Namespaces) > 0 {
		hash.Write([]byte(root.Path + "\n")) // messages about the confinement name it
	}
	hash.Write(text)
	it := &item{loc: loc, root: root, tree: tree}
	hash.Sum(it.raw[:0])
	p.items = append(p.items, it)
}

// listItems returns the items of a List: kind List of v1, or the list kind of some kind, such as HTTPRouteList.
func listItems(tree map[string]any) (items any, ok bool) {
	kind, _ := tree["kind"].(string)
	apiVersion, _ := tree["apiVersion"].(string)
	if !strings.HasSuffix(kind, "List") || kind == "List" && apiVersion != "v1" {
		return nil, false
	}
	items, ok = tree["items"]
	return items, ok || kind == "List"
}

// list adds the items of a List. Those of a typed list may leave out what the list says.
func (p *parsed) list(tree map[string]any, value any, loc *locator, root Root, lim limits) {
	at := loc.tree.child(loc.root, "items")
	items, ok := value.([]any)
	if value == nil {
		p.complain(loc.position(), "a List needs items")
		return
	}
	if !ok || at < 0 {
		p.complain(loc.Locate("items"), "the items of a List "+mismatch("array", typeOf(value), value))
		return
	}
	kind, _ := strings.CutSuffix(tree["kind"].(string), "List")
	for i, v := range items {
		inner := &locator{file: loc.file, tree: loc.tree, root: loc.tree.item(at, i)}
		object, ok := v.(map[string]any)
		if !ok {
			p.complain(inner.position(), "an item of a List must be a Kubernetes object, not "+withArticle(typeOf(v)))
			continue
		}
		if kind != "" && object["kind"] == nil && object["apiVersion"] == nil {
			object["kind"], object["apiVersion"] = kind, tree["apiVersion"]
		}
		p.object(object, nil, inner, root, lim)
	}
}
