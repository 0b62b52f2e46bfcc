// Cutting a file into its documents.

package config

import (
	"bytes"
	"encoding/json"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// chunk is the text of one document of a file.
type chunk struct {
	text []byte // a part of the file
	line int    // how many lines of the file precede it
}

// split cuts a file into documents. It cuts at the lines that YAML itself takes for markers, "---" and "...", alone or followed by
// a blank, wherever they stand: a quote that is never closed then spoils its own document and not the ones behind it. A file that is a stream
// of JSON objects is cut between them.
//
//	a: 1          first document, 0 lines precede it
//	---
//	b: 2          second document, 1 line precedes it: the marker line belongs to it
//
// Chunks without anything but comments are left out.
func split(data []byte) []chunk {
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	if chunks := splitJSON(data); chunks != nil {
		return chunks
	}
	var (
		chunks  []chunk
		current chunk
		begin   int
		content bool // the current chunk has something besides comments and directives
		direct  bool // the current chunk has directives
	)
	flush := func(end int) {
		if content {
			current.text = data[begin:end]
			chunks = append(chunks, current)
		}
		content, direct = false, false
	}
	line := 0
	for at := 0; at < len(data); line++ {
		end := len(data)
		if i := bytes.IndexByte(data[at:], '\n'); i >= 0 {
			end = at + i + 1
		}
		text := data[at:end]
		switch {
		case isMarker(text, "---"):
			if content || !direct { // directives belong to the document that the marker begins
				flush(at)
				begin, current = at, chunk{line: line}
			}
			content = !onlyComment(text[3:])
		case isMarker(text, "..."):
			flush(end)
			begin, current = end, chunk{line: line + 1}
		case !content && text[0] == '%':
			direct = true
		case !content && !onlyComment(text):
			content = true
		}
		at = end
	}
	flush(len(data))
	return chunks
}

// isMarker reports whether a line is this marker.
func isMarker(line []byte, marker string) bool {
	rest, ok := bytes.CutPrefix(line, []byte(marker))
	return ok && (len(rest) == 0 || bytes.IndexByte([]byte(" \t\r\n"), rest[0]) >= 0)
}

// onlyComment reports whether a line, or the rest of one, holds nothing but blanks and a comment.
func onlyComment(line []byte) bool {
	line = bytes.TrimLeft(line, " \t\r\n")
	return len(line) == 0 || line[0] == '#'
}

// splitJSON cuts a stream of JSON objects, or returns nil if the file is anything else.
func splitJSON(data []byte) []chunk {
	if first := bytes.TrimLeft(data, " \t\r\n"); len(first) == 0 || first[0] != '{' {
		return nil
	}
	var chunks []chunk
	decoder := json.NewDecoder(bytes.NewReader(data))
	for {
		var raw json.RawMessage
		if err := decoder.Decode(&raw); err != nil {
			if len(bytes.TrimLeft(data[decoder.InputOffset():], " \t\r\n")) > 0 {
				return nil // broken, or YAML's own flow style: the YAML parser says what is wrong
			}
			return chunks
		}
		end := int(decoder.InputOffset())
		begin := end - len(raw)
		lineStart := bytes.LastIndexByte(data[:begin], '\n') + 1
		text := yamlEscapes(data[begin:end])
		if len(bytes.TrimLeft(data[lineStart:begin], " \t")) == 0 && len(text) == len(raw) {
			text = data[lineStart:end] // keep the columns of the first line
		}
		chunks = append(chunks, chunk{text: text, line: bytes.Count(data[:begin], []byte("\n"))})
	}
}

// yamlEscapes replaces the escapes of JSON that the YAML parsers do not know by what they stand for: "\/", and the characters beyond 16 bits, which
// JSON writes as two ("\ud83d\ude00").
func yamlEscapes(text []byte) []byte {
	if !bytes.Contains(text, []byte(`\ud`)) && !bytes.Contains(text, []byte(`\uD`)) && !bytes.Contains(text, []byte(`\/`)) {
		return text
	}
	out := make([]byte, 0, len(text))
	for i := 0; i < len(text); i++ {
		if text[i] != '\\' || i+1 == len(text) {
			out = append(out, text[i])
			continue
		}
		if text[i+1] == '/' {
			out = append(out, '/')
			i++
			continue
		}
		if r := unicodeEscape(text[i:]); utf16.IsSurrogate(r) {
			both := utf16.DecodeRune(r, unicodeEscape(text[i+6:]))
			out = utf8.AppendRune(out, both) // a half alone becomes U+FFFD, as in JSON
			if i += 5; both != utf8.RuneError {
				i += 6
			}
			continue
		}
		out = append(out, text[i], text[i+1])
		i++
	}
	return out
}

// unicodeEscape reads a leading \uXXXX, or returns -1.
func unicodeEscape(text []byte) rune {
	if len(text) < 6 || text[0] != '\\' || text[1] != 'u' {
		return -1
	}
	n, err := strconv.ParseUint(string(text[2:6]), 16, 32)
	if err != nil {
		return -1
	}
	return rune(n)
}
