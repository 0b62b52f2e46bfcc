// Records: what the state directory keeps of the objects in force, so that a restart forgets nothing.
//
// The objects of a root are spread over a few files by their names, because an edit then rewrites little. Each file has a head and two
// lines an object, what is known of it and its admitted content:
//
//	{"root":"/etc/wicketgate","schemas":"5f2c…"}
//	{"group":"gateway.networking.k8s.io","kind":"HTTPRoute","namespace":"default","name":"shop","file":"shop.yaml","line":1,…}
//	{"apiVersion":"gateway.networking.k8s.io/v1","kind":"HTTPRoute",…}
//
// Of a Secret there is the first line alone: nothing of what it holds is ever written, not even a hash.

package config

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"runtime/debug"
	"strings"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	kjson "sigs.k8s.io/json"

	"github.com/wicketgate/wicketgate/object"
)

// record is what is kept of one object.
type record struct {
	key          object.Key
	version      string
	path         path // of the file that it came from
	line, column int
	raw, spec    [32]byte
	digest       [32]byte // the object's
	uid          types.UID
	generation   int64
	content      []byte // nil for a Secret
	// proven: the schemas by which the content was admitted are those of this program.
	proven bool
}

// recordHead is the first line of a file of records.
type recordHead struct {
	Root    string `json:"root"`
	Schemas string `json:"schemas"`
}

// recordLine is a record without its content.
type recordLine struct {
	Group      string    `json:"group,omitempty"`
	Kind       string    `json:"kind"`
	Namespace  string    `json:"namespace,omitempty"`
	Name       string    `json:"name"`
	Version    string    `json:"version"`
	File       string    `json:"file,omitempty"` // below the root; empty if the root is the file
	Line       int       `json:"line,omitempty"`
	Column     int       `json:"column,omitempty"`
	Raw        []byte    `json:"raw,omitempty"`
	Spec       []byte    `json:"spec,omitempty"`
	Digest     []byte    `json:"digest,omitempty"`
	UID        types.UID `json:"uid,omitempty"`
	Generation int64     `json:"generation,omitempty"`
}

// isSecret reports whether nothing of an object's content may be kept.
func isSecret(k object.Key) bool { return k.GroupKind == object.GroupKind{Kind: "Secret"} }

// appendRecord appends the lines of an object in force.
func appendRecord(b *bytes.Buffer, f *inForce) error {
	o := f.object
	line := recordLine{
		Group: o.Group, Kind: o.Kind, Namespace: o.Namespace, Name: o.Name, Version: o.Version,
		File: f.path.rel, Line: o.Position.Line, Column: o.Position.Column,
	}
	if f.path.single {
		line.File = ""
	}
	if !isSecret(o.Key) {
		line.Raw, line.Spec, line.Digest = f.item.raw[:], f.item.spec[:], o.Digest[:]
		line.UID, line.Generation = o.Meta.UID, o.Meta.Generation
	}
	text, err := json.Marshal(line)
	if err != nil {
		return err
	}
	b.Write(append(text, '\n'))
	if isSecret(o.Key) {
		return nil
	}
	if text, err = json.Marshal(o.Content); err != nil {
		return err
	}
	b.Write(append(text, '\n'))
	return nil
}

var errRecords = errors.New("holds no records")

// parseRecords reads a file of records that were kept of the i-th root.
func parseRecords(text []byte, i int, root Root) (list []*record, err error) {
	first, rest, _ := bytes.Cut(text, []byte("\n"))
	var head recordHead
	if err := json.Unmarshal(first, &head); err != nil {
		return nil, fmt.Errorf("%w: %w", errRecords, err)
	}
	for len(rest) > 0 {
		var text []byte
		text, rest, _ = bytes.Cut(rest, []byte("\n"))
		var line recordLine
		if err := json.Unmarshal(text, &line); err != nil {
			return nil, fmt.Errorf("%w: %w", errRecords, err)
		}
		r := line.record(i, root)
		r.proven = head.Schemas == schemaDigest()
		if !isSecret(r.key) {
			r.content, rest, _ = bytes.Cut(rest, []byte("\n"))
		}
		list = append(list, r)
	}
	return list, nil
}

func (l *recordLine) record(i int, root Root) *record {
	r := &record{
		key:     object.Key{GroupKind: object.GroupKind{Group: l.Group, Kind: l.Kind}, Namespace: l.Namespace, Name: l.Name},
		version: l.Version, path: path{root: i, rel: l.File, name: filepath.ToSlash(filepath.Clean(root.Path))},
		line: l.Line, column: l.Column, uid: l.UID, generation: l.Generation,
	}
	if l.File == "" {
		r.path.rel, r.path.single = filepath.Base(root.Path), true
	} else {
		r.path.name = joinSlash(r.path.name, l.File)
	}
	copy(r.raw[:], l.Raw)
	copy(r.spec[:], l.Spec)
	copy(r.digest[:], l.Digest)
	return r
}

// inForce stands for the object as long as only its name, place and generation are asked for.
func (r *record) inForce() inForce {
	o := &object.Object{
		Key: r.key, Version: r.version, Meta: metav1.ObjectMeta{UID: r.uid, Generation: r.generation},
		Position: object.Position{File: r.path.name, Line: r.line, Column: r.column},
	}
	it := &item{outcome: &outcome{key: r.key, identified: true, version: r.version, spec: r.spec}, raw: r.raw}
	return inForce{object: o, item: it, path: r.path, record: r}
}

// revive makes the object of a record, marked stale. The error says why it cannot be in force any more.
func (r *record) revive(ctx context.Context, root Root) (inForce, error) {
	if r.content == nil {
		return inForce{}, errors.New("its last admitted version is not known after a restart, because Secrets are not kept")
	}
	var tree map[string]any
	if err := kjson.UnmarshalCaseSensitivePreserveInts(r.content, &tree); err != nil {
		return inForce{}, fmt.Errorf("what was kept of its last admitted version cannot be read: %w", err)
	}
	out := admit(ctx, tree, root, r.proven)
	if !out.admitted() || out.key != r.key {
		return inForce{}, errors.New("its last admitted version, kept from before the restart, is refused today")
	}
	at := places{{line: uint32(r.line), column: uint16(r.column)}}
	it := &item{outcome: out, raw: r.raw, loc: &locator{file: r.path.name, tree: at}, root: root}
	o := it.object(nil)
	o.Version = r.version
	if r.proven {
		o.Digest = r.digest // admission sees the generation in the content now, and would not give the same
	}
	return inForce{object: o, item: it, path: r.path}.stale(), nil
}

// schemaDigest identifies what CRD validation depends on: the schemas, and the versions of the libraries that apply them.
var schemaDigest = sync.OnceValue(func() string {
	hash := sha256.New()
	hash.Write(schemasJSON)
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range info.Deps {
			if strings.HasPrefix(m.Path, "k8s.io/") || strings.HasPrefix(m.Path, "sigs.k8s.io/") || strings.HasPrefix(m.Path, "github.com/google/cel-go") {
				fmt.Fprintf(hash, "%s %s %s\n", m.Path, m.Version, m.Sum)
			}
		}
	}
	return hex.EncodeToString(hash.Sum(nil))
})
