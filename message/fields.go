// Header fields: an ordered list of name and value pairs that point into the buffer that they were parsed from.

package message

// Field is one header or trailer field. Name keeps the case in which it was received.
type Field struct{ Name, Value []byte }

// Fields is an ordered list of fields. The zero value is empty. Names compare case-insensitively. It is not safe for concurrent
// use.
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
