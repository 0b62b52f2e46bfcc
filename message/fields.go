// Header fields: an ordered list of name and value pairs that point into the buffer that they were parsed from.

package message

import "bytes"

// Field is one header or trailer field. Name keeps the case in which it was received.
type Field struct{ Name, Value []byte }

// Fields is an ordered list of fields. The zero value is empty. Names compare case-insensitively (RFC 9110 section 5.1). It is
// not safe for concurrent use.
type Fields struct {
	list []Field
}

// Len is the number of fields.
func (f *Fields) Len() int { return len(f.list) }

// At returns the i-th field.
func (f *Fields) At(i int) Field { return f.list[i] }

// Reset removes all fields and keeps the memory.
func (f *Fields) Reset() { clear(f.list); f.list = f.list[:0] }

// Add appends a field. It keeps the slices.
func (f *Fields) Add(name, value []byte) { f.list = append(f.list, Field{name, value}) }

// Get returns the value of the first field of that name, or nil if there is none. A field with an empty value gives a slice
// that is empty and not nil.
func (f *Fields) Get(name string) []byte {
	if i := f.index(name, 0); i >= 0 {
		return notNil(f.list[i].Value)
	}
	return nil
}

// Has reports whether there is a field of that name.
func (f *Fields) Has(name string) bool { return f.index(name, 0) >= 0 }

// Set gives the first field of that name the value, removes its other fields, and adds one if there was none. It keeps the slices.
func (f *Fields) Set(name, value []byte) {
	at := -1
	for i := range f.list {
		if equalFold(f.list[i].Name, name) {
			at = i
			break
		}
	}
	if at < 0 {
		f.Add(name, value)
		return
	}
	f.list[at] = Field{name, value}
	kept := f.list[:at+1]
	for _, x := range f.list[at+1:] {
		if !equalFold(x.Name, name) {
			kept = append(kept, x)
		}
	}
	f.truncate(kept)
}

// SetAt replaces the value of the i-th field.
func (f *Fields) SetAt(i int, value []byte) { f.list[i].Value = value }

// Remove removes all fields of that name and reports whether there was one.
func (f *Fields) Remove(name string) bool {
	first := f.index(name, 0)
	if first < 0 {
		return false
	}
	kept := f.list[:first]
	for _, x := range f.list[first+1:] {
		if !equalFold(x.Name, name) {
			kept = append(kept, x)
		}
	}
	f.truncate(kept)
	return true
}

// RemoveAt removes the i-th field and keeps the order of the others.
func (f *Fields) RemoveAt(i int) { f.truncate(append(f.list[:i], f.list[i+1:]...)) }

// Filter removes the fields for which keep is false and keeps the order of the others.
func (f *Fields) Filter(keep func(Field) bool) {
	kept := f.list[:0]
	for _, x := range f.list {
		if keep(x) {
			kept = append(kept, x)
		}
	}
	f.truncate(kept)
}

// Combined returns the values of all fields of that name joined by ", " ("; " for Cookie), as RFC 9110 section 5.3 and RFC 9113
// section 8.2.3 say. A single value is returned as it is; several are joined in scratch's memory, which grows if it must.
func (f *Fields) Combined(name string, scratch []byte) (value []byte, ok bool) {
	first := f.index(name, 0)
	if first < 0 {
		return nil, false
	}
	next := f.index(name, first+1)
	if next < 0 {
		return notNil(f.list[first].Value), true
	}
	separator := ", "
	if Equal(f.list[first].Name, "cookie") {
		separator = "; "
	}
	out := scratch[:0]
	out = append(out, f.list[first].Value...)
	for ; next >= 0; next = f.index(name, next+1) {
		out = append(append(out, separator...), f.list[next].Value...)
	}
	return out, true
}

// index finds the first field of that name at or after from, or returns -1.
func (f *Fields) index(name string, from int) int {
	for i := from; i < len(f.list); i++ {
		if equalFold(f.list[i].Name, name) {
			return i
		}
	}
	return -1
}

// truncate shortens the list to kept, a prefix of the same array, and lets go of what the rest pointed to.
func (f *Fields) truncate(kept []Field) {
	clear(f.list[len(kept):])
	f.list = kept
}

func notNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// HasToken reports whether a comma-separated list (RFC 9110 section 5.6.1) has the token, given in lower case.
func HasToken(list []byte, lower string) bool {
	for len(list) > 0 {
		var item []byte
		item, list, _ = bytes.Cut(list, []byte{','})
		if Equal(TrimSpace(item), lower) {
			return true
		}
	}
	return false
}
