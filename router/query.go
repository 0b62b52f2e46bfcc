// Query parameters, read from the query as it came: pairs between '&', names before the first '=', names and values decoded as forms encode
// them ("%41" is A, '+' is a space; an escape that is none stands for itself). Of a parameter that is repeated the first value
// counts, as the Gateway API recommends.

package router

import "bytes"

// queryParameter returns the value of the parameter with that (decoded, not empty) name. It decodes into scratch, if there is something to decode, and
// returns scratch for the next time.
func queryParameter(query []byte, name string, scratch []byte) (value, kept []byte, ok bool) {
	for len(query) > 0 {
		pair := query
		if end := bytes.IndexByte(query, '&'); end >= 0 {
			pair, query = query[:end], query[end+1:]
		} else {
			query = nil
		}
		key, raw := pair, pair[len(pair):]
		if eq := bytes.IndexByte(pair, '='); eq >= 0 {
			key, raw = pair[:eq], pair[eq+1:]
		}
		if !decodesTo(key, name) {
			continue
		}
		if bytes.IndexByte(raw, '%') < 0 && bytes.IndexByte(raw, '+') < 0 {
			return raw, scratch, true
		}
		scratch = scratch[:0]
		for len(raw) > 0 {
			c, n := decodeByte(raw)
			scratch = append(scratch, c)
			raw = raw[n:]
		}
		return scratch, scratch, true
	}
	return nil, scratch, false
}

// decodesTo reports whether raw stands for text.
func decodesTo(raw []byte, text string) bool {
	i := 0
	for len(raw) > 0 {
		c, n := decodeByte(raw)
		if i == len(text) || text[i] != c {
			return false
		}
		i++
		raw = raw[n:]
	}
	return i == len(text)
}

// decodeByte returns the first byte that raw stands for and how many bytes it takes.
func decodeByte(raw []byte) (c byte, n int) {
	switch {
	case raw[0] == '+':
		return ' ', 1
	case raw[0] == '%' && len(raw) >= 3:
		high, low := hexDigit(raw[1]), hexDigit(raw[2])
		if high < 16 && low < 16 {
			return high<<4 | low, 3
		}
	}
	return raw[0], 1
}

// hexDigit returns the value of a hexadecimal digit, or 16 for anything else.
func hexDigit(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= c|0x20 && c|0x20 <= 'f':
		return c | 0x20 - 'a' + 10
	default:
		return 16
	}
}
