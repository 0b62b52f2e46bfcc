// Checking JSON trees against Go types: every field known, every value of the right type. A decoder would do, too, but stops at
// the first defect and does not say in which item of which list it is.

package config

import (
	"encoding/base64"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// shape is what a Go type looks like in JSON. Shapes are immutable.
type shape struct {
	kind   shapeKind
	fields map[string]*shape // of shapeObject
	names  []string          // the keys of fields, in order
	elem   *shape            // of shapeList and shapeDict
	bits   int               // of shapeInteger
	secret bool              // messages must not show the value
}

type shapeKind uint8

const (
	shapeAny shapeKind = iota
	shapeObject
	shapeDict // a mapping with free keys
	shapeList
	shapeText
	shapeInteger
	shapeNumber
	shapeBoolean
	shapeBytes // base64
	shapeTime  // RFC 3339
	shapeIntOrText
	shapeDuration // Go's notation: "2160h"
)

// shapeOf derives the shape of a type. The types of the core kinds do not contain themselves.
func shapeOf(t reflect.Type) *shape {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch t {
	case reflect.TypeFor[metav1.Time](), reflect.TypeFor[metav1.MicroTime]():
		return &shape{kind: shapeTime}
	case reflect.TypeFor[intstr.IntOrString]():
		return &shape{kind: shapeIntOrText}
	case reflect.TypeFor[metav1.Duration]():
		return &shape{kind: shapeDuration}
	case reflect.TypeFor[metav1.FieldsV1]():
		return &shape{}
	}
	switch t.Kind() {
	case reflect.Struct:
		s := &shape{kind: shapeObject, fields: map[string]*shape{}}
		s.addFields(t)
		s.names = slices.Sorted(maps.Keys(s.fields))
		return s
	case reflect.Map:
		return &shape{kind: shapeDict, elem: shapeOf(t.Elem())}
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			return &shape{kind: shapeBytes}
		}
		return &shape{kind: shapeList, elem: shapeOf(t.Elem())}
	case reflect.String:
		return &shape{kind: shapeText}
	case reflect.Bool:
		return &shape{kind: shapeBoolean}
	case reflect.Int, reflect.Int32, reflect.Int64:
		return &shape{kind: shapeInteger, bits: t.Bits()}
	case reflect.Float32, reflect.Float64:
		return &shape{kind: shapeNumber}
	}
	return &shape{}
}

// addFields adds the JSON fields of a struct, those of embedded structs included.
func (s *shape) addFields(t reflect.Type) {
	for f := range t.Fields() {
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Anonymous && (name == "" || strings.Contains(options, "inline")) {
			s.addFields(f.Type)
			continue
		}
		if name != "" && name != "-" {
			s.fields[name] = shapeOf(f.Type)
		}
	}
}

// check reports every field of v that the shape does not have and every value of the wrong type. A null is what a missing field is.
func (s *shape) check(v any, path *field.Path, f *findings) {
	if v == nil {
		return
	}
	switch s.kind {
	case shapeObject, shapeDict:
		s.checkMapping(v, path, f)
	case shapeList:
		if s.want(v, "array", path, f) {
			for i, item := range v.([]any) {
				s.elem.check(item, path.Index(i), f)
			}
		}
	case shapeText:
		s.want(v, "string", path, f)
	case shapeBoolean:
		s.want(v, "boolean", path, f)
	case shapeNumber:
		if typeOf(v) != "integer" {
			s.want(v, "number", path, f)
		}
	case shapeInteger:
		if s.want(v, "integer", path, f) && s.bits == 32 && v.(int64) != int64(int32(v.(int64))) {
			f.errorf(path, "%d does not fit into 32 bits", v)
		}
	case shapeBytes, shapeTime, shapeIntOrText, shapeDuration:
		s.checkFormat(v, path, f)
	}
}

// want reports a value that does not have the type.
func (s *shape) want(v any, want string, path *field.Path, f *findings) bool {
	if got := typeOf(v); got != want {
		if s.secret {
			v = nil
		}
		f.errorf(path, "%s", mismatch(want, got, v))
		return false
	}
	return true
}

// checkMapping checks a struct or a map.
func (s *shape) checkMapping(v any, path *field.Path, f *findings) {
	m, ok := v.(map[string]any)
	if !ok {
		f.errorf(path, "%s", mismatch("object", typeOf(v), v))
		return
	}
	for _, key := range slices.Sorted(maps.Keys(m)) {
		if s.kind == shapeDict {
			s.elem.check(m[key], path.Key(key), f)
			continue
		}
		if known, ok := s.fields[key]; ok {
			known.check(m[key], path.Child(key), f)
			continue
		}
		f.errorf(path.Child(key), "%s", unknownField(key, s.names, ""))
	}
}

// checkFormat checks texts with a format.
func (s *shape) checkFormat(v any, path *field.Path, f *findings) {
	if _, isInt := v.(int64); isInt && s.kind == shapeIntOrText {
		return
	}
	text, ok := v.(string)
	if !ok {
		s.want(v, "string", path, f)
		return
	}
	switch s.kind {
	case shapeBytes:
		if _, err := base64.StdEncoding.DecodeString(text); err != nil {
			f.errorf(path, "is not base64 (%v); plain text goes into stringData", err)
		}
	case shapeTime:
		if _, err := time.Parse(time.RFC3339, text); err != nil {
			f.errorf(path, "%s is not a time like 2026-01-31T08:00:00Z", strconv.Quote(text))
		}
	case shapeDuration:
		if _, err := time.ParseDuration(text); err != nil {
			f.errorf(path, "%s is not a duration like 2160h or 1h30m (days have no unit: 90 days are 2160h)", strconv.Quote(text))
		}
	}
}
