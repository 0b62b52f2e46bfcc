// Lists in order of which little changes at a time.

package object

import "slices"

// Splice returns list without the elements gone and with the elements come: list itself if there are none, and else a copy. All
// three are in order, gone are elements of list, and no two elements of the result are equal by the order. It costs a copy of list and, for each element
// of the two others, a binary search.
func Splice[T any](list, gone, come []T, order func(x, y T) int) []T {
	if len(gone)+len(come) == 0 {
		return list
	}
	out := make([]T, 0, max(0, len(list)-len(gone)+len(come)))
	for len(gone)+len(come) > 0 {
		leaves := len(come) == 0 || len(gone) > 0 && order(gone[0], come[0]) <= 0
		next := &come
		if leaves {
			next = &gone
		}
		at, _ := slices.BinarySearchFunc(list, (*next)[0], order)
		out, list = append(out, list[:at]...), list[at:]
		if leaves {
			list = list[1:]
		} else {
			out = append(out, (*next)[0])
		}
		*next = (*next)[1:]
	}
	return append(out, list...)
}
